"""Settings of the sparse head, chosen by how the validation points are ranked with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from ramen.config import Config
from ramen.scorers.sparse.scorer import SparseWords
from ramen.scorers.sparse.words import SETS


@dataclass(frozen=True)
class SparseChoice:
    """What validation picks of the sparse head.

    Attributes:
        features: ``words`` or ``words+pairs``.
        C: cost of errors.
        prior: λ.
        anchors: weight of each graph's anchors in the prior.
    """

    features: str
    C: float
    prior: float
    anchors: dict[str, float]

    def facts(self) -> dict[str, Any]:
        """For the log."""
        return {**asdict(self), "anchors": "+".join(self.anchors)}


def as_set(config: Config) -> SparseChoice:
    """The settings as they are, with the anchors of every graph."""
    settings = config.sparse
    anchors = {kind: settings.anchors for kind in config.graphs if settings.anchors}
    return SparseChoice(settings.features, settings.C, settings.prior, anchors)


def search_sparse(
    config: Config,
    fit: Callable[[SparseChoice], SparseWords],
    judge: Callable[[SparseWords, str], tuple[float, dict[str, float]]],
    log: Callable[..., None],
    sets: tuple[str, ...] = SETS,
) -> tuple[SparseChoice, SparseWords]:
    """Change one setting at a time as long as that helps; start without graphs, so that they come in only if they do.

    Args:
        config: where the search starts; with ``sparse.choose`` false that is all.
        fit: the sparse head of some settings.
        judge: the value and figures of a sparse head over one set of features.
        log: called with the figures of each fit.
        sets: of features to choose among.
    """

    def attempt(choice: SparseChoice) -> tuple[float, SparseWords]:
        start = time.perf_counter()
        scorer = fit(choice)
        value, figures = judge(scorer, choice.features)
        log(stage="choose", scorer="sparse", **choice.facts(), seconds=time.perf_counter() - start, **figures)
        return value, scorer

    whole = as_set(config)
    at = replace(whole, anchors={}) if config.sparse.choose else whole
    value, scorer = attempt(at)
    tried = [at]
    phases = ((lambda at, graphs: [replace(at, features=kind) for kind in sets], 1.01), *_PHASES)
    for steps, gain in phases if config.sparse.choose else ():
        improved = True
        while improved:
            improved = False
            for other in steps(at, whole.anchors):
                if other in tried:
                    continue
                tried.append(other)
                found, trial = attempt(other)
                if found > value * gain:
                    at, value, scorer, improved = other, found, trial, True
                    break
    return at, scorer


def _cost(at: SparseChoice, graphs: dict[str, float]) -> list[SparseChoice]:
    return [replace(at, C=at.C * 3), replace(at, C=at.C / 3)]


def _prior(at: SparseChoice, graphs: dict[str, float]) -> list[SparseChoice]:
    return [replace(at, prior=at.prior * 2), replace(at, prior=at.prior / 2)] if at.prior else []


def _anchors(at: SparseChoice, graphs: dict[str, float]) -> list[SparseChoice]:
    return [replace(at, anchors=graphs)] if at.prior and graphs else []


# By how much each must improve the value; a set of features by more, as pairs make the head three times as large. Steps
# have no end, so a chosen value never lies at the edge of its range.
_PHASES = ((_cost, 1.002), (_prior, 1.002), (_anchors, 1.002), (_cost, 1.002))
