"""Scorers of a run whose labels have changed since training: with labels added, with labels masked.

A run folder holds neither: they are rebuilt from the journal of its labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ramen.mining.heaps import best
from ramen.scorers.base import Queries, Scorer


class ConcatenatedScorer(Scorer):
    """Two scorers of the same kind as one: the labels of the second come after those of the first."""

    def __init__(self, first: Scorer, second: Scorer) -> None:
        self.first, self.second = first, second
        self.n_labels = first.n_labels + second.n_labels

    def propose(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Scorer`."""
        early, early_scores = self.first.propose(queries, k)
        late, late_scores = self.second.propose(queries, k)
        labels = np.concatenate([early, np.where(late >= 0, late + self.first.n_labels, -1)], axis=1)
        return best(labels, np.concatenate([early_scores, late_scores], axis=1), labels >= 0, k)

    def score(self, queries: Queries, labels: np.ndarray) -> np.ndarray:
        """See :class:`Scorer`."""
        early, late = labels < self.first.n_labels, labels - self.first.n_labels
        scores = self.first.score(queries, np.where(early, labels, -1))
        return np.where(early, scores, self.second.score(queries, np.where(early, -1, late)))

    def explain(self, queries: Queries, labels: np.ndarray, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """See :class:`Scorer`."""
        is_early, first = labels < self.first.n_labels, self.first.n_labels
        early = iter(self.first.explain(queries, labels[is_early], features))
        late = iter(self.second.explain(queries, labels[~is_early] - first, features))
        return [next(early if of_first else late) for of_first in is_early]


class MaskedScorer(Scorer):
    """A scorer that never proposes some labels.

    Args:
        scorer: whose labels they are.
        removed: bool (L,).
    """

    def __init__(self, scorer: Scorer, removed: np.ndarray) -> None:
        self.scorer, self.removed, self.n_labels = scorer, removed, scorer.n_labels

    def propose(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Scorer`; asks for more until k are left or there are no more."""
        wanted = k
        while True:
            labels, scores = self.scorer.propose(queries, min(wanted, self.n_labels))
            present = (labels >= 0) & ~self.removed[np.maximum(labels, 0)]
            is_short = (present.sum(axis=1) < k) & (labels[:, -1] >= 0)
            if wanted >= self.n_labels or not is_short.any():
                return best(labels, scores, present, k)
            wanted *= 2

    def score(self, queries: Queries, labels: np.ndarray) -> np.ndarray:
        """See :class:`Scorer`."""
        return self.scorer.score(queries, labels)

    def explain(self, queries: Queries, labels: np.ndarray, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """See :class:`Scorer`."""
        return self.scorer.explain(queries, labels, features)
