"""Loads and saves encoders as sentence-transformers folders, exported by a run or distilled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from ramen.encoders.base import Encoder
from ramen.encoders.static import StaticEncoder
from ramen.encoders.transformer import TransformerEncoder
from ramen.encoders.vocabulary import MARK, assemble
from ramen.errors import InputError
from ramen.files import open_to_readers

LABEL_MAP = "label_map.safetensors"  # next to modules.json; sentence-transformers ignores it
_POOLING = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
_EXPECTED = "expected StaticEmbedding, Normalize or Transformer, Pooling, (Dense,) Normalize"


def load_folder(folder: Path, max_tokens: int, dropout: float = -1.0, compiles: bool = False) -> Encoder:
    """The encoder whose vectors the folder gives, with every weight trainable again.

    Args:
        folder: with ``modules.json``; its modules those that an :class:`Encoder` exports.
        max_tokens: a text is cut there, or where the folder says if that is earlier.
        dropout: of a transformer in training; below 0 the folder's own.
        compiles: compile a transformer with ``torch.compile``.

    Raises:
        InputError: the folder is missing, has other modules, or its files are inconsistent.

    Example:
        ``load_folder(Path("runs/hlm/student"), max_tokens=64)``
    """
    kinds, homes = _modules(folder)
    encoder: Encoder | None = None
    try:
        if kinds == ["StaticEmbedding", "Normalize"]:
            encoder = _static(homes[0], max_tokens)
        if kinds[:2] == ["Transformer", "Pooling"] and kinds[2:] in (["Normalize"], ["Dense", "Normalize"]):
            encoder = _transformer(homes, max_tokens, dropout, compiles)
        if encoder is not None:
            load_label_map(encoder, folder)
            return encoder
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{folder}: does not load as a sentence-transformers folder: {reason}") from error
    raise InputError(f"{folder / 'modules.json'}: found the modules {', '.join(kinds)}; {_EXPECTED}")


def save_folder(encoder: Encoder, folder: Path) -> None:
    """Write the exported encoder and its label map, if trained, for :func:`load_folder`."""
    encoder.export(folder)
    if encoder.label_map.weight.any():
        save_label_map(encoder, folder)


def save_label_map(encoder: Encoder, folder: Path) -> None:
    """Write the label map next to the modules of an exported encoder, even if it is still the identity.

    Args:
        encoder: its ``label_map.weight`` is float32 (dim, dim), 0 for the identity.
        folder: that ``encoder.export`` wrote; ``SentenceTransformer(folder)`` ignores the file.

    Example:
        ``save_label_map(encoder, Path("runs/a/encoder"))``
    """
    save_file({"weight": encoder.label_map.weight.detach().cpu().contiguous()}, folder / LABEL_MAP)
    open_to_readers(folder)


def load_label_map(encoder: Encoder, folder: Path) -> None:
    """Load the label map of a folder into the encoder, if there is one.

    Raises:
        RuntimeError: its dimension differs.
    """
    path = folder / LABEL_MAP
    if path.exists():
        with torch.no_grad():
            encoder.label_map.weight.copy_(load_file(path)["weight"])


def _modules(folder: Path) -> tuple[list[str], list[Path]]:
    """Return the names and folders of the modules."""
    path = folder / "modules.json"
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        return [m["type"].rsplit(".", 1)[-1] for m in modules], [folder / m["path"] for m in modules]
    except FileNotFoundError:
        raise InputError(f"{folder}: expected a sentence-transformers folder, found no modules.json there") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not the list of a model's modules: {error}") from error


def _static(home: Path, max_tokens: int) -> StaticEncoder:
    """Unfold the table: a row is its unit vector times its weight; titles differ by one factor."""
    tokenizer = Tokenizer.from_str((home / "tokenizer.json").read_text(encoding="utf-8"))  # any path; from_file: UTF-8
    table = load_file(home / "model.safetensors")["embedding.weight"].float().numpy()
    entries = tokenizer.get_vocab()
    words = sorted((word for word in entries if not word.startswith(MARK)), key=entries.__getitem__)
    vocabulary = assemble(words)
    if len(entries) != len(table) or vocabulary.tokenizer.get_vocab() != entries or vocabulary.size == len(entries):
        raise InputError(
            f"{home / 'tokenizer.json'}: expected the entries that ramen's static encoder writes (words, then title "
            f"words) for the {len(table):,} rows of model.safetensors, found {len(entries):,} others"
        )
    if str(tokenizer.normalizer) != str(vocabulary.tokenizer.normalizer):
        raise InputError(
            f"{home / 'tokenizer.json'}: an earlier version wrote it, which read accents and scripts otherwise: train "
            "or distil the encoder again"
        )
    plain, title = table[: vocabulary.size], table[vocabulary.size :]
    lengths = np.linalg.norm(plain, axis=1)
    title_lengths = lengths[vocabulary.title_of]
    used = title_lengths > 0
    title_weight = float(np.linalg.norm(title[used], axis=1).sum() / title_lengths[used].sum())
    scale = float(lengths[lengths > 0].mean())  # weights of mean 1, as those of a new encoder
    weights = np.where(lengths > 0, lengths / scale, 1.0).astype(np.float32)
    vectors = plain / np.where(lengths > 0, lengths, 1.0)[:, None].astype(np.float32)
    cut = (tokenizer.truncation or {}).get("max_length", max_tokens)
    return StaticEncoder(vocabulary, vectors, weights, title_weight, min(max_tokens, cut))


def _transformer(homes: list[Path], max_tokens: int, dropout: float, compiles: bool) -> TransformerEncoder:
    from sentence_transformers.sentence_transformer.modules import Pooling

    mode: Any = Pooling.load(str(homes[1])).pooling_mode
    if mode not in _POOLING:
        raise InputError(f"{homes[1]}: pooling {mode!r}, expected one of {', '.join(_POOLING)}")
    dense = load_file(homes[2] / "model.safetensors")["linear.weight"] if len(homes) == 4 else None
    if dense is not None and json.loads((homes[2] / "config.json").read_text()).get("bias"):
        raise InputError(f"{homes[2]}: expected a linear map without bias")
    dim = None if dense is None else len(dense)
    encoder = TransformerEncoder(str(homes[0]), _POOLING[mode], max_tokens, dim, dropout, compiles)
    encoder.max_tokens = min(encoder.max_tokens, encoder.tokenizer.model_max_length)
    if dense is not None and encoder.dense is not None:
        with torch.no_grad():
            encoder.dense.weight.copy_(dense)
    return encoder
