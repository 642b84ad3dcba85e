"""The sparse head over exact words, through an inverted index."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ramen.mining.inverted import InvertedIndex
from ramen.scorers.base import Queries, StoredScorer
from ramen.scorers.sparse.classifier import SparseClassifier

_STEEPNESS = 4.0  # of the logistic curve that brings margins, which have no bound, into the range of cosines


class SparseWords(StoredScorer):
    """1 / (1 + exp(-4 margin)), the margin that of the sparse head.

    Args:
        head: its weights are kept by feature only, as the index reads them.
    """

    def __init__(self, head: SparseClassifier) -> None:
        self.head = SparseClassifier(head.weights.tocsc(), head.bias)
        self.n_labels = head.weights.shape[0]
        self._index = InvertedIndex(self.head.weights, head.bias)

    def propose(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Scorer`. Offers labels that share a word with the query."""
        labels, margins = self._index.top(queries.words, k)
        return labels, np.where(labels >= 0, _squash(margins), np.float32(-np.inf))

    def score(self, queries: Queries, labels: np.ndarray) -> np.ndarray:
        """See :class:`Scorer`."""
        return np.where(labels >= 0, _squash(self._index.scores(queries.words, labels)), np.float32(0.0))

    def save(self, folder: Path) -> None:
        """See :class:`Scorer`."""
        self.head.save(folder / "weights.safetensors")

    @classmethod
    def load(cls, folder: Path) -> SparseWords:
        """See :class:`Scorer`."""
        return cls(SparseClassifier.load(folder / "weights.safetensors"))


def _squash(margins: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return (1.0 / (1.0 + np.exp(-_STEEPNESS * margins))).astype(np.float32)
