"""Held-out points: what a search compares rankings by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from ramen.metrics import inverse_propensity
from ramen.metrics.trust import standard_errors
from ramen.ranking.candidates import CANDIDATES, Gathered, gather
from ramen.scorers.base import Queries, Scorer

if TYPE_CHECKING:
    from ramen.training.data import TrainingData
    from ramen.training.split import Split

METRICS = ("P@1", "P@5", "PSP@5", "R@10")


@dataclass
class HeldOut:
    """Held-out points and their targets.

    Attributes:
        rows: int64 (V,), training points.
        targets: CSR (V, L); values weigh the pairs, see :func:`ramen.training.split.split_off`.
        filtered: CSR (V, L), pairs that are neither right nor wrong.
        inverse_propensity: float64 (L,), of the rows trained on.
        filtered_at_test: CSR (V, L), pairs of the targets that the test part would filter; None for none.
    """

    rows: np.ndarray
    targets: sp.csr_matrix
    filtered: sp.csr_matrix
    inverse_propensity: np.ndarray
    filtered_at_test: sp.csr_matrix | None = None

    @classmethod
    def of(cls, data: TrainingData, split: Split) -> HeldOut:
        """The held-out points of a split."""
        card, targets = data.dataset.card, split.targets[split.train_rows]
        filtered = sp.csr_matrix(data.filtered[split.held_out_rows] + split.held_out_ignored)
        propensities = inverse_propensity(targets, card.A, card.B)
        return cls(split.held_out_rows, split.held_out_targets, filtered, propensities, split.filtered_at_test)

    def gather(self, scorers: Mapping[str, Scorer], queries: Queries) -> Gathered:
        """Candidates and scores of the held-out points, filtered labels left out."""
        return gather(scorers, queries, CANDIDATES, self.filtered)

    def judge(self, labels: np.ndarray) -> tuple[float, dict[str, float]]:
        """The geometric mean of P@1, P@5, PSP@5 and R@10 (percent), which no metric's scale decides, and the four.

        A right pair counts as much as it weighs; with weights of 1 these are the metrics of :mod:`ramen.metrics`.

        Args:
            labels: int64 (V, 10 or more), ranked, -1 for none.
        """
        figures = {name: 100.0 * float(values.mean()) for name, values in self.by_point(labels).items()}
        return float(np.exp(np.mean([np.log(max(value, 1e-6)) for value in figures.values()]))), figures

    def judge_weights(self, gathered: Gathered, weights: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        """:meth:`judge` of a weighted sum."""
        return self.judge(gathered.top_k(weights, 10)[0])

    def by_point(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """By metric what each point adds, float64 (V,), so that the mean over the points is the metric.

        Args:
            labels: int64 (V, 10 or more), ranked, -1 for none.
        """
        hits = self.weights_of(labels[:, :10])
        inverse = np.where(labels[:, :5] >= 0, self.inverse_propensity[np.maximum(labels[:, :5], 0)], 0.0)
        mass = np.asarray(self.targets.sum(1)).ravel()
        weight = mass / np.maximum(np.diff(self.targets.indptr), 1)  # of a point: that of its pairs
        recall = hits.sum(1) / np.maximum(mass, 1e-12) * weight / max(weight.mean(), 1e-12)
        return dict(
            zip(
                METRICS,
                (hits[:, 0], hits[:, :5].mean(1), (hits[:, :5] * inverse).sum(1) / self._ideal, recall),
                strict=True,
            )
        )

    def ahead(self, labels: np.ndarray, others: np.ndarray) -> dict[str, float]:
        """By metric how many standard errors of the paired difference a ranking is ahead of another."""
        ours, theirs = self.by_point(labels), self.by_point(others)
        return {name: standard_errors(ours[name] - theirs[name]) for name in METRICS}

    def lead(self, labels: np.ndarray, others: np.ndarray) -> float:
        """By how many standard errors a ranking is ahead in the geometric mean of the metrics, to first order."""
        ours, theirs = self.by_point(labels), self.by_point(others)
        return standard_errors(sum((ours[name] - theirs[name]) / max(theirs[name].mean(), 1e-9) for name in METRICS))

    def as_at_test(self, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Scores of candidates (V, C), -inf for those that the test part would filter."""
        if self.filtered_at_test is None or not self.filtered_at_test.nnz:
            return scores
        rows = np.repeat(np.arange(len(labels)), labels.shape[1])
        is_filtered = np.asarray(self.filtered_at_test[rows, np.maximum(labels, 0).ravel()]).reshape(labels.shape)
        return np.where((is_filtered > 0) & (labels >= 0), np.float32(-np.inf), scores)

    def targets_at_test(self) -> sp.csr_matrix:
        """Targets (V, L) without those that the test part would filter."""
        if self.filtered_at_test is None or not self.filtered_at_test.nnz:
            return self.targets
        return sp.csr_matrix(self.targets - self.targets.multiply(self.filtered_at_test != 0))

    def weights_of(self, labels: np.ndarray) -> np.ndarray:
        """Of each label what its pair weighs, 0 for a wrong one, float64 (V, K)."""
        rows = np.repeat(np.arange(len(labels)), labels.shape[1])
        weights = np.asarray(self.targets[rows, np.maximum(labels, 0).ravel()], dtype=np.float64).reshape(labels.shape)
        return np.where(labels >= 0, weights, 0.0)

    @cached_property
    def _ideal(self) -> float:
        """Mean over the points of the best sum of weight / propensity that five labels can have."""
        worth = self.targets.multiply(self.inverse_propensity[None, :]).tocsr()
        rows = np.repeat(np.arange(worth.shape[0]), np.diff(worth.indptr))
        order = np.lexsort((-worth.data, rows))
        place = np.arange(len(order)) - worth.indptr[rows[order]]
        return max(float(worth.data[order][place < 5].sum()) / max(1, worth.shape[0]), 1e-12)
