"""Scorers with one vector per label: the encoder's label vectors, and the dense head's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from ramen.mining.nearest import nearest, products
from ramen.scorers.base import Queries, Scorer, save_tensors


class LabelVectors(Scorer):
    """q · w_l.

    Args:
        vectors: float32 (L, d).
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self.n_labels = len(vectors)

    def propose(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Scorer`."""
        kept = queries.memory.setdefault(self, {})
        if k not in kept:
            kept[k] = nearest(queries.vectors, self.vectors, k)
        return kept[k]

    def score(self, queries: Queries, labels: np.ndarray) -> np.ndarray:
        """See :class:`Scorer`."""
        return products(queries.vectors, self.vectors, labels)

    def save(self, folder: Path) -> None:
        """See :class:`Scorer`."""
        save_tensors(folder / "vectors.safetensors", {"vectors": self.vectors})

    @classmethod
    def load(cls, folder: Path) -> LabelVectors:
        """See :class:`Scorer`."""
        return cls(load_file(folder / "vectors.safetensors")["vectors"])
