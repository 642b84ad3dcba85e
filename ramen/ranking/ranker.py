"""One ranking of any number of scorers: their candidates, scored by a weighted sum or by learned trees, top k."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import scipy.sparse as sp

from ramen.mining.heaps import best
from ramen.ranking.candidates import CANDIDATES, Gathered, gather
from ramen.ranking.learned import LearnedRanking
from ramen.scorers.base import Queries, Scorer

_BATCH = 1024  # queries at once: bounds the memory


class Ranker:
    """Top labels of queries, by scorers that training weighed, or by trees that it learned over them.

    Args:
        scorers: by name, at least one.
        weights: by name, one for each scorer.
        learned: ranks instead of the weighted sum; None where the sum does.
    """

    def __init__(
        self, scorers: dict[str, Scorer], weights: dict[str, float], learned: LearnedRanking | None = None
    ) -> None:
        self.scorers, self.weights, self.learned = scorers, weights, learned
        self.n_labels = next(iter(scorers.values())).n_labels

    @property
    def used(self) -> list[str]:
        """Names of the scorers that have a say."""
        return self.learned.scorers if self.learned else [name for name in self.scorers if self.weights[name]]

    def rank(self, queries: Queries, k: int, filtered: sp.csr_matrix | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Labels (int64) and scores (float32) of each query, best first, (B, min(k, L)) each.

        Args:
            queries: B of them.
            k: labels a query.
            filtered: CSR (B, L) of labels to leave out.

        More labels never change what comes first. Where k is more than the candidates, and where the scorers with a say
        know fewer labels than k, all scorers are asked for more, which come behind the others.

        Returns:
            -1 and -inf where all of them together have fewer labels to offer.
        """
        used = {name: self.scorers[name] for name in self.used}
        k = min(k, self.n_labels)
        indices, values = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), -np.inf, np.float32)
        for part, asked, gathered in self._gather(used, queries, CANDIDATES, filtered):
            indices[part], values[part] = self._joined(asked, gathered, k)
        short = np.flatnonzero((indices < 0).any(axis=1))
        if len(short) and (k > CANDIDATES or len(used) < len(self.scorers)):
            left = None if filtered is None else filtered[short]
            for part, asked, gathered in self._gather(self.scorers, queries[short], max(k, CANDIDATES), left):
                more = self._joined(asked, gathered, gathered.labels.shape[1], fill=True)
                rows = short[part]
                indices[rows], values[rows] = _followed_by(indices[rows], values[rows], *more)
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
        for part, asked, gathered in self._gather(self.scorers, queries, max(k, CANDIDATES), filtered):
            found[""][part], scores[part] = self._joined(asked, gathered, k)
            for name in self.scorers:
                found[name][part] = gathered.alone(name, k)[0]
        if k > CANDIDATES:  # what comes first must not hang on k
            found[""], scores = self.rank(queries, k, filtered)
        return found, scores

    def parts(self, queries: Queries, labels: np.ndarray) -> dict[str, np.ndarray]:
        """What the scores of one query's labels are the sum of, float64 (K,) by name.

        Those of the scorers; of trees also what they see beside, and the mean that they start from.

        Args:
            queries: one.
            labels: int64 (K,), that :meth:`rank` gave. The score of one behind the candidates may be lower than its
                parts say, as it never passes one of these.
        """
        if self.learned is None:
            asked = labels[None]
            return {name: self.weights[name] * self.scorers[name].score(queries, asked)[0] for name in self.used}
        used = {name: self.scorers[name] for name in self.used}
        gathered = gather(used, queries, CANDIDATES)
        if not np.isin(labels, gathered.labels[0]).all():
            gathered = gather(self.scorers, queries, max(len(labels), CANDIDATES))
        places = np.searchsorted(gathered.labels[0][gathered.labels[0] >= 0], labels)
        return self.learned.contributions(queries, gathered, places)

    def _joined(
        self, queries: Queries, gathered: Gathered, k: int, fill: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best candidates of each query and their scores; arguments as of :meth:`Gathered.joined`."""
        if self.learned is None:
            weights = {name: self.weights[name] for name in gathered.scores}
            return gathered.joined(weights, k, fill)
        scores = self.learned.scores(queries, gathered)
        return best(gathered.labels, scores, gathered.offered(gathered.proposed if fill else self.learned.scorers), k)

    def _gather(
        self, scorers: Mapping[str, Scorer], queries: Queries, candidates: int, filtered: sp.csr_matrix | None
    ) -> Iterator[tuple[slice, Queries, Gathered]]:
        for start in range(0, len(queries), _BATCH):
            part = slice(start, start + _BATCH)
            asked, left = queries[part], None if filtered is None else filtered[part]
            yield part, asked, gather(scorers, asked, candidates, left)


def _followed_by(
    labels: np.ndarray, scores: np.ndarray, more: np.ndarray, of_more: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ranked labels with more behind them where they end in -1; what comes later never scores higher."""
    for row in range(len(labels)):
        start = int((labels[row] >= 0).sum())
        new = np.flatnonzero((more[row] >= 0) & ~np.isin(more[row], labels[row, :start]))[: labels.shape[1] - start]
        part = slice(start, start + len(new))
        labels[row, part] = more[row, new]
        scores[row, part] = np.minimum(of_more[row, new], scores[row, start - 1] if start else np.inf)
    return labels, scores


def load_kernels() -> None:
    """Load what every ranking needs of numba and its kernels, a quarter of a second that the first would wait for."""
    best(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32), np.ones((1, 1), np.bool_), 1)
