"""How the joint ranking ranks: by a weighted sum or by learned trees, whichever out-of-fold figures prefer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from ramen import distributed
from ramen.mining.duplicates import small_groups
from ramen.mining.heaps import best
from ramen.ranking.associations import Associations
from ramen.ranking.candidates import CANDIDATES, Gathered
from ramen.ranking.learned import LearnedRanking
from ramen.ranking.overlap import LabelWords
from ramen.ranking.pair_features import PairFeatures
from ramen.ranking.thresholds import Thresholds
from ramen.ranking.trees import Trees
from ramen.scorers.base import Queries, Scorer, TrainedScorer
from ramen.scorers.judge import GAIN
from ramen.scorers.views import Views
from ramen.threads import thread_count
from ramen.training.boosting import TREES, Boosted, Rows, boost
from ramen.training.calibrate import calibrate, fit_level
from ramen.training.held_out import HeldOut
from ramen.training.judge import LOWEST, HeldOutJudge

Log = Callable[..., None]

SUM = "weighted sum"
FEW_POINTS, FEW_PAIRS = 300, 100  # held-out points, and right and wrong pairs, below which nothing is learned
_FOLDS = 5
_KNOTS = 30
_NOISE = 2.0  # standard errors of the paired difference by which a scorer alone must be ahead to be said to be
# Objective, and power of the inverse propensity by which right pairs are weighed. Which is best differs by set.
_MODELS = (("binary", 0.0), ("lambdarank", 0.5))
_LENGTHS = (TREES // 2, TREES)


_Model = tuple[str, float, int]


@dataclass(frozen=True)
class RankerParams:
    """How scorers are ranked together, as a search chooses it.

    Attributes:
        weights: in the weighted sum, of the scorers that a run keeps; 0 for one that only the trees use, or that is
            kept whatever ranks.
        model: what ranks, for people.
        trees: :meth:`Trees.facts`, or None for the weighted sum alone.
        scale: of the weighted sum that the trees add to.
        features: group and name of each feature that the trees ask for.
        by_sum: see :class:`LearnedRanking`.
        level: :meth:`TextLevel.facts` of its scores, or None where it is no use.
        calibration: :meth:`Calibration.facts` of its scores with their levels, or None for too few right pairs.
        thresholds: :meth:`Thresholds.facts` of its probabilities, or None without calibration.
        figures: out of fold, percent.
        scorers: by scorer the figures of that one alone.
    """

    weights: dict[str, float]
    model: str = SUM
    trees: dict[str, list] | None = None
    scale: float = 0.0
    features: list[list[str]] = field(default_factory=list)
    by_sum: list[list[float]] = field(default_factory=list)
    level: dict[str, float] | None = None
    calibration: dict[str, list[float]] | None = None
    thresholds: dict[str, Any] | None = None
    figures: dict[str, float] = field(default_factory=dict)
    scorers: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class RankerData:
    """What a ranking of the held-out points is learned from.

    Attributes:
        held_out: the points.
        gathered: their candidates, with the scores of each scorer.
        queries: the same points.
        weights: of the weighted sum, by scorer; 0 for one that only trees may use.
        features: of the pairs.
    """

    held_out: HeldOut
    gathered: Gathered
    queries: Queries
    weights: dict[str, float]
    features: PairFeatures

    @classmethod
    def of(cls, judge: HeldOutJudge, scorers: Mapping[str, TrainedScorer], weights: Mapping[str, float]) -> RankerData:
        """Ask the scorers for their candidates of the held-out points; every process has to call it."""
        weights = {name: weights.get(name, 0.0) for name in scorers}
        features = word_set(judge.views, scorers)
        pair_features = make_pair_features(judge.views, scorers, weights)
        return cls(judge.held_out, judge.gather(scorers, features), judge.queries(features), weights, pair_features)

    def alone(self) -> dict[str, np.ndarray]:
        """By scorer the first ten labels of each point, int64 (V, 10), as that one alone ranks them."""
        return {name: self.gathered.alone(name, 10)[0] for name in self.gathered.scores}


def word_set(views: Views, scorers: Mapping[str, Scorer]) -> str:
    """The set of word features that the scorers read, or the first."""
    return next((scorer.features for scorer in scorers.values() if scorer.features), views.source.sets[0])


def make_pair_features(views: Views, scorers: Mapping[str, Scorer], weights: Mapping[str, float]) -> PairFeatures:
    """Features of pairs of a query and a label, with what they need to know of the labels."""
    words = views.words(word_set(views, scorers))
    label_words = LabelWords.of(words.columns, words.describing, views.label_titles)
    texts = views.source.split_words(views.rows)
    associations = None
    if texts is not None:
        associations = views.remembered(
            "associations", lambda: Associations.of(*texts, views.targets, views.config.seed)
        )
    return PairFeatures.of(scorers, weights, views.targets.getnnz(0), label_words, associations)


def search_ranker(scorers: Mapping[str, TrainedScorer], judge: HeldOutJudge) -> RankerParams:
    """Rank the scorers together: by trees where they rank points better that they have not seen, else by their sum.

    A scorer that the weighted sum is better without is kept for the trees where it costs little.
    """
    config, summed = judge.views.config, judge.best_sum(scorers)
    on_edge = [name for name, weight in summed.weights.items() if 0 < weight <= LOWEST * 1.001]
    if on_edge:
        judge.log(stage="search", note=f"weights at the end of their range: {', '.join(on_edge)}")
    weights = {name: round(weight, 4) for name, weight in summed.weights.items()}
    left_out = [name for name in scorers if not weights.get(name)]
    judge.log(stage="search", decision="sum", weights=weights, left_out=left_out, value=summed.value)
    scorers = {name: scorer for name, scorer in scorers.items() if name in weights or scorer.always_fitted}
    data = RankerData.of(judge, scorers, weights)
    learn = config.ranking.learn
    params = RankerParams(**distributed.broadcast(lambda: asdict(fit_ranker(data, learn, config.seed, judge.log))))
    always = {name: 0.0 for name, scorer in scorers.items() if scorer.always_kept}
    return replace(params, weights={**always, **params.weights})


def joint_ranking(scorers: Mapping[str, TrainedScorer], judge: HeldOutJudge) -> np.ndarray:
    """Return the first ten labels of each held-out point as :func:`search_ranker` would rank them, int64 (V, 10).

    No tree has seen the point that it ranks. The figures are not logged.
    """
    config, summed = judge.views.config, judge.weigh(scorers)
    data = RankerData.of(judge, scorers, {name: summed.weights.get(name, 0.0) for name in scorers})

    def first() -> np.ndarray:
        tried, _ = _rankings(data, config.ranking.learn, config.seed, _silent, _LENGTHS[:1])
        return _best_of(data.held_out, tried, data.alone())[0].ranked

    return distributed.broadcast(first)


def fit_ranker(data: RankerData, learn: bool, seed: int, log: Log) -> RankerParams:
    """Choose among the weighted sum and several learned models, by scores of points that a model has not seen.

    Every model is fitted on four fifths of the held-out points and judged on the last, whole groups of near duplicates
    together; these out-of-fold scores choose the model, learn the level of a text, calibrate the probabilities and
    choose the thresholds of highest F1. The best is taken of those that no scorer alone beats by more than noise; a
    single model must gain over the mean of several, which depends less on chance. It is then fitted on all held-out
    points.

    Args:
        data: of the held-out points.
        learn: whether trees may be used; else the weighted sum ranks.
        seed: of folds and trees.
        log: called with the figures of each model, and with notes.
    """
    held_out, gathered, weights, alone = data.held_out, data.gathered, data.weights, data.alone()
    labels, is_label, summed = gathered.labels, gathered.labels >= 0, gathered.total(weights)
    tried, rows = _rankings(data, learn, seed, log, _LENGTHS)
    chosen = _chosen(held_out, tried, alone, log)
    boosted = None if rows is None else _fitted(held_out, labels, rows, chosen, seed)
    at_test = held_out.as_at_test(labels, chosen.scores)
    ranked, scores = best(labels, at_test, np.isfinite(at_test), CANDIDATES)
    level = fit_level(ranked, scores, held_out.targets)
    scores = scores if level is None else scores + level.of(scores)[:, None]
    calibration, thresholds = calibrate(ranked, scores, held_out.targets), None
    if calibration is not None:
        thresholds = Thresholds.choose(ranked, calibration.of(scores), held_out.targets_at_test())
    return RankerParams(
        weights={name: weight for name, weight in weights.items() if weight or boosted},
        model=chosen.name,
        trees=None if boosted is None else boosted.trees.facts(),
        scale=0.0 if boosted is None else boosted.scale,
        features=[list(name) for name in data.features.names],
        by_sum=_by_sum(summed[is_label], chosen.scores[is_label]) if boosted else [],
        level=None if level is None else level.facts(),
        calibration=None if calibration is None else calibration.facts(),
        thresholds=None if thresholds is None else thresholds.facts(),
        figures=chosen.figures,
        scorers={name: held_out.judge(ranked)[1] for name, ranked in alone.items()},
    )


def _rankings(
    data: RankerData, learn: bool, seed: int, log: Log, lengths: Sequence[int]
) -> tuple[list[_Tried], Rows | None]:
    """The weighted sum and the learned rankings, and what these learn from; None where nothing can be learned."""
    held_out, gathered, weights = data.held_out, data.gathered, data.weights
    labels, is_label, summed = gathered.labels, gathered.labels >= 0, gathered.total(weights)
    offered = gathered.offered([name for name, weight in weights.items() if weight])
    tried = [_tried(held_out, labels, np.where(offered, summed, -np.inf))]
    right = held_out.weights_of(labels)
    folds = _folds(data.queries.vectors, seed) if len(labels) else np.empty(0, dtype=np.int64)
    reason = _too_few(right > 0, is_label, folds) if learn else "ranking.learn=false"
    if reason:
        log(stage="rank", note=f"no boosted trees: {reason}")
        return tried, None
    rows = Rows.of(data.features.matrix(data.queries, gathered), is_label, summed, right > 0, right, seed)
    log(stage="rank", model=SUM, value=tried[0].value, **tried[0].figures)
    return [*tried, *_models(held_out, labels, rows, folds, seed, log, lengths)], rows


def _silent(**figures: object) -> None:
    pass


def _best_of(
    held_out: HeldOut, tried: list[_Tried], alone: Mapping[str, np.ndarray]
) -> tuple[_Tried, list[tuple[str, str, float]]]:
    """The best ranking that no scorer alone beats by more than noise, else the best; and by which it is beaten."""
    best_first = sorted(tried, key=lambda one: -one.value / (GAIN if len(one.models) == 1 else 1.0))
    chosen = next((one for one in best_first if not _ahead(held_out, one.ranked, alone)), best_first[0])
    return chosen, _ahead(held_out, chosen.ranked, alone)


def _chosen(held_out: HeldOut, tried: list[_Tried], alone: Mapping[str, np.ndarray], log: Log) -> _Tried:
    chosen, ahead = _best_of(held_out, tried, alone)
    for name, metric, errors in ahead:
        log(stage="rank", warning=f"{name} alone has a higher {metric} than the joint ranking", errors=errors)
    values = {name: held_out.judge(ranked)[0] for name, ranked in alone.items()}
    log(
        stage="rank", chosen=chosen.name, value=chosen.value, value_of_sum=tried[0].value, alone=values,
        **chosen.figures,
    )  # fmt: skip
    return chosen


def learned_ranking(params: RankerParams, scorers: Mapping[str, TrainedScorer], views: Views) -> LearnedRanking | None:
    """The trees of a search over the scorers that a run keeps; None for the weighted sum."""
    if params.trees is None:
        return None
    features = make_pair_features(views, scorers, params.weights)
    assert [list(name) for name in features.names] == params.features
    trees = Trees.read(params.trees)
    return LearnedRanking(trees, params.scale, features, np.array(params.by_sum), len(features.counts))


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
        descriptions = [
            f"{length} trees, {objective}" + (", right pairs weighed by propensity" if power else "")
            for objective, power, length in self.models
        ]
        return descriptions[0] if len(descriptions) == 1 else f"mean of {'; '.join(descriptions)}"


def _tried(held_out: HeldOut, labels: np.ndarray, scores: np.ndarray, *models: _Model) -> _Tried:
    scores = scores.astype(np.float32)
    ranked = best(labels, scores, np.isfinite(scores), 10)[0]
    return _Tried(scores, ranked, *held_out.judge(ranked), models)


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
        return f"{len(right)} held-out points, at least {FEW_POINTS} are needed"
    for kind, pairs in (("right", right & is_label), ("wrong", ~right & is_label)):
        if pairs.sum() < FEW_PAIRS:
            number = f"{pairs.sum()} {kind} labels among the candidates of held-out points"
            return f"{number}, at least {FEW_PAIRS} are needed"
        by_fold = np.bincount(folds, pairs.sum(1), minlength=_FOLDS)
        if (by_fold.sum() == by_fold).any():
            return f"all {kind} labels among the candidates are of points that are alike"
    return ""


def _folds(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Fold of each point, int (V,); near duplicates share one, unless they would be most of it."""
    groups = small_groups(vectors, seed, max(1, len(vectors) // _FOLDS), len(vectors))
    return (np.random.default_rng([seed, 3]).permutation(groups.max() + 1) % _FOLDS)[groups]


def _models(
    held_out: HeldOut, labels: np.ndarray, rows: Rows, folds: np.ndarray, seed: int, log: Log, lengths: Sequence[int]
) -> Iterator[_Tried]:
    """Every learned ranking, out of fold, and the mean of those of a length: all start from the same sum."""
    by_length: dict[int, list[_Tried]] = {length: [] for length in lengths}
    for objective, power in _MODELS:
        start = time.perf_counter()
        factors = _factors(held_out, labels, power)
        for length, scores in _out_of_fold(labels, rows, folds, objective, factors, seed, lengths):
            one = _tried(held_out, labels, scores, (objective, power, length))
            seconds = time.perf_counter() - start
            log(stage="rank", model=one.name, value=one.value, **one.figures, seconds=seconds)
            by_length[length].append(one)
            yield one
    for several in by_length.values() if len(_MODELS) > 1 else ():
        scores = np.mean([one.scores for one in several], axis=0)
        one = _tried(held_out, labels, scores, *(model for one in several for model in one.models))
        log(stage="rank", model=one.name, value=one.value, **one.figures)
        yield one


def _fitted(held_out: HeldOut, labels: np.ndarray, rows: Rows, chosen: _Tried, seed: int) -> Boosted | None:
    """The trees of a ranking, by all held-out points; None for the weighted sum."""
    everything = np.arange(len(labels))

    def fit(model: _Model) -> Boosted:
        objective, power, length = model
        return boost(rows, everything, objective, _factors(held_out, labels, power), seed, (length,))[length]

    with ThreadPoolExecutor(thread_count()) as pool:
        return Boosted.mean(list(pool.map(fit, chosen.models))) if chosen.models else None


def _factors(held_out: HeldOut, labels: np.ndarray, power: float) -> np.ndarray | None:
    return held_out.inverse_propensity[np.maximum(labels, 0)] ** power if power else None


def _out_of_fold(
    labels: np.ndarray,
    rows: Rows,
    folds: np.ndarray,
    objective: str,
    factors: np.ndarray | None,
    seed: int,
    lengths: Sequence[int],
) -> list[tuple[int, np.ndarray]]:
    """By number of trees the scores (V, C) that each point gets from trees that have not seen its fold."""
    by_length = {length: np.full(labels.shape, -np.inf) for length in lengths}

    def fit(fold: int) -> None:
        boosted = boost(rows, np.flatnonzero(folds != fold), objective, factors, seed, lengths)
        held = np.flatnonzero(folds == fold)
        for length in lengths:
            scores = boosted[length].scores(rows.features[held], rows.sums[held])
            by_length[length][held] = np.where(labels[held] >= 0, scores, -np.inf)

    with ThreadPoolExecutor(thread_count()) as pool:
        list(pool.map(fit, range(_FOLDS)))
    return list(by_length.items())


def _ahead(held_out: HeldOut, joint: np.ndarray, alone: Mapping[str, np.ndarray]) -> list[tuple[str, str, float]]:
    """Scorers that by themselves rank the held-out points better, in which metric, and by how many standard errors."""
    return [
        (name, metric, errors)
        for name, labels in alone.items()
        for metric, errors in held_out.ahead(labels, joint).items()
        if errors > _NOISE
    ]
