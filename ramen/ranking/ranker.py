"""The ranker: top-k labels from the candidates of several scorers, by a weighted sum or by learned trees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import scipy.sparse as sp

from ramen.mining.heaps import best
from ramen.mining.nearest import device_for
from ramen.ranking.candidates import CANDIDATES, Gathered, gather
from ramen.ranking.learned import LearnedRanking
from ramen.ranking.level import DEPTH, TEXT, TextLevel
from ramen.scorers.base import Queries, Scorer

_BATCH = 1024  # queries at once: bounds the memory
_REMEMBERED = 256  # queries whose candidates are kept to explain them: bounds the memory
_GPU_BATCH = (
    16_384  # where searches run on a GPU: each sends all label weights there, 4 GB for 1.3 million labels x 768
)


class Ranker:
    """Ranks labels of queries by a weighted sum of scorers, or by trees over their scores.

    Args:
        scorers: by name, at least one.
        weights: by name, one for each scorer.
        learned: replaces the weighted sum; None for the weighted sum.
        level: makes scores of different texts comparable; None to add nothing.
    """

    def __init__(
        self, scorers: dict[str, Scorer], weights: dict[str, float], learned: LearnedRanking | None = None,
        level: TextLevel | None = None,
    ) -> None:  # fmt: skip
        self.scorers, self.weights, self.learned, self.level = scorers, weights, learned, level
        self.n_labels = next(iter(scorers.values())).n_labels

    @property
    def used(self) -> list[str]:
        """Names of the scorers that affect the ranking."""
        return self.learned.scorers if self.learned else [name for name in self.scorers if self.weights[name]]

    def rank(self, queries: Queries, k: int, filtered: sp.csr_matrix | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return labels (int64) and scores (float32) of each query, best first, (B, min(k, L)) each.

        A larger k never changes the first labels. If k exceeds the number of candidates, or the used scorers propose
        fewer than k labels, all scorers propose more, which follow the others.

        Args:
            queries: B queries.
            k: labels per query.
            filtered: CSR (B, L), labels to exclude.

        Returns:
            Padded with -1 and -inf where all scorers together propose fewer labels.
        """
        used = {name: self.scorers[name] for name in self.used}
        k = min(k, self.n_labels)
        indices, values = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), -np.inf, np.float32)
        levels = np.zeros(len(queries), np.float32)
        for part, batch, gathered in self._gather(used, queries, CANDIDATES, filtered):
            indices[part], values[part], levels[part] = self._ranked(batch, gathered, k)
        short = np.flatnonzero((indices < 0).any(axis=1))
        if len(short) and (k > CANDIDATES or len(used) < len(self.scorers)):
            excluded = None if filtered is None else filtered[short]
            for part, batch, gathered in self._gather(self.scorers, queries[short], max(k, CANDIDATES), excluded):
                more = self._top_k(batch, gathered, gathered.labels.shape[1], fill=True)
                rows = short[part]
                indices[rows], values[rows] = _append(indices[rows], values[rows], *more)
        return indices, values + levels[:, None]

    def rank_each(
        self, queries: Queries, k: int, filtered: sp.csr_matrix | None = None
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Rank jointly and by each scorer alone; see :meth:`rank` for the arguments.

        Returns:
            Labels, int64 (B, min(k, L)), of the joint ranking under ``""`` and of each scorer under its name; and the
            scores of the joint ranking, float32 (B, min(k, L)).
        """
        k = min(k, self.n_labels)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        labels = {name: np.full((len(queries), k), -1, np.int64) for name in ("", *self.scorers)}
        for part, batch, gathered in self._gather(self.scorers, queries, max(k, CANDIDATES), filtered):
            labels[""][part], scores[part], levels = self._ranked(batch, gathered, k)
            scores[part] += levels[:, None]
            for name in self.scorers:
                labels[name][part] = gathered.alone(name, k)[0]
        if k > CANDIDATES:  # the first labels must not depend on k
            labels[""], scores = self.rank(queries, k, filtered)
        return labels, scores

    def parts(self, queries: Queries, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the terms that sum to the scores of each query's labels, float64 (B, K) by name; 0 for padding.

        There is a term per scorer; the learned ranking adds terms for other features, and its mean score. What is
        added to all scores of a text is the term ``text``.

        Args:
            queries: B queries.
            labels: int64 (B, K), returned by :meth:`rank`, padded with -1. The score of a label that follows the
                candidates may be lower than the sum of its terms, because it never exceeds the score of a candidate.
        """
        labels = np.ascontiguousarray(labels)
        return {**self._parts(queries, labels), **self._level_part(queries, labels)}

    def _parts(self, queries: Queries, labels: np.ndarray) -> dict[str, np.ndarray]:
        if self.learned is None:
            return {name: self.weights[name] * self.scorers[name].score(queries, labels) for name in self.used}
        used, sizes = {name: self.scorers[name] for name in self.used}, (labels >= 0).sum(axis=1)
        parts = {name: np.zeros(labels.shape) for name in self.learned.terms}
        deeper = self._add_parts(parts, np.arange(len(queries)), used, queries, CANDIDATES, labels)
        for size in np.unique(sizes[deeper]).tolist():  # they may be the first of a longer ranking
            rows, depth = deeper[sizes[deeper] == size], max(size, CANDIDATES)
            while len(rows):
                rows = self._add_parts(parts, rows, self.scorers, queries, depth, labels)
                depth *= 2
        return parts

    def parts_of_any(self, queries: Queries, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the terms that sum to the scores of any labels, as :meth:`parts` does for ranked ones.

        A label that is no candidate is scored as if it were one: ranks and margins are those that it has beside the
        candidates.

        Args:
            queries: B queries.
            labels: int64 (B, K), padded with -1 anywhere.
        """
        labels = np.ascontiguousarray(labels)
        if self.learned is None:
            return self.parts(queries, labels)
        used = {name: self.scorers[name] for name in self.used}
        parts = {name: np.zeros(labels.shape) for name in self.learned.terms}
        for part, batch, gathered in self._gather(used, queries, CANDIDATES, None):
            places = _places(gathered.labels, labels[part])
            others = np.where(places < 0, labels[part], -1)
            rounds = [(gathered, places)]
            if (others >= 0).any():
                wider = gather(used, batch, CANDIDATES, also=others)
                rounds.append((wider, _places(wider.labels, others)))
            for candidates, at in rounds:
                for name, values in self.learned.contributions(batch, candidates, at).items():
                    parts[name][part] += values
        return {**parts, **self._level_part(queries, labels)}

    def _add_parts(
        self, parts: dict[str, np.ndarray], rows: np.ndarray, scorers: Mapping[str, Scorer], queries: Queries,
        candidates: int, labels: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        """Fill ``parts`` of the rows whose labels are all among the candidates; return the other rows."""
        assert self.learned is not None
        others = []
        asked = queries if len(rows) == len(queries) else queries[rows]  # rows ascend
        for part, batch, gathered in self._gather(scorers, asked, candidates, None):
            wanted = labels[rows[part]]
            places = _places(gathered.labels, wanted)
            has_all = ((places >= 0) == (wanted >= 0)).all(axis=1) | (candidates >= self.n_labels)
            places[~has_all] = -1
            for name, values in self.learned.contributions(batch, gathered, places).items():
                parts[name][rows[part]] += values
            others.append(rows[part][~has_all])
        return np.concatenate(others)

    def _level_part(self, queries: Queries, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the term that all labels of a text have in common, float64 (B, K); nothing where there is none."""
        if self.level is None:
            return {}
        levels = np.zeros(len(queries))
        used = {name: self.scorers[name] for name in self.used}
        for part, batch, gathered in self._gather(used, queries, CANDIDATES, None):
            levels[part] = self._ranked(batch, gathered, 1)[2]
        return {TEXT: np.where(labels >= 0, levels[:, None], 0.0)}

    def _ranked(self, queries: Queries, gathered: Gathered, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what :meth:`_top_k` does, and the level of each query, float32 (B,)."""
        if self.level is None:
            return *self._top_k(queries, gathered, k), np.zeros(len(queries), np.float32)
        labels, scores = self._top_k(queries, gathered, max(k, DEPTH))
        return labels[:, :k], scores[:, :k], self.level.of(scores)

    def _top_k(self, queries: Queries, gathered: Gathered, k: int, fill: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return the k best candidates of each query and their scores; see :meth:`Gathered.top_k`."""
        if self.learned is None:
            weights = {name: self.weights[name] for name in gathered.scores}
            return gathered.top_k(weights, k, fill)
        scores = self.learned.scores(queries, gathered)
        return best(gathered.labels, scores, gathered.offered(gathered.proposed if fill else self.learned.scorers), k)

    def _gather(
        self, scorers: Mapping[str, Scorer], queries: Queries, candidates: int, filtered: sp.csr_matrix | None
    ) -> Iterator[tuple[slice, Queries, Gathered]]:
        numbers = self.n_labels * queries.vectors.shape[1]
        size = _BATCH if device_for(min(len(queries), _GPU_BATCH), numbers) is None else _GPU_BATCH
        for first in range(0, len(queries), size):
            part = slice(first, first + size)
            batch, excluded = queries[part], None if filtered is None else filtered[part]
            known = batch.gathered.get(tuple(scorers.values()))
            if known is not None and filtered is None and candidates == CANDIDATES:
                yield part, batch, known
                continue
            gathered = gather(scorers, batch, candidates, excluded)
            if filtered is None and candidates == CANDIDATES and len(batch) <= _REMEMBERED:
                batch.gathered[tuple(scorers.values())] = gathered
            yield part, batch, gathered


def _places(candidates: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the columns of wanted labels among each row's candidates, int64; -1 where a label is not among them."""
    places = np.full(wanted.shape, -1, dtype=np.int64)
    for row, (of_row, labels) in enumerate(zip(candidates, wanted, strict=True)):
        ascending = of_row[of_row >= 0]
        at = np.minimum(np.searchsorted(ascending, labels), max(len(ascending) - 1, 0))
        if len(ascending):
            places[row] = np.where((labels >= 0) & (ascending[at] == labels), at, -1)
    return places


def _append(
    labels: np.ndarray, scores: np.ndarray, more: np.ndarray, of_more: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Replace the padding of ranked labels with more labels, whose scores are capped by the last one's."""
    for row in range(len(labels)):
        size = int((labels[row] >= 0).sum())
        new = np.flatnonzero((more[row] >= 0) & ~np.isin(more[row], labels[row, :size]))[: labels.shape[1] - size]
        part = slice(size, size + len(new))
        labels[row, part] = more[row, new]
        scores[row, part] = np.minimum(of_more[row, new], scores[row, size - 1] if size else np.inf)
    return labels, scores


def load_kernels() -> None:
    """Load numba and the ranking kernels, which otherwise delays the first ranking by a quarter of a second."""
    best(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32), np.ones((1, 1), np.bool_), 1)
