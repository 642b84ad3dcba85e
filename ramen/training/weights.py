"""Weights of any number of scorers, by coordinate search on validation points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ramen.ranking.candidates import Gathered
from ramen.training.validation import GAIN, Validation

_FACTORS = (0.0, 0.5, 0.8, 1.25, 2.0)  # tried on each weight in turn
_AGAIN = (0.25, 0.5, 1.0)  # tried on a weight of 0
START = {"encoder": 1.0, "centroids": 1.0, "neighbours": 1.0, "sparse": 2.0, "head": 2.0}  # classifiers count twice
LOWEST = 1 / 64  # end of the range, of the largest weight


@dataclass(frozen=True)
class Weighed:
    """Weights that rank the validation points best.

    Attributes:
        value: see :meth:`Validation.judge`.
        weights: by scorer, the largest 1.
        figures: the four metrics, percent.
    """

    value: float
    weights: dict[str, float]
    figures: dict[str, float]

    @property
    def on_edge(self) -> list[str]:
        """Scorers whose weight has come to the end of the range."""
        return [name for name, weight in self.weights.items() if 0 < weight <= LOWEST * 1.001]


def weigh(validation: Validation, gathered: Gathered) -> Weighed:
    """From the same start for every set, change one at a time while that clearly improves the ranking.

    What validation cannot tell apart stays as it is: measured on halves of the validation points, finer weights rank
    the other half no better. Steps are factors, so the search ends inside its range unless a weight has become a 64th
    of the largest; a scorer that clearly harms the others ends with a weight of 0.

    Args:
        validation: what to rank for.
        gathered: its candidates and scores.
    """
    weights = _scaled({name: START.get(name, 1.0) for name in gathered.scores})
    value, figures = validation.judge_weights(gathered, weights)
    improved = True
    while improved:
        improved = False
        for name in weights:
            tries = [weights[name] * factor for factor in _FACTORS] if weights[name] else list(_AGAIN)
            best = None
            for weight in tries:
                trial = {**weights, name: weight}
                if not any(trial.values()):
                    continue
                trial = _scaled(trial)
                found = validation.judge_weights(gathered, trial)
                if found[0] > value * GAIN and (best is None or found[0] > best[0][0]):
                    best = found, trial
            if best is not None:
                (value, figures), weights = best
                improved = True
    return Weighed(value, weights, figures)


def _scaled(weights: Mapping[str, float]) -> dict[str, float]:
    highest = max(weights.values())
    return {name: max(weight / highest, LOWEST) if weight else 0.0 for name, weight in weights.items()}
