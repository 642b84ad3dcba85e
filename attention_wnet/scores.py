"""How well a map of probabilities agrees with a drawing, over photographs, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

NAMES = ("auc", "f1", "sensitivity", "specificity", "accuracy")
_LEVELS = 4096  # of probability, between which intervals do not tell
_DRAWS = 1000
_INTERVAL = (2.5, 97.5)  # percentiles


@dataclass
class Scored:
    """One photograph's pixels, those that count.

    Attributes:
        probabilities: float ``(pixels,)``; of a drawing 0 or 1.
        vessels: bool ``(pixels,)``, the first observer's.
    """

    probabilities: np.ndarray
    vessels: np.ndarray


def scores(photographs: Sequence[Scored], threshold: float, seed: int = 0) -> dict[str, dict[str, float]]:
    """Scores over the pooled pixels of photographs, with bootstrap intervals over photographs.

    AUC is the area under the ROC curve; F1, sensitivity, specificity and accuracy are of the vessels from ``threshold``
    on. An interval has the middle 95 % of 1000 draws, with replacement, of as many photographs; its AUC is of
    probabilities in 4096 steps of equally many pixels.

    Args:
        photographs: one or more.
        threshold: from which a pixel is taken for vessel.
        seed: of the draws.

    Returns:
        By name: ``value``, ``low`` and ``high``. No AUC where all values are 0 or 1, as of a drawing.

    Example:
        >>> half = Scored(np.array([0.9, 0.2, 0.6, 0.1]), np.array([True, False, False, True]))
        >>> scores([half], 0.5)["f1"]
        {'value': 0.5, 'low': 0.5, 'high': 0.5}
    """
    counts = np.array([_confusion(one, threshold) for one in photographs])
    draws = np.random.default_rng(seed).integers(len(photographs), size=(_DRAWS, len(photographs)))
    values, drawn = _rates(counts.sum(axis=0)), _rates(counts[draws].sum(axis=1).T)
    pooled = np.concatenate([one.probabilities for one in photographs])
    if ((pooled > 0) & (pooled < 1)).any():
        truth = np.concatenate([one.vessels for one in photographs])
        values["auc"] = np.asarray(roc_auc_score(truth, pooled))
        steps = np.unique(np.quantile(pooled, np.linspace(0, 1, _LEVELS)))
        tables = np.array([_table(one, steps) for one in photographs])
        drawn["auc"] = np.array([_auc(tables[draw].sum(axis=0)) for draw in draws])
    found = {}
    for name in NAMES:
        if name in values:
            low, high = np.percentile(drawn[name], _INTERVAL)
            found[name] = {"value": float(values[name]), "low": float(low), "high": float(high)}
    return found


def best_threshold(photographs: Sequence[Scored]) -> float:
    """The threshold of the greatest F1 over pooled pixels, in steps of 0.01."""
    steps = np.linspace(0.05, 0.95, 91)
    f1 = [_rates(np.sum([_confusion(one, step) for one in photographs], axis=0))["f1"] for step in steps]
    return round(float(steps[int(np.argmax(f1))]), 2)


def _confusion(one: Scored, threshold: float) -> tuple[int, int, int, int]:
    """True and false positives, false and true negatives."""
    found = one.probabilities >= float(threshold)  # a numpy scalar would compare in another precision
    hits, marked, drawn = int((found & one.vessels).sum()), int(found.sum()), int(one.vessels.sum())
    return hits, marked - hits, drawn - hits, len(found) - marked - drawn + hits


def _rates(counts: np.ndarray) -> dict[str, np.ndarray]:
    hits, false, missed, rest = counts
    with np.errstate(invalid="ignore"):
        return {
            "f1": 2 * hits / (2 * hits + false + missed),
            "sensitivity": hits / (hits + missed),
            "specificity": rest / (rest + false),
            "accuracy": (hits + rest) / (hits + false + missed + rest),
        }


def _table(one: Scored, steps: np.ndarray) -> np.ndarray:
    """Pixels at each step of probability: of background, of vessel."""
    at = np.searchsorted(steps, one.probabilities, side="right")
    return np.stack([np.bincount(at[one.vessels == kind], minlength=len(steps) + 1) for kind in (False, True)])


def _auc(table: np.ndarray) -> float:
    background, vessel = table
    below = np.cumsum(background) - background
    return float((vessel * (below + background / 2)).sum() / (vessel.sum() * background.sum()))
