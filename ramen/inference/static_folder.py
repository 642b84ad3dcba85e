"""Encode with a saved static encoder in numpy, because torch and sentence-transformers take seconds to import."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from tokenizers import Tokenizer

from ramen.mapped import map_tensors

_BATCH = 1024


class StaticFolder:
    """An encoder of ``StaticEmbedding`` and ``Normalize``; its vectors equal those of ``SentenceTransformer(folder)``.

    Args:
        tokenizer: of the folder.
        table: float32 (ids, d).
    """

    def __init__(self, tokenizer: Tokenizer, table: np.ndarray) -> None:
        self.tokenizer, self.table = tokenizer, table

    @classmethod
    def open(cls, folder: Path) -> StaticFolder | None:
        """Load the folder's encoder; returns None if it has other modules."""
        modules = json.loads((folder / "modules.json").read_text())
        kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
        if kinds != ["StaticEmbedding", "Normalize"]:
            return None
        home = folder / modules[0]["path"]
        return cls(
            Tokenizer.from_str((home / "tokenizer.json").read_text(encoding="utf-8")),  # any path; from_file: UTF-8
            map_tensors(home / "model.safetensors")["embedding.weight"],
        )

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
