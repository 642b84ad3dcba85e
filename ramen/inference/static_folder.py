"""Encode with a saved static encoder in numpy, because torch and sentence-transformers take seconds to import."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from tokenizers import Tokenizer

from ramen.errors import InputError
from ramen.stored import Tensors, check_fields, read_json, shown

_BATCH = 1024
_LIBRARY = "sentence_transformers."  # whose modules an encoder consists of: other types would run code of the folder
_STRANGE = "\ue000 a"  # a character of private use: in no vocabulary
_MODULE = {"type": "a string", "path": "a string"}


class StaticFolder:
    """An encoder of ``StaticEmbedding`` and ``Normalize``; its vectors equal those of ``SentenceTransformer(folder)``.

    Args:
        tokenizer: of the folder.
        table: float32 (ids, d).
    """

    def __init__(self, tokenizer: Tokenizer, table: np.ndarray) -> None:
        self.tokenizer, self.table = tokenizer, table

    @classmethod
    def open(cls, folder: Path, full: bool = True) -> StaticFolder | None:
        """Load the folder's encoder; returns None if it has other modules.

        Args:
            folder: of the encoder.
            full: check all values, too, and that every token has a row.

        Raises:
            InputError: a file is missing or damaged, or the two do not fit each other.
        """
        kinds, homes = read_modules(folder)
        if kinds != ["StaticEmbedding", "Normalize"]:
            return None
        table = Tensors(homes[0] / "model.safetensors", full).array("embedding.weight", "f4", (None, None))
        return cls(_read_tokenizer(homes[0] / "tokenizer.json", len(table), full), table)

    @property
    def dim(self) -> int:
        """Of the vectors."""
        return self.table.shape[1]

    def encode(self, texts: list[str]) -> np.ndarray:
        """Encode texts into unit vectors, float32 (n, d); zero for a text without tokens of the vocabulary."""
        out = np.empty((len(texts), self.table.shape[1]), dtype=np.float32)
        for first in range(0, len(texts), _BATCH):
            batch = texts[first : first + _BATCH]
            lists = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(batch, add_special_tokens=False)]
            indptr = np.cumsum([0, *map(len, lists)])
            ids = np.fromiter((i for row in lists for i in row), dtype=np.int64, count=int(indptr[-1]))
            bags = sp.csr_matrix((np.ones(len(ids), np.float32), ids, indptr), shape=(len(batch), len(self.table)))
            vectors = bags @ self.table
            out[first : first + len(batch)] = vectors / np.maximum(
                np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12
            )
        return out


def read_modules(folder: Path) -> tuple[list[str], list[Path]]:
    """Return the kinds and folders of an encoder's modules.

    Raises:
        InputError: ``modules.json`` is damaged, or has a module of another library or outside the folder.
    """
    path = folder / "modules.json"
    modules = read_json(path)
    if not isinstance(modules, list) or not modules:
        raise InputError(f"{path}: found {shown(modules)}, expected a list of modules")
    for number, module in enumerate(modules, 1):
        where = f"{path}: module {number}"
        check_fields(where, module, _MODULE, {"idx": "anything", "name": "anything", "kwargs": "anything"})
        if not module["type"].startswith(_LIBRARY):
            raise InputError(f"{where}: type: found {module['type']!r}, expected one of {_LIBRARY}")
        if Path(module["path"]).is_absolute() or ".." in Path(module["path"]).parts:
            raise InputError(f"{where}: path: found {module['path']!r}, expected a folder in {folder.name}")
    return [module["type"].rsplit(".", 1)[-1] for module in modules], [folder / one["path"] for one in modules]


def _read_tokenizer(path: Path, n_rows: int, full: bool) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))  # any path; from_file: UTF-8
        if not full:
            return tokenizer
        last = max(tokenizer.get_vocab().values(), default=-1)
        if tokenizer.padding:
            last = max(last, tokenizer.padding["pad_id"])
        tokenizer.encode_batch([_STRANGE], add_special_tokens=False)  # fails if there is no token for unknown words
    except Exception as error:  # of the library, which has no type of its own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{path}: not a tokenizer that can be used: {reason:.200}") from error
    if last >= n_rows:
        raise InputError(f"{path}: found the token {last}, expected 0 to {n_rows - 1}, the rows of the encoder's table")
    return tokenizer
