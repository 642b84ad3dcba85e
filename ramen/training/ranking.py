"""How the joint ranking ranks: by a weighted sum or by learned trees, whichever out-of-fold figures prefer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ramen.mining.heaps import best
from ramen.ranking.candidates import CANDIDATES, Gathered
from ramen.ranking.pair_features import PairFeatures
from ramen.scorers.base import Queries
from ramen.threads import thread_count
from ramen.training.boosting import TREES, Boosted, Rows, boost
from ramen.training.calibrate import calibrate
from ramen.training.split import near_duplicates
from ramen.training.validation import Validation

Log = Callable[..., None]

SUM = "weighted sum"
FEW_POINTS, FEW_RIGHT = (
    300,
    100,
)  # held-out points, and right pairs among their candidates, below which nothing is learnt
_FOLDS = 5
_KNOTS = 30
_NOISE = 2.0  # standard errors of the paired difference by which a scorer alone must be ahead to be said to be
# Objective, and power of the inverse propensity by which right pairs are weighed. Which is best differs by set.
_MODELS = (("binary", 0.0), ("lambdarank", 0.0), ("lambdarank", 0.5))
_LENGTHS = (TREES // 2, TREES)


@dataclass(frozen=True)
class RankingChoice:
    """What validation picks of the joint ranking.

    Attributes:
        model: what ranks, for people.
        trees: :meth:`Trees.facts`, or None for the weighted sum alone.
        scale: of the weighted sum that the trees add to.
        features: group and name of each feature that the trees ask for.
        by_sum: see :class:`LearnedRanking`.
        calibration: :meth:`Calibration.facts` of its scores, or None for too few right pairs.
        figures: out of fold, percent.
        scorers: by scorer the figures of that one alone.
    """

    model: str
    trees: dict[str, list] | None
    scale: float
    features: list[list[str]]
    by_sum: list[list[float]]
    calibration: dict[str, list[float]] | None
    figures: dict[str, float]
    scorers: dict[str, dict[str, float]]


def choose_ranking(
    validation: Validation, gathered: Gathered, queries: Queries, weights: Mapping[str, float],
    features: PairFeatures, learn: bool, seed: int, log: Log,
) -> RankingChoice:  # fmt: skip
    """Rank by trees where they rank points better that they have not seen.

    Every model is fitted on four fifths of the held-out points and judged on the last, whole groups of near duplicates
    together; the scores so found choose the model and count the probabilities. The one that is chosen is then fitted
    on all held-out points.

    Args:
        validation: the held-out points.
        gathered: their candidates.
        queries: the same points.
        weights: of the weighted sum; a scorer may have 0.
        features: of the pairs.
        learn: else the weighted sum it is.
        seed: of folds and trees.
        log: called with the figures of each model, and with notes.
    """
    labels, is_label = gathered.labels, gathered.labels >= 0
    summed = gathered.total(weights)
    offered = gathered.offered([name for name, weight in weights.items() if weight])
    scores, boosted, model = np.where(offered, summed, -np.inf), None, SUM
    right = validation.weights_of(labels)
    reason = _too_few(len(labels), int((right > 0).sum())) if learn else "ranking.learn=false"
    if reason:
        log(stage="rank", note=f"joint ranking by the weighted sum: {reason}")
    else:
        matrix = features.matrix(queries, gathered)
        rows = Rows.of(matrix, is_label, summed, right > 0, right, seed)
        scores, boosted, model = _best_model(validation, labels, rows, scores, _folds(queries.vectors, seed), seed, log)
    ranked = best(labels, scores.astype(np.float32), np.isfinite(scores), CANDIDATES)
    alone = {name: gathered.alone(name, 10)[0] for name in gathered.scores}
    _warn(validation, ranked[0], alone, log)
    known = calibrate(*ranked, validation.truth)
    return RankingChoice(
        model,
        None if boosted is None else boosted.trees.facts(),
        0.0 if boosted is None else boosted.scale,
        [list(name) for name in features.names],
        _by_sum(summed[is_label], scores[is_label]) if boosted else [],
        None if known is None else known.facts(),
        validation.judge(ranked[0])[1],
        {name: validation.judge(found)[1] for name, found in alone.items()},
    )


def _by_sum(sums: np.ndarray, scores: np.ndarray) -> list[list[float]]:
    """The mean score at ascending weighted sums, in parts that get smaller towards the high ones."""
    order = np.argsort(sums, kind="stable")
    sizes = np.geomspace(1, len(order), _KNOTS).astype(np.int64)
    ends = len(order) - np.unique(np.append(sizes, 0))[::-1]
    parts = [order[first:last] for first, last in zip(ends[:-1], ends[1:], strict=True)]
    means = np.maximum.accumulate([scores[part].mean() for part in parts])
    return [[float(sums[part].mean()) for part in parts], means.tolist()]


def _too_few(points: int, right: int) -> str:
    if points < FEW_POINTS:
        return f"{points} held-out points, expected {FEW_POINTS} to learn from"
    if right < FEW_RIGHT:
        return f"{right} right labels among the candidates of held-out points, expected {FEW_RIGHT} to learn from"
    return ""


def _folds(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Fold of each point, int (V,); near duplicates share one."""
    groups = near_duplicates(vectors, seed)
    return (np.random.default_rng([seed, 3]).permutation(groups.max() + 1) % _FOLDS)[groups]


