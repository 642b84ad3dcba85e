"""Search the sparse scorer's hyperparameters by how the held-out points are ranked with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from ramen.scorers.base import Scorer
from ramen.scorers.judge import Judge
from ramen.scorers.sparse.scorer import SparseParams, SparseScorer

if TYPE_CHECKING:
    from ramen.scorers.views import Views

Candidates = Callable[[SparseParams, SparseParams, "Views"], list[SparseParams]]


def search_sparse(views: Views, beside: Mapping[str, Scorer], judge: Judge) -> SparseScorer:
    """Change one hyperparameter at a time as long as that helps; with ``sparse.choose=false`` fit as set.

    Trials are compared in a weighted sum with the scorers before it, whose weights stay the same: alone it would have
    to do what the encoder does better, and weights searched anew for each trial would hide the difference. The search
    starts without the graphs' anchors, so that they come in only if they help.
    """
    start_weights = {name: scorer.start_weight for name, scorer in beside.items()}
    start_weights[SparseScorer.name] = SparseScorer.start_weight

    def attempt(params: SparseParams) -> tuple[float, SparseScorer]:
        start = time.perf_counter()
        scorer = SparseScorer.fit(views, params)
        value, figures = judge.value({**beside, SparseScorer.name: scorer}, start_weights)
        facts = {**asdict(params), "anchors": "+".join(params.anchors)}
        judge.log(stage="search", scorer="sparse", **facts, seconds=time.perf_counter() - start, **figures)
        return value, scorer

    start = time.perf_counter()
    judge.log(stage="search", mined_negatives=views.negatives.nnz, seconds=time.perf_counter() - start)
    as_set = SparseScorer.default_params(views.config)
    if not views.config.sparse.choose:
        return attempt(as_set)[1]
    at = replace(as_set, anchors={})
    value, scorer = attempt(at)
    tried = [at]
    for candidates, gain in _PHASES:
        improved = True
        while improved:
            improved = False
            for params in candidates(at, as_set, views):
                if params in tried:
                    continue
                tried.append(params)
                trial_value, trial = attempt(params)
                if trial_value > value * gain:
                    at, value, scorer, improved = params, trial_value, trial, True
                    break
    return scorer


def _features(at: SparseParams, as_set: SparseParams, views: Views) -> list[SparseParams]:
    return [replace(at, features=features) for features in views.source.sets]


def _cost(at: SparseParams, as_set: SparseParams, views: Views) -> list[SparseParams]:
    return [replace(at, C=at.C * 3), replace(at, C=at.C / 3)]


def _prior(at: SparseParams, as_set: SparseParams, views: Views) -> list[SparseParams]:
    return [replace(at, prior=at.prior * 2), replace(at, prior=at.prior / 2)] if at.prior else []


def _anchors(at: SparseParams, as_set: SparseParams, views: Views) -> list[SparseParams]:
    return [replace(at, anchors=as_set.anchors)] if at.prior and as_set.anchors else []


# What is tried in turn, and by how much the value must improve: more for other features, as pairs make the classifiers
# three times as large. Steps have no end, so a chosen value never lies at the edge of its range.
_PHASES: tuple[tuple[Candidates, float], ...] = (
    (_features, 1.01), (_cost, 1.002), (_prior, 1.002), (_anchors, 1.002), (_cost, 1.002),
)  # fmt: skip
