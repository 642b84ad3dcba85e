"""What choices are made by: validation points, and one number for a ranking of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ramen.metrics import report
from ramen.scorers.base import Queries, Scorer
from ramen.scorers.ranker import CANDIDATES, Gathered, gather

GAIN = 1.005  # a change must improve the value by so much: less is chance with a thousand points
_DEEP = 100
WATCHED = ("P@1", "P@5", "PSP@5", "R@10")


@dataclass
class Validation:
    """Validation points and their truth.

    Attributes:
        truth: CSR (V, L).
        filtered: CSR (V, L), pairs that are neither right nor wrong.
        inverse_propensity: float64 (L,), of the rows trained on.
    """

    truth: sp.csr_matrix
    filtered: sp.csr_matrix
    inverse_propensity: np.ndarray

    def gather(self, scorers: Mapping[str, Scorer], queries: Queries) -> Gathered:
        """Candidates and scores of the validation points, filtered labels left out."""
        return gather(scorers, queries, CANDIDATES, self.filtered)

    def judge(self, gathered: Gathered, weights: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        """The geometric mean of P@1, P@5, PSP@5 and R@10 (percent), which no metric's scale decides, and the four."""
        figures = report(gathered.joined(weights, 10)[0], self.truth, self.inverse_propensity, ks=(1, 5, 10))
        watched = {name: figures[name] for name in WATCHED}
        return float(np.exp(np.mean([np.log(max(value, 1e-6)) for value in watched.values()]))), watched

    def each(self, gathered: Gathered, weights: Mapping[str, float]) -> np.ndarray:
        """nDCG@100 of every validation point, float64 (V,): fine enough to compare paired runs by."""
        labels = gathered.joined(weights, _DEEP)[0]
        rows = np.arange(len(labels))[:, None]
        hits = np.where(labels >= 0, self.truth[rows, np.maximum(labels, 0)].toarray(), 0) > 0
        discount = 1 / np.log2(np.arange(2, _DEEP + 2))
        best = np.cumsum(discount)[np.clip(np.diff(self.truth.indptr), 1, _DEEP) - 1]
        return hits @ discount / best
