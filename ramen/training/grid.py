"""Settings of the sparse head, chosen by its own ranking of the validation points."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from ramen.config import Config
from ramen.heads.words import SETS
from ramen.scorers.base import Queries
from ramen.scorers.sparse import SparseWords
from ramen.training.validation import Validation

_GAIN = 1.002  # another setting must improve the value by so much


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
    asked: Callable[[str], Queries],
    validation: Validation,
    log: Callable[..., None],
) -> tuple[SparseChoice, SparseWords]:
    """Change one setting at a time as long as that helps; start without graphs, so that they come in only if they do.

    The head's own ranking tells settings apart better than the joint one does, where the others make up for it.

    Args:
        config: where the search starts; with ``sparse.choose`` false that is all.
        fit: the sparse head of some settings.
        asked: the validation points with the words of one set of features.
        validation: what to rank for.
        log: called with the figures of each fit.
    """

    def attempt(choice: SparseChoice) -> tuple[float, SparseWords]:
        start = time.perf_counter()
        scorer = fit(choice)
        value, figures = validation.judge(
            validation.gather({"sparse": scorer}, asked(choice.features)), {"sparse": 1.0}
        )
        log(stage="choose", alone="sparse", **choice.facts(), seconds=time.perf_counter() - start, **figures)
        return value, scorer

    whole = as_set(config)
    at = replace(whole, anchors={}) if config.sparse.choose else whole
    value, scorer = attempt(at)
    tried = [at]
    for phase in _PHASES if config.sparse.choose else ():
        improved = True
        while improved:
            improved = False
            for other in (choice for steps in phase for choice in steps(at, whole.anchors)):
                if other in tried:
                    continue
                tried.append(other)
                found, trial = attempt(other)
                if found > value * _GAIN:
                    at, value, scorer, improved = other, found, trial, True
                    break
    return at, scorer


def _features(at: SparseChoice, graphs: dict[str, float]) -> list[SparseChoice]:
    return [replace(at, features=kind) for kind in SETS]


def _cost(at: SparseChoice, graphs: dict[str, float]) -> list[SparseChoice]:
    return [replace(at, C=at.C * 3), replace(at, C=at.C / 3)]


def _prior(at: SparseChoice, graphs: dict[str, float]) -> list[SparseChoice]:
    return [replace(at, prior=at.prior * 1.5), replace(at, prior=at.prior / 1.5)] if at.prior else []


def _anchors(at: SparseChoice, graphs: dict[str, float]) -> list[SparseChoice]:
    return [replace(at, anchors=graphs)] if at.prior and graphs else []


# Steps have no end, so a chosen value never lies at the edge of its range.
_PHASES = ((_features,), (_cost, _prior), (_anchors,), (_cost, _prior))
