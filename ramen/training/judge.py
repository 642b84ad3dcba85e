"""How well held-out points are ranked by weighted sums of scorers, and the search for the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

import scipy.sparse as sp

from ramen import distributed
from ramen.ranking.candidates import Gathered
from ramen.scorers.base import Queries, Scorer
from ramen.scorers.judge import GAIN, WeightedSum
from ramen.scorers.views import Views
from ramen.training.held_out import HeldOut

_FACTORS = (0.0, 0.5, 0.8, 1.25, 2.0)  # tried on each weight in turn
_FROM_ZERO = (0.25, 0.5, 1.0)  # tried on a weight of 0
LOWEST = 1 / 64  # of the largest weight: the end of the range


class HeldOutJudge:
    """Ranks held-out points by scorers that were fitted without them; see :class:`ramen.scorers.judge.Judge`.

    Args:
        held_out: the points and their targets.
        views: has their vectors and word features.
        log: called with figures.
    """

    def __init__(self, held_out: HeldOut, views: Views, log: Callable[..., None]) -> None:
        self.held_out, self.views, self.log = held_out, views, log
        self._queries: dict[str | None, Queries] = {}
        self._gathered: tuple[tuple[Scorer, ...], Gathered] | None = None

    @property
    def targets(self) -> sp.csr_matrix:
        """See :class:`Judge`."""
        return self.held_out.targets

    def queries(self, features: str | None) -> Queries:
        """The points, with word features of that set; kept, so that a scorer asked twice answers from its cache."""
        if features not in self._queries:
            self._queries[features] = self.views.queries(self.held_out.rows, features)
        return self._queries[features]

    def gather(self, scorers: Mapping[str, Scorer], features: str | None = None) -> Gathered:
        """Candidates and scores; features are those that the scorers read, or those named. Kept for the next call."""
        asked = tuple(scorers.values())
        if self._gathered is None or self._gathered[0] != asked:
            read = next((scorer.features for scorer in asked if scorer.features), None)
            self._gathered = asked, self.held_out.gather(scorers, self.queries(read or features))
        return self._gathered[1]

    def value(self, scorers: Mapping[str, Scorer], weights: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        """See :class:`Judge`."""
        gathered = self.gather(scorers)
        value, figures = distributed.broadcast(lambda: self.held_out.judge_weights(gathered, weights))
        return value, figures

    def weigh(self, scorers: Mapping[str, Scorer], start: Mapping[str, float] | None = None) -> WeightedSum:
        """See :class:`Judge`."""
        return self._weigh(self.gather(scorers), scorers, start)

    def _weigh(
        self, gathered: Gathered, scorers: Mapping[str, Scorer], start: Mapping[str, float] | None = None
    ) -> WeightedSum:
        start = start or {name: scorer.start_weight for name, scorer in scorers.items()}
        return WeightedSum(**distributed.broadcast(lambda: asdict(search_weights(self.held_out, gathered, start))))

    def best_sum(self, scorers: Mapping[str, Scorer]) -> WeightedSum:
        """See :class:`Judge`."""
        gathered, (first, *others) = self.gather(scorers), list(scorers)
        used, best = {first: scorers[first]}, self._weigh(gathered, {first: scorers[first]})
        for name in others:
            trial = self._weigh(gathered, {**used, name: scorers[name]})
            if trial.weights[name] and trial.value > best.value:
                used, best = {**used, name: scorers[name]}, trial
        whole = self._weigh(gathered, scorers)  # from another start: weights are a local optimum
        if whole.value > best.value:
            best = replace(whole, weights={name: weight for name, weight in whole.weights.items() if weight})
        return best


def search_weights(held_out: HeldOut, gathered: Gathered, start: Mapping[str, float]) -> WeightedSum:
    """Coordinate search: change one weight at a time while that clearly improves the ranking.

    What the held-out points cannot tell apart stays as it is: measured on halves of them, finer weights rank the other
    half no better. Steps are factors, so the search ends inside its range unless a weight has become a 64th of the
    largest; a scorer that clearly harms the others ends with a weight of 0.

    Args:
        held_out: the points.
        gathered: their candidates and scores.
        start: weights to start from, by scorer.
    """
    weights = _scaled(start)
    value, figures = held_out.judge_weights(gathered, weights)
    improved = True
    while improved:
        improved = False
        for name in weights:
            tries = [weights[name] * factor for factor in _FACTORS] if weights[name] else list(_FROM_ZERO)
            best = None
            for weight in tries:
                trial = {**weights, name: weight}
                if not any(trial.values()):
                    continue
                trial = _scaled(trial)
                trial_value, trial_figures = held_out.judge_weights(gathered, trial)
                if trial_value > value * GAIN and (best is None or trial_value > best[0]):
                    best = trial_value, trial_figures, trial
            if best is not None:
                value, figures, weights = best
                improved = True
    return WeightedSum(value, weights, figures)


def _scaled(weights: Mapping[str, float]) -> dict[str, float]:
    highest = max(weights.values())
    return {name: max(weight / highest, LOWEST) if weight else 0.0 for name, weight in weights.items()}
