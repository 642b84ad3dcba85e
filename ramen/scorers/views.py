"""What scorers are fitted on: vectors, targets, word features and mined negatives of some rows, each made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import scipy.sparse as sp

from ramen import distributed
from ramen.checkpoint import Checkpoint
from ramen.config import Config
from ramen.mining.approximate import nearest_of_each
from ramen.mining.inverted import InvertedIndex
from ramen.mining.nearest import nearest
from ramen.mining.negatives import mined_negatives
from ramen.scorers.base import Queries
from ramen.scorers.sparse.features import FeatureRows, FeatureSource

if TYPE_CHECKING:
    from ramen.scorers.base import TrainedScorer

T = TypeVar("T")
_EXACT = 30_000  # points up to which the nearest are searched exactly: the time grows with their square


@dataclass
class Views:
    """Some rows of the training part, as an encoder trained on them sees them.

    Attributes:
        config: settings.
        rows: int64 (n,), the training points to fit on; the search's held-out points are not among them.
        targets: CSR (n, L).
        filtered: CSR (n, L), pairs that are neither right nor wrong.
        points: float32 (N, d), unit vectors of all training points.
        labels: float32 (L, d), unit vectors of the labels.
        starts: by name float32 (L, d), vectors from which the dense scorer may start; the first unless a search
            prefers another.
        source: makes word features.
        names: of the rows' texts, for people, n.
        titles, label_titles: of all training points and of the labels; None for bags of words.
        links: by graph CSR (L, M), from labels to anchors.
        extension_map: returns float32 (d, d), which takes the vector of a new label's text to the label's vector;
            None where no labels can be added.
        checkpoint: returns where a long training on these views is kept, by name; None for nowhere.
    """

    config: Config
    rows: np.ndarray
    targets: sp.csr_matrix
    filtered: sp.csr_matrix
    points: np.ndarray
    labels: np.ndarray
    starts: dict[str, np.ndarray]
    source: FeatureSource
    names: Callable[[], list[str]]
    titles: list[str] | None
    label_titles: list[str] | None
    links: dict[str, sp.csr_matrix]
    extension_map: Callable[[], np.ndarray | None]
    checkpoint: Callable[[str], Checkpoint] | None = None
    _words: dict[str, FeatureRows] = field(default_factory=dict)
    _fitted: dict[str, TrainedScorer] = field(default_factory=dict)
    _remembered: dict[str, Any] = field(default_factory=dict)

    @property
    def n_labels(self) -> int:
        """L."""
        return self.targets.shape[1]

    @cached_property
    def vectors(self) -> np.ndarray:
        """Unit vectors of the rows, float32 (n, d)."""
        return np.ascontiguousarray(self.points[self.rows])

    def fitted(self, kind: type[TrainedScorer], params: Any) -> TrainedScorer:
        """A scorer fitted on the rows; the last of its kind is kept, for those who ask for the same again."""
        if kind.name not in self._fitted or self._fitted[kind.name].params != params:
            self._fitted[kind.name] = kind.fit(self, params)
        return self._fitted[kind.name]

    def remembered(self, name: str, make: Callable[[], T]) -> T:
        """Return what depends on the rows alone, made at the first call."""
        if name not in self._remembered:
            self._remembered[name] = make()
        return self._remembered[name]

    def take_over(self, other: Views) -> None:
        """What does not depend on the encoder, or hardly, from views of the same rows: negatives and such scorers."""
        self.__dict__["negatives"] = other.negatives
        self._remembered.update(other._remembered)
        self._fitted.update({name: one for name, one in other._fitted.items() if not one.reads_vectors})

    def words(self, features: str) -> FeatureRows:
        """Word features of one set, fitted on the rows and all labels."""
        if features not in self._words:
            self._words[features] = self.source.rows_of(features, self.rows, self.targets)
        return self._words[features]

    def queries(self, rows: np.ndarray, features: str | None) -> Queries:
        """Some training points as queries, with word features of that set, if any."""
        words = self.words(features).points[rows] if features else None
        titles = None if self.titles is None else [self.titles[row] for row in rows.tolist()]
        texts = self.source.texts_of(rows)
        return Queries(self.points[rows], words, titles, texts)

    @cached_property
    def negatives(self) -> sp.csr_matrix:
        """Mined negatives of every label: rows near its own by words or vectors, CSR (L, n) of ones."""
        return distributed.broadcast(self._mined)

    def _mined(self) -> sp.csr_matrix:
        words, itself = self.words(self.source.mined).points[self.rows], np.arange(len(self.rows))
        k = min(self.config.sparse.near, max(1, len(itself) - 1))
        by_words = InvertedIndex(words, max_share=self.source.common).top(words, k, itself)[0]
        if len(itself) <= _EXACT:
            by_vectors = nearest(self.vectors, self.vectors, k, itself)[0]
        else:
            by_vectors = nearest_of_each(self.vectors, k, self.config.seed)[0]
        return mined_negatives([by_words, by_vectors], self.targets)
