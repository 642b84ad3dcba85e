"""Search the sparse scorer's hyperparameters by how the held-out points are ranked with it, in at most four fits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from ramen.scorers.base import Scorer
from ramen.scorers.judge import GAIN, Judge
from ramen.scorers.sparse.sample import sample_prefers
from ramen.scorers.sparse.scorer import SparseParams, SparseScorer

if TYPE_CHECKING:
    from ramen.scorers.views import Views

_FITS = 4  # at most, the first included
_STEP = 4.0  # factor of C
_GAIN_OF_ANCHORS = 1.002  # by which anchors must improve the value
_GAIN_OF_FEATURES = 1.01  # more: pairs of words make the classifiers three times as large


def search_sparse(views: Views, beside: Mapping[str, Scorer], judge: Judge) -> SparseScorer:
    """Change one hyperparameter at a time where that helps; with ``sparse.choose=false`` fit as set.

    First other features, but only those that seem to rank better (:func:`sample_prefers`), as their fits
    take longest; then C and the graphs' anchors, which stay only if they help. Trials are compared in a weighted sum
    with the scorers before it, whose weights stay the same: alone it would have to do what the encoder does better, and
    weights searched anew for each trial would hide the difference.
    """
    search = _Search(views, beside, judge)
    search.attempt(SparseScorer.default_params(views.config), 0.0)
    if views.config.sparse.choose:
        search.improve()
    return search.scorer


class _Search:
    """The best scorer so far.

    Attributes:
        scorer: that one.
    """

    scorer: SparseScorer

    def __init__(self, views: Views, beside: Mapping[str, Scorer], judge: Judge) -> None:
        self._views, self._beside, self._judge = views, beside, judge
        self._weights = {name: scorer.start_weight for name, scorer in beside.items()}
        self._weights[SparseScorer.name] = SparseScorer.start_weight
        self._value, self._fits = 0.0, 0

    def attempt(self, params: SparseParams, gain: float) -> bool:
        """Fit and keep the scorer if the ranking is better by that factor; returns whether it is."""
        if self._fits == _FITS:
            return False
        self._fits += 1
        start = time.perf_counter()
        scorer = self._views.fitted(SparseScorer, params)
        assert isinstance(scorer, SparseScorer)
        value, figures = self._judge.value({**self._beside, SparseScorer.name: scorer}, self._weights)
        facts = {**asdict(params), "anchors": "+".join(params.anchors)}
        seconds, kept = time.perf_counter() - start, value > self._value * gain
        self._judge.log(stage="search", scorer="sparse", **facts, seconds=seconds, value=value, kept=kept, **figures)
        if not kept:
            return False
        self.scorer, self._value = scorer, value
        return True

    def improve(self) -> None:
        """Try other hyperparameters."""
        at = self.scorer.params
        for features in self._views.source.sets:
            if features == at.features:
                continue
            if sample_prefers(features, self.scorer, self._beside, self._weights, self._views, self._judge):
                self.attempt(replace(at, features=features), _GAIN_OF_FEATURES)
        at = self.scorer.params
        rises = self.attempt(replace(at, C=at.C * _STEP), GAIN)
        if at.anchors:  # the search began with them: they have to be better than none
            self.attempt(replace(self.scorer.params, anchors={}), 1 / _GAIN_OF_ANCHORS)
        if not rises:
            self.attempt(replace(self.scorer.params, C=at.C / _STEP), GAIN)
