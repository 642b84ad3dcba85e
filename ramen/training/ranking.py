"""How the joint ranking ranks: by a weighted sum or by learned trees, whichever out-of-fold figures prefer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
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
from ramen.training.split import small_groups
from ramen.training.validation import GAIN, Validation

Log = Callable[..., None]

SUM = "weighted sum"
FEW_POINTS, FEW_PAIRS = 300, 100  # held-out points, and right and wrong pairs, below which nothing is learned
_FOLDS = 5
_KNOTS = 30
_NOISE = 2.0  # standard errors of the paired difference by which a scorer alone must be ahead to be said to be
# Objective, and power of the inverse propensity by which right pairs are weighed. Which is best differs by set.
_MODELS = (("binary", 0.0), ("lambdarank", 0.0), ("lambdarank", 0.5))
_LENGTHS = (TREES // 2, TREES)


_Model = tuple[str, float, int]


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
    together; the scores so found choose the model and count the probabilities. The best is taken of those that no
    scorer alone is ahead of by more than noise, where a model by itself must gain over the mean of several, which is
    less at the mercy of chance. It is then fitted on all held-out points.

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
    tried = [_tried(validation, labels, np.where(offered, summed, -np.inf))]
    alone = {name: gathered.alone(name, 10)[0] for name in gathered.scores}
    right = validation.weights_of(labels)
    rows = None
    folds = _folds(queries.vectors, seed) if len(labels) else np.empty(0, dtype=np.int64)
    reason = _too_few(right > 0, is_label, folds) if learn else "ranking.learn=false"
    if reason:
        log(stage="rank", note=f"joint ranking by the weighted sum: {reason}")
    else:
        rows = Rows.of(features.matrix(queries, gathered), is_label, summed, right > 0, right, seed)
        log(stage="rank", model=SUM, **tried[0].figures)
        tried += _models(validation, labels, rows, folds, seed, log)
    best_first = sorted(tried, key=lambda one: -one.value / (GAIN if len(one.models) == 1 else 1.0))
    chosen = next((one for one in best_first if not _ahead(validation, one.ranked, alone)), best_first[0])
    for name, metric, errors in _ahead(validation, chosen.ranked, alone):
        log(stage="rank", warning=f"{name} alone has a higher {metric} than the joint ranking", errors=errors)
    log(stage="rank", chosen=chosen.name, **chosen.figures)
    boosted = None if rows is None else _fitted(validation, labels, rows, chosen, seed)
    asked = validation.as_at_test(labels, chosen.scores)
    known = calibrate(*best(labels, asked, np.isfinite(asked), CANDIDATES), validation.truth)
    return RankingChoice(
        chosen.name,
        None if boosted is None else boosted.trees.facts(),
        0.0 if boosted is None else boosted.scale,
        [list(name) for name in features.names],
        _by_sum(summed[is_label], chosen.scores[is_label]) if boosted else [],
        None if known is None else known.facts(),
        chosen.figures,
        {name: validation.judge(found)[1] for name, found in alone.items()},
    )


def learned_value(
    validation: Validation, gathered: Gathered, queries: Queries, weights: Mapping[str, float],
    features: PairFeatures, seed: int,
) -> float:  # fmt: skip
    """What trees of one kind come to out of fold; 0 where there is too little to learn from.

    Arguments are those of :func:`choose_ranking`.
    """
    labels, is_label = gathered.labels, gathered.labels >= 0
    right, folds = validation.weights_of(labels), _folds(queries.vectors, seed)
    if _too_few(right > 0, is_label, folds):
        return 0.0
    rows = Rows.of(features.matrix(queries, gathered), is_label, gathered.total(weights), right > 0, right, seed)
    objective, power = _MODELS[-1]
    found = _out_of_fold(labels, rows, folds, objective, _factors(validation, labels, power), seed)
    return _tried(validation, labels, found[-1][1]).value


@dataclass(frozen=True)
class _Tried:
    """A joint ranking of the held-out points.

    Attributes:
        scores: float32 (V, C), out of fold; -inf for what is not offered.
        ranked: int64 (V, 10), the first labels.
        value, figures: of these.
        models: of which it is the mean, each by objective, power of the inverse propensity and number of trees; none
            for the weighted sum.
    """

    scores: np.ndarray
    ranked: np.ndarray
    value: float
    figures: dict[str, float]
    models: tuple[_Model, ...] = ()

    @property
    def name(self) -> str:
        """For people."""
        if not self.models:
            return SUM
        told = [
            f"{length} trees, {objective}" + (", right pairs weighed by propensity" if power else "")
            for objective, power, length in self.models
        ]
        return told[0] if len(told) == 1 else f"mean of {'; '.join(told)}"


def _tried(validation: Validation, labels: np.ndarray, scores: np.ndarray, *models: _Model) -> _Tried:
    scores = scores.astype(np.float32)
    ranked = best(labels, scores, np.isfinite(scores), 10)[0]
    return _Tried(scores, ranked, *validation.judge(ranked), models)


def _by_sum(sums: np.ndarray, scores: np.ndarray) -> list[list[float]]:
    """The mean score at ascending weighted sums, in parts that get smaller towards the high ones."""
    order = np.argsort(sums, kind="stable")
    sizes = np.geomspace(1, len(order), _KNOTS).astype(np.int64)
    ends = len(order) - np.unique(np.append(sizes, 0))[::-1]
    parts = [order[first:last] for first, last in zip(ends[:-1], ends[1:], strict=True)]
    means = np.maximum.accumulate([scores[part].mean() for part in parts])
    return [[float(sums[part].mean()) for part in parts], means.tolist()]


def _too_few(right: np.ndarray, is_label: np.ndarray, folds: np.ndarray) -> str:
    """Why nothing can be learned from such candidates (V, C) of points in these folds (V,); "" where it can."""
    if len(right) < FEW_POINTS:
        return f"{len(right)} held-out points, expected {FEW_POINTS} to learn from"
    for kind, pairs in (("right", right & is_label), ("wrong", ~right & is_label)):
        if pairs.sum() < FEW_PAIRS:
            found = f"{pairs.sum()} {kind} labels among the candidates of held-out points"
            return f"{found}, expected {FEW_PAIRS} to learn from"
        by_fold = np.bincount(folds, pairs.sum(1), minlength=_FOLDS)
        if (by_fold.sum() == by_fold).any():
            return f"all {kind} labels among the candidates are of points that are alike"
    return ""


def _folds(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Fold of each point, int (V,); near duplicates share one, unless they would be most of it."""
    groups = small_groups(vectors, seed, max(1, len(vectors) // _FOLDS), len(vectors))
    return (np.random.default_rng([seed, 3]).permutation(groups.max() + 1) % _FOLDS)[groups]


def _models(
    validation: Validation, labels: np.ndarray, rows: Rows, folds: np.ndarray, seed: int, log: Log
) -> Iterator[_Tried]:
    """Every learned ranking, out of fold, and the mean of those of a length: all start from the same sum."""
    by_length: dict[int, list[_Tried]] = {length: [] for length in _LENGTHS}
    for objective, power in _MODELS:
        start = time.perf_counter()
        for length, scores in _out_of_fold(labels, rows, folds, objective, _factors(validation, labels, power), seed):
            one = _tried(validation, labels, scores, (objective, power, length))
            log(stage="rank", model=one.name, **one.figures, seconds=time.perf_counter() - start)
            by_length[length].append(one)
            yield one
    for several in by_length.values() if len(_MODELS) > 1 else ():
        scores = np.mean([one.scores for one in several], axis=0)
        one = _tried(validation, labels, scores, *(model for one in several for model in one.models))
        log(stage="rank", model=one.name, **one.figures)
        yield one


def _fitted(validation: Validation, labels: np.ndarray, rows: Rows, chosen: _Tried, seed: int) -> Boosted | None:
    """The trees of a ranking, by all held-out points; None for the weighted sum."""
    everything = np.arange(len(labels))

    def fit(model: _Model) -> Boosted:
        objective, power, length = model
        return boost(rows, everything, objective, _factors(validation, labels, power), seed, (length,))[length]

    with ThreadPoolExecutor(thread_count()) as pool:
        return Boosted.mean(list(pool.map(fit, chosen.models))) if chosen.models else None


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


def _ahead(validation: Validation, joint: np.ndarray, alone: Mapping[str, np.ndarray]) -> list[tuple[str, str, float]]:
    """Scorers that by themselves rank the held-out points better, in which metric, and by how many standard errors."""
    return [
        (name, metric, errors)
        for name, labels in alone.items()
        for metric, errors in validation.ahead(labels, joint).items()
        if errors > _NOISE
    ]
