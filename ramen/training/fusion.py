"""Choose the weights of head, encoder and neighbours on validation points."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy.sparse as sp

from ramen.inference.ranking import Fusion, Neighbours, blocks, top
from ramen.metrics import inverse_propensity, report

_CANDIDATES = 100  # labels that each of the three proposes per point
_HEAD_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_NEIGHBOUR_WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)
_TEMPERATURES = (0.05, 0.1)
WATCHED = ("P@1", "P@5", "PSP@5", "R@10")


@dataclass
class Validation:
    """Validation points, and what of them stays the same from one head epoch to the next.

    Args:
        queries: float32 (V, d).
        labels: float32 (L, d), the encoder's label vectors.
        neighbours: over the rows that were trained on.
        truth: CSR (V, L).
        filtered: CSR (V, L).
        inverse_propensity: float64 (L,), of the rows trained on.
    """

    queries: np.ndarray
    labels: np.ndarray
    neighbours: Neighbours
    truth: sp.csr_matrix
    filtered: sp.csr_matrix
    inverse_propensity: np.ndarray

    def __post_init__(self) -> None:
        nearest = self.neighbours.nearest(self.queries)
        self.votes = [self.neighbours.votes(*nearest, temperature) for temperature in _TEMPERATURES]

    def best(self, head: np.ndarray) -> tuple[float, Fusion, dict[str, float]]:
        """The fusion weights that rank the validation points best with these head vectors.

        Weights are compared by the geometric mean of P@1, P@5, PSP@5 and R@10, which no metric's scale decides.

        Returns:
            The geometric mean (percent), the weights, and the four metrics (percent).
        """
        candidates = self._candidates(head)
        by_head, by_encoder = self._gather(head, candidates), self._gather(self.labels, candidates)
        by_votes = [_pick(votes, candidates) for votes in self.votes]
        excluded = (_pick(self.filtered, candidates) > 0) | (candidates < 0)
        found: tuple[float, Fusion, dict[str, float]] | None = None
        for share, weight, (t, temperature) in product(_HEAD_SHARES, _NEIGHBOUR_WEIGHTS, enumerate(_TEMPERATURES)):
            if weight == 0.0 and t:
                continue
            scores = share * by_head + (1 - share) * by_encoder + weight * by_votes[t]
            scores[excluded] = -np.inf
            figures = self._figures(candidates, scores)
            value = float(np.exp(np.mean([np.log(max(figures[name], 1e-6)) for name in WATCHED])))
            if found is None or value > found[0]:
                found = value, Fusion(share, 1 - share, weight, temperature), figures
        assert found is not None
        return found

    def _candidates(self, head: np.ndarray) -> np.ndarray:
        """Distinct labels per row, int64 (V, C), -1 where a row has fewer."""
        width = min(_CANDIDATES, len(head))
        proposals = [self._top(head, width), self._top(self.labels, width)]
        votes = self.votes[-1]
        dense = np.full((len(self.queries), width), -1, dtype=np.int64)
        for row in range(len(dense)):
            part = slice(votes.indptr[row], votes.indptr[row + 1])
            strongest = votes.indices[part][np.argsort(-votes.data[part], kind="stable")[:width]]
            dense[row, : len(strongest)] = strongest
        joined = np.sort(np.concatenate([*proposals, dense], axis=1), axis=1)
        joined[:, 1:][joined[:, 1:] == joined[:, :-1]] = -1
        return joined

    def _top(self, matrix: np.ndarray, k: int) -> np.ndarray:
        parts = blocks(len(self.queries), len(matrix))
        return np.concatenate([top(self.queries[part] @ matrix.T, k)[0] for part in parts])

    def _gather(self, matrix: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        out = np.empty(candidates.shape, dtype=np.float32)
        for start in range(0, len(candidates), 64):
            part = slice(start, start + 64)
            vectors = matrix[np.maximum(candidates[part], 0)]
            out[part] = (vectors @ self.queries[part][:, :, None])[:, :, 0]
        return out

    def _figures(self, candidates: np.ndarray, scores: np.ndarray) -> dict[str, float]:
        order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        ranked = np.take_along_axis(candidates, order, axis=1)
        ranked[np.isneginf(np.take_along_axis(scores, order, axis=1))] = -1
        if ranked.shape[1] < 10:
            ranked = np.pad(ranked, ((0, 0), (0, 10 - ranked.shape[1])), constant_values=-1)
        figures = report(ranked, self.truth, self.inverse_propensity, ks=(1, 5, 10))
        return {name: figures[name] for name in WATCHED}


def _pick(matrix: sp.csr_matrix, columns: np.ndarray) -> np.ndarray:
    """Entries of each row at the given columns, float32 (V, C); 0 where the column is -1."""
    rows = np.repeat(np.arange(len(columns)), columns.shape[1])
    flat = np.maximum(columns.ravel(), 0)
    picked = np.asarray(matrix[rows, flat], dtype=np.float32).reshape(columns.shape)
    picked[columns < 0] = 0
    return picked


def make_validation(
    queries: np.ndarray,
    labels: np.ndarray,
    neighbours: Neighbours,
    truth: sp.csr_matrix,
    filtered: sp.csr_matrix,
    constants: tuple[float, float],
) -> Validation:
    """A :class:`Validation` with the propensities (A, B) of the rows that the neighbours hold."""
    return Validation(queries, labels, neighbours, truth, filtered, inverse_propensity(neighbours.targets, *constants))
