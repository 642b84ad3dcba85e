"""Token vectors from a transformer: its outputs for each token between start and end marks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoTokenizer, logging

from ramen.encoders.backbone import find_backbone
from ramen.encoders.cache import cached_vectors, is_cached, key_of_folder, key_of_model
from ramen.encoders.plain_tokenizer import reading_any_text
from ramen.errors import InputError
from ramen.progress import progress

_BATCH = 512
_ROWS = 4096  # words averaged at a time
# What configurations call it: BERT and its kin, DistilBERT, decoders.
_DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout", "embedding_dropout",
    "mlp_dropout",
)  # fmt: skip


def word_pieces(tokenizer: Any) -> list[str]:
    """Return the entries of a BERT-like tokenizer in id order; [] for other tokenizers."""
    vocabulary = tokenizer.get_vocab()
    if sum(word.startswith("##") for word in vocabulary) < len(vocabulary) // 100:
        return []
    return sorted(vocabulary, key=vocabulary.__getitem__)


def load_backbone(name: str, dropout: float = -1.0) -> tuple[Any, Any]:
    """Load a transformer, in float32 whatever its file holds, and its tokenizer.

    A checkpoint in half precision would be trained so, too: steps smaller than its rounding are lost.

    Args:
        name: see :func:`ramen.encoders.backbone.find_backbone`.
        dropout: of hidden states and attention in training; below 0 the backbone's own.

    Raises:
        InputError: it cannot be found or loaded, with the reason, or it has no dropout to set.
    """
    changes: dict[str, float] = {}
    if dropout >= 0:
        config = _load(name, AutoConfig)
        changes = {key: dropout for key in _DROPOUTS if hasattr(config, key)}
        if not changes:
            raise InputError(f"training.dropout={dropout:g}: {name} has no dropout that could be set; leave it at -1")
    model = _load(name, AutoModel, dtype=torch.float32, **changes).eval()
    return model, reading_any_text(_load(name, AutoTokenizer))


class Backbone:
    """A transformer as a source of token vectors; its weights load only for vectors not in the cache.

    Args:
        name: see :func:`ramen.encoders.backbone.find_backbone`.

    Attributes:
        tokenizer: its tokenizer.

    Raises:
        InputError: it cannot be found or loaded; the message gives the reason.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._model: Any = None
        key = key_of_folder(find_backbone(name))
        if key is not None and is_cached(key):  # the same files were loaded before
            self.tokenizer = _load(name, AutoTokenizer)
        else:  # load now, to fail before the work on the corpus
            self._model, self.tokenizer = _load(name, AutoModel).eval(), _load(name, AutoTokenizer)
        self._key = key or key_of_model(self._model, self.tokenizer)

    def vectors(self, pieces: np.ndarray) -> np.ndarray:
        """Return the mean of the outputs for [start, piece, end], float32 (len(pieces), d).

        Args:
            pieces: ids, int64, without repeats.

        Raises:
            InputError: the model has to be loaded and cannot be.
        """
        texts = map(str, self.tokenizer.convert_ids_to_tokens(pieces.tolist()))
        keyed = list(zip(pieces.tolist(), texts, strict=True))
        return cached_vectors(self._key, keyed, lambda missing: self._compute(pieces[missing]))

    def _compute(self, pieces: np.ndarray) -> np.ndarray:
        if self._model is None:
            self._model = _load(self._name, AutoModel).eval()
        frame = self.tokenizer("a")["input_ids"]
        plain = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        at = next(i for i in range(len(frame)) if frame[i : i + len(plain)] == plain)
        before, after = frame[:at], frame[at + len(plain) :]
        vectors = np.zeros((len(pieces), self._model.config.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            starts = range(0, len(pieces), _BATCH)
            for start in progress(starts, desc="token vectors", unit="batch"):
                block = pieces[start : start + _BATCH]
                # Always a full batch: rounding depends on its size, and vectors must be reproducible.
                batch = torch.tensor([[*before, int(piece), *after] for piece in np.resize(block, _BATCH)])
                outputs = self._model(input_ids=batch).last_hidden_state.float().mean(1).numpy()
                vectors[start : start + _BATCH] = outputs[: len(block)]
        return vectors


def contextual_vectors(backbone: Backbone, words: list[str]) -> np.ndarray:
    """Return a vector for each vocabulary entry, float32 (len(words), d), centred and of unit length.

    A piece of the backbone gets the mean of the outputs for [start, piece, end]; any other word the mean over its
    pieces; an entry without pieces a zero vector. Source: model2vec's recipe for static embeddings.

    Raises:
        InputError: the backbone's model has to be loaded and cannot be.
    """
    ids = _pieces(backbone.tokenizer, words)
    pieces = np.array(sorted({0}.union(*ids)), dtype=np.int64)
    vectors = backbone.vectors(pieces)
    table = np.zeros((len(words), vectors.shape[1]), dtype=np.float32)
    lengths = np.array([len(word_ids) for word_ids in ids])
    for length in np.unique(lengths[lengths > 0]).tolist():
        rows = np.flatnonzero(lengths == length)
        for some in np.array_split(rows, len(rows) // _ROWS + 1):
            places = np.searchsorted(pieces, [ids[row] for row in some.tolist()])
            table[some] = vectors[places].mean(1)
    filled = lengths > 0
    distinct: dict[tuple[int, ...], int] = {}  # an accent that the backbone drops adds no weight to the centre
    for row in np.flatnonzero(filled).tolist():
        distinct.setdefault(tuple(ids[row]), row)
    table[filled] -= table[list(distinct.values())].mean(0)
    return table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-6)


def _load(name: str, kind: Any, **changes: Any) -> Any:
    path = find_backbone(name)
    logging.disable_progress_bar()
    try:
        return kind.from_pretrained(path, **changes)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"encoder.backbone={name!r}: {path} does not load as a transformer: {reason}") from error


def _pieces(tokenizer: Any, words: list[str]) -> list[list[int]]:
    """Return the piece ids of each word; none for the first two, special entries of the vocabulary."""
    # Other tokenizers mark the start of a word: without the mark an entry is a piece within words.
    vocabulary = tokenizer.get_vocab() if word_pieces(tokenizer) else {}
    unknown = tokenizer.unk_token_id
    bare = [word.removeprefix("##") for word in words if word not in vocabulary]
    split = iter(tokenizer(bare, add_special_tokens=False, return_attention_mask=False)["input_ids"] if bare else [])
    ids = [[vocabulary[word]] if word in vocabulary else [i for i in next(split) if i != unknown] for word in words]
    ids[:2] = [[], []]
    return ids
