"""Features of pairs of query and candidate label for the learned ranking: scores, shared words, frequency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ramen.compiled import kernel
from ramen.mining.heaps import best_first, push
from ramen.ranking.associations import NAME, Associations
from ramen.ranking.candidates import Gathered
from ramen.ranking.overlap import LabelWords
from ramen.scorers.base import Queries
from ramen.threads import parallel_for

OF_SCORE = ("score", "score below the best", "1 / rank", "best score", "best score above the second")
TOGETHER, WORDS, FREQUENCY = "together", "words", "frequency"  # groups of features beside the scorers
_FIRST = 3  # candidates, by the weighted sum, whose frequency a candidate's is compared with


@dataclass
class PairFeatures:
    """Computes the features of pairs of query and candidate.

    Attributes:
        weights: by scorer; the weighted sum has the same features as a scorer.
        counts: float32 (L,), training points of each label.
        words: of the labels.
        associations: of common words; None for bags of words.
    """

    weights: Mapping[str, float]
    counts: np.ndarray
    words: LabelWords
    associations: Associations | None = None

    @classmethod
    def of(
        cls, scorers: Iterable[str], weights: Mapping[str, float], counts: np.ndarray, words: LabelWords,
        associations: Associations | None = None,
    ) -> PairFeatures:  # fmt: skip
        """Build for these scorers, in sorted order."""
        weights = {name: weights.get(name, 0.0) for name in sorted(scorers)}
        return cls(weights, counts.astype(np.float32), words, associations)

    @property
    def names(self) -> list[tuple[str, str]]:
        """Group and name of each feature, in the order of the columns."""
        names = [(group, name) for group in (*self.weights, TOGETHER) for name in OF_SCORE]
        names += [(scorer, "proposed") for scorer in self.weights]
        names += [(TOGETHER, "scorers that propose"), (FREQUENCY, "log(1 + training points)")]
        names += [(FREQUENCY, f"below the most frequent of the first {_FIRST}")]
        names += [(WORDS, NAME)] if self.associations else []
        return names + [(WORDS, name) for name in self.words.names]

    @property
    def sum_column(self) -> int:
        """Column of the weighted sum."""
        return len(self.weights) * len(OF_SCORE)

    def matrix(self, queries: Queries, gathered: Gathered) -> np.ndarray:
        """Compute the features of the candidates of B queries, float32 (B, C, F); 0 for padding."""
        labels, step = gathered.labels, len(OF_SCORE)
        out = np.zeros((*labels.shape, len(self.names)), dtype=np.float32)
        total, at = np.zeros(labels.shape, dtype=np.float32), 0
        for name, weight in self.weights.items():
            score_features(labels, gathered.scores[name], out[:, :, at : at + step])
            total += np.float32(weight) * gathered.scores[name]
            at += step
        score_features(labels, total, out[:, :, at : at + step])
        at += step
        n_proposers = np.zeros(labels.shape, dtype=np.float32)
        for name in self.weights:
            out[:, :, at] = gathered.proposed[name]
            n_proposers += gathered.proposed[name]
            at += 1
        out[:, :, at] = n_proposers
        frequency = np.log1p(self.counts[np.maximum(labels, 0)]) * (labels >= 0)
        is_first = out[:, :, self.sum_column + 2] > 1 / (_FIRST + 0.5)  # 1 / rank
        most = np.where(is_first, frequency, 0.0).max(axis=1, keepdims=True, initial=0.0)
        out[:, :, at + 1], out[:, :, at + 2] = frequency, (frequency - most) * (labels >= 0)
        at += 3
        if self.associations:
            assert queries.texts is not None
            self.associations.fill(queries.texts, labels, out[:, :, at])
            at += 1
        self.words.fill(queries, labels, out[:, :, at:])
        return out


def score_features(labels: np.ndarray, scores: np.ndarray, out: np.ndarray) -> None:
    """Fill ``out``, float32 (B, C, 5), with features of one scorer for each row's candidates.

    The features are: the score; the score minus the row's best; 1 / (1 + rank), with ranks from 0 and ties broken by
    the smaller label; the row's best; the row's best minus its second best.

    Args:
        labels: int64 (B, C), padded with -1.
        scores: float32 (B, C).
        out: unchanged where a label is -1.
    """

    def scratch() -> tuple[np.ndarray, ...]:
        return np.empty(labels.shape[1], dtype=np.float32), np.empty(labels.shape[1], dtype=np.int64)

    parallel_for(len(labels), _rank, labels, scores, out, work=1.0 + 20 * labels.shape[1], scratch=scratch)


@kernel
def _rank(
    first: int, last: int, labels: np.ndarray, scores: np.ndarray, out: np.ndarray, values: np.ndarray,
    places: np.ndarray,
) -> None:  # fmt: skip
    for row in range(first, last):
        size = np.int64(0)
        for column in range(labels.shape[1]):
            if labels[row, column] >= 0:
                size = push(values, places, size, scores[row, column], np.int64(column))
        best_first(values, places, size)
        for rank in range(size):
            column = places[rank]
            out[row, column, 0] = values[rank]
            out[row, column, 1] = values[rank] - values[0]
            out[row, column, 2] = np.float32(1.0 / (1.0 + rank))
            out[row, column, 3] = values[0]
            out[row, column, 4] = values[0] - values[1 if size > 1 else 0]
