"""What validation chooses: settings of the sparse head, epochs of the dense head, weights of all scorers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

from ramen.config import Config
from ramen.metrics import inverse_propensity
from ramen.scorers.base import Queries, Scorer
from ramen.scorers.vectors import LabelVectors
from ramen.training.fit import Choice, Fitter, SparseChoice
from ramen.training.validation import Validation
from ramen.training.weights import Weighed, weigh

_GAIN = 1.002  # another setting must improve the value by so much: less is chance with a thousand points
Log = Callable[..., None]


def choose(fitter: Fitter, log: Log) -> tuple[Choice, dict[str, float]]:
    """Choose by the fitter's held-out rows; nothing else is looked at.

    One after the other: the neighbours' temperature, the sparse head beside encoder and neighbours, the dense head's
    epochs beside all, each time with the weights that rank best.

    Returns:
        The choice and its figures on the held-out rows (percent).
    """
    split, card = fitter.split, fitter.material.dataset.card
    held_out = fitter.material.filtered[split.held_out]
    validation = Validation(split.truth, held_out, inverse_propensity(fitter.targets, card.A, card.B))
    search = _Search(fitter, validation, log)
    search.temperature()
    if fitter.config.sparse.passes:
        search.sparse()
    search.head_epochs()
    edges = [f"weight of {name}" for name in search.best.on_edge]
    edges += ["head.epochs"] if search.epochs and search.epochs == fitter.config.head.epochs else []
    if edges:
        log(stage="choose", note=f"chosen at the edge of its range: {', '.join(edges)}")
    weights = {name: round(weight, 4) for name, weight in search.best.weights.items()}
    choice = Choice(weights, search.epochs, search.voters.temperature, search.sparse_choice)
    return choice, search.best.figures


def without_validation(config: Config, log: Log) -> tuple[Choice, dict[str, float]]:
    """The settings as they are and equal weights, for too few points to hold any out."""
    log(stage="choose", note="too few training points to hold any out: equal weights, one head epoch")
    sparse = _as_set(config) if config.sparse.passes else None
    epochs = min(1, config.head.epochs)
    weights = {"encoder": 1.0, "neighbours": 1.0}
    weights |= {"sparse": 1.0} if sparse else {}
    weights |= {"head": 1.0} if epochs else {}
    return Choice(weights, epochs, config.neighbours.temperature, sparse), {}


def _as_set(config: Config) -> SparseChoice:
    settings = config.sparse
    anchors = {kind: settings.anchors for kind in config.graphs if settings.anchors}
    return SparseChoice(settings.features, settings.C, settings.prior, anchors)


class _Search:
    """The state of a choice: the scorers so far, and the best weights with them."""

    def __init__(self, fitter: Fitter, validation: Validation, log: Log) -> None:
        self.fitter, self.validation, self.log = fitter, validation, log
        self.voters = fitter.neighbours(fitter.config.neighbours.temperature)
        self.scorers: dict[str, Scorer] = {"encoder": fitter.encoder(), "neighbours": self.voters}
        self.features: str | None = None
        self.sparse_choice: SparseChoice | None = None
        self.epochs = 0
        self.best = Weighed(0.0, {"encoder": 1.0, "neighbours": 1.0}, {})
        self._queries: dict[str | None, Queries] = {}
        self._clock = time.perf_counter()

    def try_out(self, **changed: Scorer) -> Weighed:
        """The best weights with some scorers added or exchanged."""
        scorers = {**self.scorers, **changed}
        return weigh(self.validation, self.validation.gather(scorers, self._asked(self.features)))

    def _asked(self, features: str | None) -> Queries:
        """The held-out points; kept, so that a scorer asked twice answers from memory."""
        if features not in self._queries:
            self._queries[features] = self.fitter.queries(self.fitter.split.held_out, features)
        return self._queries[features]

    def report(self, found: Weighed, **facts: Any) -> None:
        """One line in the log."""
        now = time.perf_counter()
        weights = {f"w_{name}": weight for name, weight in found.weights.items()}
        self.log(stage="choose", **facts, seconds=now - self._clock, **found.figures, **weights)
        self._clock = now

    def temperature(self) -> None:
        """Walk the neighbours' temperature to where it is best."""
        at = self.voters.temperature
        self.best = self.try_out()
        for factor in (0.5, 2.0):
            while True:
                self.voters.temperature = at * factor
                found = self.try_out()
                if found.value <= self.best.value * _GAIN:
                    break
                self.best, at = found, self.voters.temperature
        self.voters.temperature = at
        self.report(self.best, temperature=at)

    def sparse(self) -> None:
        """Settings of the sparse head, one at a time as long as that helps.

        By its own ranking, which tells them apart better than the joint one does. The head then joins the other scorers
        where these rank better with it.
        """
        as_set = _as_set(self.fitter.config)
        may_choose = self.fitter.config.sparse.choose
        # Starts without graphs, so that they come in only where they help.
        at = replace(as_set, anchors={}) if may_choose else as_set
        value, scorer = self._try_sparse(at)
        tried, improved = {str(at)}, may_choose
        while improved:
            improved = False
            for steps in _neighbourhood(at, as_set.anchors):
                for other in steps:
                    if str(other) in tried:
                        continue
                    tried.add(str(other))
                    found, trial = self._try_sparse(other)
                    if found > value * _GAIN:
                        at, value, scorer, improved = other, found, trial, True
                        break
        self.features = at.features
        joined = self.try_out(sparse=scorer)
        self.report(joined, **_facts(at))
        if joined.value > self.best.value * _GAIN:
            self.best, self.sparse_choice = joined, at
            self.scorers["sparse"] = scorer
        else:
            self.features = None

    def _try_sparse(self, choice: SparseChoice) -> tuple[float, Scorer]:
        scorer = self.fitter.sparse(choice)
        gathered = self.validation.gather({"sparse": scorer}, self._asked(choice.features))
        value, figures = self.validation.judge(gathered, {"sparse": 1.0})
        self.report(Weighed(value, {}, figures), alone="sparse", **_facts(choice))
        return value, scorer

    def head_epochs(self) -> None:
        """Train the dense head until an epoch loses."""
        for epoch, head, loss in self.fitter.head_epochs():
            if not epoch:
                continue
            scorer = LabelVectors(head.weights.numpy().copy())
            found = self.try_out(head=scorer)
            self.report(found, epoch=epoch, loss=loss)
            if found.value <= self.best.value * _GAIN:
                break
            self.best, self.epochs = found, epoch
            self.scorers["head"] = scorer


def _facts(choice: SparseChoice) -> dict[str, Any]:
    return {**asdict(choice), "anchors": "+".join(choice.anchors)}


def _neighbourhood(at: SparseChoice, graphs: dict[str, float]) -> Iterator[list[SparseChoice]]:
    """For each setting the values to try beside the present one; the first that helps is taken."""
    yield [replace(at, features="words+pairs" if at.features == "words" else "words")]
    yield [replace(at, C=at.C * 3), replace(at, C=at.C / 3)]
    if at.prior:
        yield [replace(at, prior=at.prior * 1.5), replace(at, prior=at.prior / 1.5)]
        if graphs:
            yield [replace(at, anchors={} if at.anchors else graphs)]
