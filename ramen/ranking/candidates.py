"""Candidates of queries: the union of all scorers' proposals, and the exact score of each scorer for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from ramen.compiled import kernel
from ramen.mining.heaps import best
from ramen.scorers.base import Queries, Scorer
from ramen.threads import parallel_for

if TYPE_CHECKING:
    from ramen.ranking.pair_features import PairFeatures

CANDIDATES = 100  # labels that each scorer proposes per query


@dataclass
class Gathered:
    """Candidates of a batch of queries, and their scores by each scorer.

    Attributes:
        labels: int64 (B, C), distinct and ascending in each row, padded with -1.
        scores: by scorer, float32 (B, C).
        proposed: by scorer, bool (B, C), True for the candidates that this scorer proposed.
        features: what the learned ranking last computed of them, and by which features.
    """

    labels: np.ndarray
    scores: dict[str, np.ndarray]
    proposed: dict[str, np.ndarray]
    features: tuple[PairFeatures, np.ndarray] | None = None

    def top_k(self, weights: Mapping[str, float], k: int, fill: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return the k best labels (int64) and weighted sums (float32), (B, k) each; padded with -1 and -inf.

        Labels that only scorers of weight 0 proposed are excluded, unless ``fill``.
        """
        names = [name for name, weight in weights.items() if weight or fill]
        return best(self.labels, self.total(weights), self.offered(names), k)

    def total(self, weights: Mapping[str, float]) -> np.ndarray:
        """Return the weighted sum of the scores, float32 (B, C)."""
        total = np.zeros(self.labels.shape, dtype=np.float32)
        for name, weight in weights.items():
            if weight:
                total += np.float32(weight) * self.scores[name]
        return total

    def offered(self, names: Iterable[str]) -> np.ndarray:
        """Return a mask of the candidates that any of these scorers proposed, bool (B, C)."""
        offered = np.zeros(self.labels.shape, dtype=np.bool_)
        for name in names:
            offered |= self.proposed[name]
        return offered

    def alone(self, name: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k best labels and scores of one scorer among its proposals; see :meth:`top_k`."""
        return best(self.labels, self.scores[name], self.proposed[name], k)


def gather(
    scorers: Mapping[str, Scorer], queries: Queries, candidates: int, filtered: sp.csr_matrix | None = None,
    also: np.ndarray | None = None,
) -> Gathered:  # fmt: skip
    """Collect the proposals of every scorer, then score all of them by every scorer.

    Args:
        scorers: by name, at least one.
        queries: B queries.
        candidates: labels that each scorer proposes per query.
        filtered: CSR (B, L), labels to exclude, or None.
        also: int64 (B, K), labels to score although nobody may have proposed them, padded with -1; or None.
    """
    n_labels = next(iter(scorers.values())).n_labels
    filtered = sp.csr_matrix((len(queries), n_labels)) if filtered is None else filtered
    wanted = min(candidates + int(np.diff(filtered.indptr).max(initial=0)), n_labels)
    proposals = {name: _proposals(scorer, queries, wanted) for name, scorer in scorers.items()}
    every = [*proposals.values(), *([] if also is None else [also])]
    labels = _union(np.concatenate(every, axis=1), filtered)
    # Contiguous whatever the width: kernels are compiled for each memory layout.
    labels = np.ascontiguousarray(labels[:, : max(1, int((labels >= 0).sum(1).max(initial=0)))])
    scores = {name: scorer.score(queries, labels) for name, scorer in scorers.items()}
    return Gathered(labels, scores, {name: _contains(of_scorer, labels) for name, of_scorer in proposals.items()})


def _proposals(scorer: Scorer, queries: Queries, wanted: int) -> np.ndarray:
    """The labels that a scorer proposes, int64 (B, wanted); asked again with others beside it, it has answered."""
    known = queries.proposals.get(scorer)
    if known is None or known.shape[1] != wanted:
        known = queries.proposals[scorer] = scorer.propose(queries, wanted)[0]
    return known


def _union(proposed: np.ndarray, filtered: sp.csr_matrix) -> np.ndarray:
    """Return the distinct unfiltered labels of each row, ascending, padded with -1."""
    out = np.full(proposed.shape, -1, dtype=np.int64)
    skipped = filtered.indptr.astype(np.int64, copy=False), filtered.indices.astype(np.int64, copy=False)
    parallel_for(len(proposed), _unite, np.sort(proposed, axis=1), *skipped, out, work=1.0 + 5 * proposed.shape[1])
    return out


@kernel
def _unite(
    first: int, last: int, ascending: np.ndarray, f_starts: np.ndarray, f_labels: np.ndarray, out: np.ndarray
) -> None:
    for row in range(first, last):
        before, count = -1, 0
        for label in ascending[row]:
            if label == before:
                continue
            before, skipped = label, False
            for at in range(f_starts[row], f_starts[row + 1]):
                skipped = skipped or f_labels[at] == label
            if not skipped:
                out[row, count] = label
                count += 1


def _contains(proposed: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which labels, ascending and padded with -1, the same row of ``proposed`` contains, bool (B, C)."""
    out = np.zeros(labels.shape, dtype=np.bool_)
    parallel_for(len(labels), _look_up, np.sort(proposed, axis=1), labels, out, work=1.0 + 5 * labels.shape[1])
    return out


@kernel
def _look_up(first: int, last: int, ascending: np.ndarray, labels: np.ndarray, out: np.ndarray) -> None:
    for row in range(first, last):
        at = 0
        for column in range(labels.shape[1]):
            label = labels[row, column]
            while at < ascending.shape[1] and ascending[row, at] < label:
                at += 1
            out[row, column] = label >= 0 and at < ascending.shape[1] and ascending[row, at] == label
