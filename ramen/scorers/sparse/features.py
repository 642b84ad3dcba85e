"""Word features of a training set, from texts or from bags of words that the data set brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from ramen.config import SparseConfig
from ramen.data.dataset import Features
from ramen.encoders.bag_of_words import BAG_SETS, BagFeatures
from ramen.encoders.split_words import Splitter, SplitTexts
from ramen.encoders.word_features import MIN_COUNT, SETS, WordFeatures, word_columns
from ramen.scorers.sparse.classifier import UNIFORM

_COMMON = 0.03  # words that a larger share of the points has are not looked at for the nearest by words
_DESCRIBING = 50  # words of a label, where the data set has none for it
_BAG_NEGATIVES = 5_000_000  # random negatives of all labels together, where UNIFORM makes fewer


@dataclass
class FeatureRows:
    """Rows of one set of features.

    Attributes:
        features: turn a text, or a bag of words, into a row.
        points: CSR float32 (N, F), of all training points.
        labels: CSR float32 (L, F), of the labels' own texts; empty rows where they have none.
        describing: CSR float32 (L, F), what stands for the labels' texts where the ranking compares words.
        anchors: returns the rows of a graph's anchors, CSR float32 (M, F).
    """

    features: WordFeatures | BagFeatures
    points: sp.csr_matrix
    labels: sp.csr_matrix
    describing: sp.csr_matrix
    anchors: Callable[[str], sp.csr_matrix]

    @property
    def columns(self) -> np.ndarray:
        """Of each feature the column of its word, int32 (F,); -1 for what is no single word."""
        names = self.features.names
        return np.arange(self.points.shape[1], dtype=np.int32) if names is None else word_columns(names)


class FeatureSource(Protocol):
    """Makes the word features of a training set.

    Attributes:
        sets: of features that a scorer may read; the first unless a search prefers another.
        mined: the set by which negatives are mined.
        common: share of the points that a word may be in to be looked at for that.
    """

    sets: tuple[str, ...]
    mined: str
    common: float

    def rows_of(self, features: str, rows: np.ndarray, targets: sp.csr_matrix) -> FeatureRows:
        """Features of one set, fitted on these rows with these targets and on all labels."""
        ...

    def texts_of(self, rows: np.ndarray) -> list[str] | None:
        """Texts of some points; None for bags of words."""
        ...

    def split_words(self, rows: np.ndarray) -> tuple[SplitTexts, SplitTexts] | None:
        """The texts of these rows, and of the labels, split into words; None for bags of words."""
        ...

    def random_negatives(self, n_rows: int, n_labels: int) -> int:
        """Random negatives of each label."""
        ...


@dataclass
class TextFeatures:
    """Word features of texts.

    Attributes:
        points, labels: texts, ``title\\ncontent``.
        anchors: texts of each graph's anchors.
        settings: of the sparse scorer.
        with_anchors: whether the anchors' words are features.
    """

    points: Sequence[str]
    labels: Sequence[str]
    anchors: Mapping[str, Sequence[str]]
    settings: SparseConfig
    with_anchors: bool
    sets: tuple[str, ...] = SETS
    mined: str = SETS[0]
    common: float = _COMMON

    def rows_of(self, features: str, rows: np.ndarray, targets: sp.csr_matrix) -> FeatureRows:
        """See :class:`FeatureSource`."""
        points, labels, anchors = self._split
        others = [labels, *(anchors.values() if self.with_anchors else ())]
        fitted = WordFeatures.fit(points.some(rows).joined(*others), features, MIN_COUNT, self.settings.max_share)
        of_anchors: dict[str, sp.csr_matrix] = {}

        def rows_of_anchors(graph: str) -> sp.csr_matrix:
            if graph not in of_anchors:
                of_anchors[graph] = fitted.transform(anchors[graph])
            return of_anchors[graph]

        of_labels = fitted.transform(labels)
        return FeatureRows(fitted, fitted.transform(points), of_labels, of_labels, rows_of_anchors)

    @cached_property
    def _split(self) -> tuple[SplitTexts, SplitTexts, dict[str, SplitTexts]]:
        """The words of points, labels and anchors, which every set of features is counted on."""
        splitter = Splitter()
        anchors = {graph: splitter.split(texts) for graph, texts in self.anchors.items()}
        return splitter.split(self.points), splitter.split(self.labels), anchors

    def texts_of(self, rows: np.ndarray) -> list[str]:
        """See :class:`FeatureSource`."""
        return [self.points[row] for row in rows.tolist()]

    def split_words(self, rows: np.ndarray) -> tuple[SplitTexts, SplitTexts]:
        """See :class:`FeatureSource`."""
        points, labels, _ = self._split
        return points.some(rows), labels

    def random_negatives(self, n_rows: int, n_labels: int) -> int:
        """See :class:`FeatureSource`."""
        return UNIFORM


@dataclass
class BagsOfWords:
    """Word features that a data set brings.

    Attributes:
        bags: of points and perhaps labels.
        fitted: what weighs them.
    """

    bags: Features
    fitted: BagFeatures
    sets: tuple[str, ...] = BAG_SETS
    mined: str = BAG_SETS[1]
    common: float = 1.0

    def rows_of(self, features: str, rows: np.ndarray, targets: sp.csr_matrix) -> FeatureRows:
        """See :class:`FeatureSource`."""
        fitted = self.fitted.with_set(features)
        points, n_labels = fitted.transform(self.bags.train), targets.shape[1]
        if self.bags.labels is not None:
            labels = fitted.transform(self.bags.labels)
        else:
            labels = sp.csr_matrix((n_labels, points.shape[1]), dtype=np.float32)
        describing = labels
        if not labels.nnz:
            describing = _heaviest(sp.csr_matrix((targets > 0).astype(np.float32).T @ points[rows]), _DESCRIBING)
        return FeatureRows(fitted, points, labels, describing, _no_anchors)

    def texts_of(self, rows: np.ndarray) -> None:
        """See :class:`FeatureSource`."""
        return

    def split_words(self, rows: np.ndarray) -> None:
        """See :class:`FeatureSource`."""
        return

    def random_negatives(self, n_rows: int, n_labels: int) -> int:
        """See :class:`FeatureSource`."""
        return max(UNIFORM, min(n_rows, _BAG_NEGATIVES // n_labels))


def _no_anchors(graph: str) -> sp.csr_matrix:
    raise KeyError(graph)


def _heaviest(rows: sp.csr_matrix, count: int) -> sp.csr_matrix:
    """The largest weights of each row, of equal ones those of smaller columns."""
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    order = np.lexsort((rows.indices, -rows.data, row))
    chosen = np.sort(order[np.arange(len(order)) - rows.indptr[row[order]] < count])
    counts = np.bincount(row[chosen], minlength=rows.shape[0])
    heaviest = sp.csr_matrix(
        (rows.data[chosen], rows.indices[chosen], np.append(0, np.cumsum(counts))), shape=rows.shape
    )
    heaviest.sort_indices()
    return heaviest
