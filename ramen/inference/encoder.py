"""Loads the encoder of a run, for inference, and checks that it fits the scorers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ramen.encoders.bag_of_words import BagFeatures, BagOfWordsEncoder
from ramen.encoders.word_features import WordFeatures
from ramen.errors import InputError
from ramen.extras import needing
from ramen.files import digest
from ramen.inference.checked import is_checked, note_checked
from ramen.inference.run import MANIFEST, Run
from ramen.inference.static_folder import StaticFolder, read_modules
from ramen.stored import Tensors, read_json, shown
from ramen.threads import one_torch_thread_in_children

if TYPE_CHECKING:
    from typing import TypeAlias

    from sentence_transformers import SentenceTransformer

    RunEncoder: TypeAlias = StaticFolder | BagOfWordsEncoder | SentenceTransformer

LABEL_MAP = "label_map.safetensors"  # as training saved it
# What training exports. Others of the library read further kinds of files, or import what their settings name.
_MODULES = ("Transformer", "Pooling", "Dense", "Normalize", "StaticEmbedding")


def open_encoder(run: Path, anew: bool = False) -> RunEncoder:
    """Load the encoder of a run whose files were checked against the manifest.

    Args:
        run: its folder.
        anew: check all values, whatever was checked before.

    Raises:
        InputError: a file is missing or damaged, or files do not fit each other.
    """
    folder, content = run / "encoder", ("encoder", digest(run / MANIFEST))
    full = anew or not is_checked(*content)
    encoder = BagOfWordsEncoder.open(folder, full) or StaticFolder.open(folder, full) or sentence_transformer(run, full)
    label_map, dim = folder / LABEL_MAP, _dim(encoder)
    if label_map.exists():
        Tensors(label_map, full).array("weight", "f4", (dim, dim))
    if full:
        for path in folder.rglob("*.json"):
            if not isinstance(found := read_json(path), dict | list):
                raise InputError(f"{path}: found {shown(found)}, expected an object or a list")
        note_checked(*content)
    return encoder


def _dim(encoder: RunEncoder) -> int | None:
    """Return the dimension of an encoder's vectors; None if it does not say."""
    if isinstance(encoder, StaticFolder | BagOfWordsEncoder):
        return encoder.dim
    return encoder.get_embedding_dimension()


def sentence_transformer(run: Path, full: bool = False) -> SentenceTransformer:
    """Load a run's encoder by its library, without code of the folder; ``full`` checks that its weights are finite.

    Raises:
        InputError: it does not load.
    """
    if strange := [kind for kind in read_modules(run / "encoder")[0] if kind not in _MODULES]:
        path = run / "encoder" / "modules.json"
        raise InputError(f"{path}: found the module {strange[0]!r}, expected only {', '.join(_MODULES)}")
    with needing("train", f"{run / 'encoder'}: its encoder"):
        import torch
        from sentence_transformers import SentenceTransformer

    one_torch_thread_in_children()
    folder, device = run / "encoder", "cuda" if torch.cuda.is_available() else "cpu"
    try:
        encoder = SentenceTransformer(str(folder), device=device, local_files_only=True)
    except Exception as error:  # of transformers and others, which have no type in common
        raise InputError(
            f"{folder}: does not load as an encoder: {(str(error).splitlines() or [''])[0]:.200}"
        ) from error
    for name, weight in encoder.state_dict().items():
        if full and not torch.isfinite(weight).all():
            raise InputError(f"{folder}: {name}: found NaN or infinity, expected finite weights")
    return encoder


def check_fits(run: Run, encoder: RunEncoder) -> None:
    """Check that an encoder's vectors and a run's word features are those that the scorers read.

    Raises:
        InputError: they are not.
    """
    folder, dim, words = run.path / "encoder", _dim(encoder), run.words
    is_bag = isinstance(encoder, BagOfWordsEncoder)
    for name, scorer in run.trained.items():
        if dim is not None and scorer.dim not in (None, dim):
            raise InputError(f"{folder}: found vectors of {dim} dimensions, expected {scorer.dim} as in scorers/{name}")
        if scorer.features is not None and scorer.features != _kind(words):
            found = f"found features {_kind(words)!r}, expected {scorer.features!r} as in scorers/{name}"
            raise InputError(f"{run.path / 'words'}: {found}")
    if words is not None and is_bag != isinstance(words, BagFeatures):
        raise InputError(f"{run.path / 'words'}: found features of texts and bags of words, expected one of the two")
    if isinstance(encoder, BagOfWordsEncoder) and words is not None and len(words) != len(encoder.idf):
        raise InputError(f"{folder}: found {len(encoder.idf)} features, expected {len(words)} as in words")


def _kind(words: WordFeatures | BagFeatures | None) -> str | None:
    if words is None:
        return None
    return words.features if isinstance(words, BagFeatures) else words.kind