def _best_model(
    validation: Validation, labels: np.ndarray, rows: Rows, summed: np.ndarray, folds: np.ndarray, seed: int, log: Log
) -> tuple[np.ndarray, Boosted | None, str]:
    """Out-of-fold scores (V, C) of the best model, its trees, fitted on all points, and its name."""
    value, figures = validation.judge_scores(labels, summed)
    log(stage="rank", model=SUM, **figures)
    chosen: tuple[np.ndarray, tuple[str, float, int] | None] = summed, None
    everything = np.arange(len(labels))
    for objective, power in _MODELS:
        start = time.perf_counter()
        for length, scores in _out_of_fold(labels, rows, folds, objective, _factors(validation, labels, power), seed):
            got, figures = validation.judge_scores(labels, scores)
            seconds = time.perf_counter() - start
            log(stage="rank", model=_name(objective, power, length), **figures, seconds=seconds)
            if got > value:
                value, chosen = got, (scores, (objective, power, length))
    scores, kind = chosen
    if kind is None:
        return scores, None, SUM
    objective, power, length = kind
    factors = _factors(validation, labels, power)
    return scores, boost(rows, everything, objective, factors, seed, (length,))[length], _name(*kind)


def _factors(validation: Validation, labels: np.ndarray, power: float) -> np.ndarray | None:
    return validation.inverse_propensity[np.maximum(labels, 0)] ** power if power else None


def _out_of_fold(
    labels: np.ndarray, rows: Rows, folds: np.ndarray, objective: str, factors: np.ndarray | None, seed: int
) -> list[tuple[int, np.ndarray]]:
    """By number of trees the scores (V, C) that each point gets from trees that have not seen its fold."""
    found = {length: np.full(labels.shape, -np.inf) for length in _LENGTHS}

    def fit(fold: int) -> None:
        boosted = boost(rows, np.flatnonzero(folds != fold), objective, factors, seed, _LENGTHS)
        held = np.flatnonzero(folds == fold)
        for length in _LENGTHS:
            scores = boosted[length].scores(rows.features[held], rows.sums[held])
            found[length][held] = np.where(labels[held] >= 0, scores, -np.inf)

    with ThreadPoolExecutor(thread_count()) as pool:
        list(pool.map(fit, range(_FOLDS)))
    return list(found.items())


def _name(objective: str, power: float, length: int) -> str:
    return f"{length} trees, {objective}" + (", right pairs weighed by propensity" if power else "")


def _warn(validation: Validation, joint: np.ndarray, alone: Mapping[str, np.ndarray], log: Log) -> None:
    """Say where a scorer alone ranks held-out points better than all together."""
    for name, labels in alone.items():
        for metric, errors in validation.ahead(labels, joint).items():
            if errors > _NOISE:
                log(stage="rank", warning=f"{name} alone has a higher {metric} than the joint ranking", errors=errors)
