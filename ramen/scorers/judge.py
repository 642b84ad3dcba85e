"""What a scorer's search asks about held-out points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import scipy.sparse as sp

from ramen.scorers.base import Queries, Scorer

if TYPE_CHECKING:
    from ramen.ranking.candidates import Gathered

GAIN = 1.005  # a change must improve the value by so much: less is noise with a thousand points


@dataclass(frozen=True)
class WeightedSum:
    """A weighted sum of scorers and how well it ranks the held-out points.

    Attributes:
        value: geometric mean of the four metrics.
        weights: by scorer, the largest 1.
        figures: the four metrics, percent.
    """

    value: float
    weights: dict[str, float]
    figures: dict[str, float]


class Judge(Protocol):
    """Ranks the held-out points by some scorers; the same on every process of a run."""

    log: Callable[..., None]

    @property
    def targets(self) -> sp.csr_matrix:
        """Of the held-out points, CSR (V, L); values weigh the pairs."""
        ...

    def queries(self, features: str | None) -> Queries:
        """The held-out points, with word features of that set."""
        ...

    def gather(self, scorers: Mapping[str, Scorer]) -> Gathered:
        """Candidates of the held-out points and their scores."""
        ...

    def value(self, scorers: Mapping[str, Scorer], weights: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        """Geometric mean of the four metrics, and the metrics (percent), of a sum with these weights."""
        ...

    def weigh(self, scorers: Mapping[str, Scorer], start: Mapping[str, float] | None = None) -> WeightedSum:
        """The best weights of all these scorers, searched from their start weights or from others."""
        ...

    def best_sum(self, scorers: Mapping[str, Scorer]) -> WeightedSum:
        """The best weights of those that the sum is better with, added one after the other."""
        ...


def log_sum(judge: Judge, summed: WeightedSum, **facts: Any) -> None:
    """Log a weighted sum: its figures, its weights and what it was found for."""
    weights = {f"w_{name}": weight for name, weight in summed.weights.items()}
    judge.log(stage="search", **facts, value=summed.value, **summed.figures, **weights)
