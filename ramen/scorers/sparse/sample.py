"""Whether other word features are worth a fit of all labels: asked of the labels between which some points are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ramen.metrics.trust import standard_errors
from ramen.scorers.base import Scorer
from ramen.scorers.judge import Judge
from ramen.scorers.sparse.fit import fit_some
from ramen.scorers.sparse.scorer import SparseScorer, squash

if TYPE_CHECKING:
    from ramen.scorers.views import Views

_POINTS, _FIRST = 500, 20  # held-out points, and labels of each: the first in the ranking so far
_FEWEST = 50  # points to judge by
_LIKELY = 1.0  # standard errors: the fit of all labels decides


def sample_prefers(
    features: str, scorer: SparseScorer, beside: Mapping[str, Scorer], weights: Mapping[str, float], views: Views,
    judge: Judge,
) -> bool:  # fmt: skip
    """Whether classifiers over other features seem to rank the first labels of held-out points better than now.

    Only the classifiers of these labels are fitted. Among labels drawn at random the features would hardly matter: it
    is those with nearly the same words that are told apart by their order.

    Args:
        features: the other set.
        scorer: fitted over the set chosen so far.
        beside: the scorers before it.
        weights: of all in a sum.
        views: what is fitted on.
        judge: has the held-out points.
    """
    gathered = judge.gather({**beside, SparseScorer.name: scorer})
    points = np.random.default_rng([views.config.seed, 4]).permutation(len(gathered.labels))[:_POINTS]
    ranked = gathered.top_k(weights, _FIRST)[0][points]
    rows = np.repeat(np.arange(len(points)), ranked.shape[1])
    right = np.asarray(judge.targets[points[rows], np.maximum(ranked, 0).ravel()]).reshape(ranked.shape) > 0
    right &= ranked >= 0
    if right.any(1).sum() < _FEWEST:
        return False
    labels, at = np.unique(ranked[ranked >= 0], return_inverse=True)
    classifier = fit_some(views, replace(scorer.params, features=features), labels)
    words = judge.queries(features)[points].words
    assert words is not None
    margins = (words @ classifier.weights.T).toarray() + classifier.bias
    other = np.zeros(ranked.shape, dtype=np.float32)
    other[ranked >= 0] = squash(margins[rows[(ranked >= 0).ravel()], at])
    now = _scores_of(gathered.labels[points], gathered.scores[SparseScorer.name][points], ranked)
    total = _scores_of(gathered.labels[points], gathered.total(weights)[points], ranked)
    changed = total + weights[SparseScorer.name] * (other - now)
    places = np.argsort(np.argsort(-np.where(ranked >= 0, changed, -np.inf), axis=1, kind="stable"), axis=1)
    gains = (right / np.log2(2.0 + places)).sum(1) - (right / np.log2(2.0 + np.arange(ranked.shape[1]))).sum(1)
    return standard_errors(gains) > _LIKELY


def _scores_of(labels: np.ndarray, scores: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Of each wanted label (B, K) its score, given labels (B, C) with their scores; 0 where it is -1."""
    out = np.zeros(wanted.shape, dtype=np.float32)
    for row in range(len(wanted)):
        order = np.argsort(labels[row], kind="stable")
        found = order[np.searchsorted(labels[row], wanted[row], sorter=order).clip(max=len(order) - 1)]
        out[row] = np.where(wanted[row] >= 0, scores[row, found], 0.0)
    return out
