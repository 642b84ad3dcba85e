"""Scorers with one row per label over the encoder's vector: the labels' own vectors, and the one-vs-all head's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ramen.mapped import map_tensors
from ramen.mining.signs import SignIndex
from ramen.scorers.base import Queries, StoredScorer, save_tensors
from ramen.scorers.dense.label_weights import Float32Weights, LabelWeights, load_weights


class LabelVectors(StoredScorer):
    """q · w_l.

    Args:
        rows: the w_l, or float32 (L, d).

    Attributes:
        index: of the rows, by which it proposes; None for an exact search.
    """

    index: SignIndex | None = None

    def __init__(self, rows: LabelWeights | np.ndarray) -> None:
        self.rows = rows if isinstance(rows, LabelWeights) else Float32Weights(rows)
        self.n_labels = self.rows.n_labels

    def propose(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Scorer`."""
        kept = queries.memory.setdefault(self, {})
        if k not in kept:
            index, rows = self.index, self.rows
            kept[k] = index.top(queries.vectors, k, rows.products) if index else rows.top(queries.vectors, k)
        return kept[k]

    def score(self, queries: Queries, labels: np.ndarray) -> np.ndarray:
        """See :class:`Scorer`."""
        return self.rows.products(queries.vectors, labels)

    def save(self, folder: Path) -> None:
        """See :class:`Scorer`."""
        save_tensors(folder / "vectors.safetensors", self.rows.arrays())

    @classmethod
    def load(cls, folder: Path) -> LabelVectors:
        """What :meth:`save` wrote."""
        path = folder / "vectors.safetensors"
        return cls(load_weights(map_tensors(path), path))
