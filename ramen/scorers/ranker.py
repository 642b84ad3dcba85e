"""One ranking of any number of scorers: union of their proposals, exact scores of these, weighted sum, top k."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ramen.compiled import kernel
from ramen.mining.heaps import best_first, no_rows, push
from ramen.scorers.base import Queries, Scorer
from ramen.threads import parallel_for

CANDIDATES = 100  # labels that each scorer proposes per query
_BATCH = 1024  # queries at once: bounds the memory


@dataclass
class Gathered:
    """Candidates of a batch of queries, and what each scorer says of them.

    Attributes:
        labels: int64 (B, C), distinct in each row, ascending, -1 where a row has fewer.
        scores: by scorer float32 (B, C).
        proposed: by scorer bool (B, C), the candidates that it proposed itself.
    """

    labels: np.ndarray
    scores: dict[str, np.ndarray]
    proposed: dict[str, np.ndarray]

    def joined(self, weights: Mapping[str, float], k: int, fill: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Labels (int64) and weighted sums (float32) of each query's k best, (B, k) each; -1 and -inf for none.

        A scorer of weight 0 has no say, nor have labels that only such scorers proposed, unless ``fill`` lets them in.
        """
        total = np.zeros(self.labels.shape, dtype=np.float32)
        offered = np.zeros(self.labels.shape, dtype=np.bool_)
        for name, weight in weights.items():
            if weight:
                total += np.float32(weight) * self.scores[name]
            if weight or fill:
                offered |= self.proposed[name]
        return best(self.labels, total, offered, k)

    def alone(self, name: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The same by one scorer: its own proposals in its own order."""
        return best(self.labels, self.scores[name], self.proposed[name], k)


def gather(
    scorers: Mapping[str, Scorer], queries: Queries, candidates: int, filtered: sp.csr_matrix | None = None
) -> Gathered:
    """Ask every scorer for its proposals, then for its scores of all of them.

    Args:
        scorers: by name, at least one.
        queries: B of them.
        candidates: labels that each proposes.
        filtered: CSR (B, L) of labels that are never candidates, or None.
    """
    n_labels = next(iter(scorers.values())).n_labels
    filtered = sp.csr_matrix((len(queries), n_labels)) if filtered is None else filtered
    wanted = min(candidates + int(np.diff(filtered.indptr).max(initial=0)), n_labels)
    own = {name: scorer.propose(queries, wanted)[0] for name, scorer in scorers.items()}
    labels = _united(np.concatenate(list(own.values()), axis=1), filtered)
    # One layout, whatever the width: kernels are compiled for each.
    labels = np.ascontiguousarray(labels[:, : max(1, int((labels >= 0).sum(1).max(initial=0)))])
    scores = {name: scorer.score(queries, labels) for name, scorer in scorers.items()}
    return Gathered(labels, scores, {name: _among(found, labels) for name, found in own.items()})


def _united(proposed: np.ndarray, filtered: sp.csr_matrix) -> np.ndarray:
    """The distinct labels of each row that are not filtered, ascending, padded with -1."""
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


def _among(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which labels, ascending and padded with -1 in each row, are among those found in the same row: bool (B, C)."""
    out = np.zeros(labels.shape, dtype=np.bool_)
    parallel_for(len(labels), _look_up, np.sort(found, axis=1), labels, out, work=1.0 + 5 * labels.shape[1])
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


def best(labels: np.ndarray, scores: np.ndarray, offered: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k highest of the scores offered in each row; of equal ones the smaller label first."""
    found, values = no_rows(len(labels), k)
    parallel_for(len(labels), _best, labels, scores, offered, found, values, work=1.0 + 10 * labels.shape[1])
    return found, values


@kernel
def _best(
    first: int, last: int, labels: np.ndarray, scores: np.ndarray, offered: np.ndarray, found: np.ndarray,
    values: np.ndarray,
) -> None:  # fmt: skip
    for row in range(first, last):
        size = np.int64(0)
        for column in range(labels.shape[1]):
            if offered[row, column]:
                size = push(values[row], found[row], size, scores[row, column], labels[row, column])
        best_first(values[row], found[row], size)


def load_kernels() -> None:
    """Load what every ranking needs of numba and its kernels, a quarter of a second that the first would wait for."""
    best(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32), np.ones((1, 1), np.bool_), 1)


class Ranker:
    """Top labels of queries, by scorers that training weighed.

    Args:
        scorers: by name, at least one.
        weights: by name, one for each scorer.
    """

    def __init__(self, scorers: dict[str, Scorer], weights: dict[str, float]) -> None:
        self.scorers, self.weights = scorers, weights
        self.n_labels = next(iter(scorers.values())).n_labels

    def rank(self, queries: Queries, k: int, filtered: sp.csr_matrix | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Labels (int64) and scores (float32) of each query, best first, (B, min(k, L)) each.

        Args:
            queries: B of them.
            k: labels a query.
            filtered: CSR (B, L) of labels to leave out.

        Scorers of weight 0 are asked only for queries of which the others know fewer than k labels, and then for
        proposals, not for scores.

        Returns:
            -1 and -inf where all of them together have fewer labels to offer.
        """
        used = {name: scorer for name, scorer in self.scorers.items() if self.weights[name]}
        k = min(k, self.n_labels)
        indices, values = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), -np.inf, np.float32)
        for part, gathered in self._gather(used, queries, k, filtered):
            indices[part], values[part] = gathered.joined({name: self.weights[name] for name in used}, k)
        short = np.flatnonzero(indices[:, -1] < 0)
        if len(used) < len(self.scorers) and len(short):
            left = None if filtered is None else filtered[short]
            for part, gathered in self._gather(self.scorers, queries[short], k, left):
                indices[short[part]], values[short[part]] = gathered.joined(self.weights, k, fill=True)
        return indices, values

    def rank_each(
        self, queries: Queries, k: int, filtered: sp.csr_matrix | None = None
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Labels of the joint ranking under ``""`` and of each scorer alone under its name, int64 (B, min(k, L)).

        See :meth:`rank`.

        Returns:
            These, and the scores of the joint ranking, float32 (B, min(k, L)).
        """
        k = min(k, self.n_labels)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        found = {name: np.full((len(queries), k), -1, np.int64) for name in ("", *self.scorers)}
        for part, gathered in self._gather(self.scorers, queries, k, filtered):
            found[""][part], scores[part] = gathered.joined(self.weights, k)
            for name in self.scorers:
                found[name][part] = gathered.alone(name, k)[0]
        return found, scores

    def _gather(
        self, scorers: Mapping[str, Scorer], queries: Queries, k: int, filtered: sp.csr_matrix | None
    ) -> Iterator[tuple[slice, Gathered]]:
        for start in range(0, len(queries), _BATCH):
            part = slice(start, start + _BATCH)
            yield part, gather(scorers, queries[part], max(k, CANDIDATES), None if filtered is None else filtered[part])
