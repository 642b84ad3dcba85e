"""What validation chooses: settings of the sparse head, epochs of the dense head, weights of all scorers."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import scipy.sparse as sp

from ramen import distributed
from ramen.config import Config
from ramen.metrics import inverse_propensity
from ramen.ranking.candidates import Gathered
from ramen.ranking.pair_features import PairFeatures
from ramen.scorers.base import Queries, Scorer
from ramen.scorers.sparse.scorer import SparseWords
from ramen.scorers.sparse.search import SparseChoice, as_set, search_sparse
from ramen.scorers.vectors import LabelVectors
from ramen.training.fit import Choice, Fitter
from ramen.training.ranking import RankingChoice, choose_ranking, learned_value
from ramen.training.validation import GAIN, Validation
from ramen.training.weights import START, Weighed, weigh

Log = Callable[..., None]

_Candidates = tuple[Validation, Gathered, Queries, dict[str, float], PairFeatures]
_PATIENCE = 2  # epochs of the dense head without a gain: the first of a good one may lose by chance


def choose(fitter: Fitter, log: Log) -> tuple[Choice, dict[str, float]]:
    """Choose by the fitter's held-out rows; nothing else is looked at.

    One after the other: the neighbours' temperature, the sparse head beside encoder and neighbours, where the dense
    head starts if there is a choice, its epochs beside all.

    Returns:
        The choice and its figures on the held-out rows (percent).
    """
    split, card = fitter.split, fitter.material.dataset.card
    ignored = sp.csr_matrix(fitter.material.filtered[split.held_out] + split.ignored)
    propensities = inverse_propensity(fitter.targets, card.A, card.B)
    validation = Validation(split.truth, ignored, propensities, split.filtered_at_test)
    search = _Search(fitter, validation, log)
    search.temperature()
    if fitter.config.sparse.passes:
        search.sparse()
    search.start()
    search.head_epochs()
    edges = [f"weight of {name}" for name in search.best.on_edge]
    edges += ["head.epochs"] if "head" in search.scorers and search.epochs == fitter.config.head.epochs else []
    if edges:
        log(stage="choose", note=f"chosen at the edge of its range: {', '.join(edges)}")
    weights = {name: round(weight, 4) for name, weight in search.best.weights.items()}
    ranking = search.ranking(weights)
    choice = Choice(
        weights,
        search.epochs if "head" in weights or (ranking.trees and "head" in ranking.scorers) else 0,
        search.voters.temperature,
        search.sparse_choice,
        labels=search.labels,
        ranking=ranking,
    )
    return choice, ranking.figures


def without_validation(config: Config, log: Log, first: str = "encoder") -> tuple[Choice, dict[str, float]]:
    """The settings as they are and the weights that a search starts from, for too few points to hold any out."""
    reason = "no training points to hold out: too few, too much alike, or labels of one point each (validation.unseen)"
    log(stage="choose", note=f"{reason}: settings as they are, one head epoch")
    sparse = as_set(config) if config.sparse.passes else None
    epochs = min(1, config.head.epochs)
    names = [first, "neighbours", *(["sparse"] if sparse else []), *(["head"] if epochs else [])]
    return Choice({name: START[name] for name in names}, epochs, config.neighbours.temperature, sparse), {}


class _Search:
    """The state of a choice: the scorers so far, and the best weights with them.

    Trees may make use of a scorer that the weighted sum is better without, so ``beside`` keeps it: the sparse head in
    any case, the dense head, which takes longer to train and to ask, only where they rank better with it.
    """

    def __init__(self, fitter: Fitter, validation: Validation, log: Log) -> None:
        self.fitter, self.validation, self.log = fitter, validation, log
        self.voters = fitter.neighbours(fitter.config.neighbours.temperature)
        self.scorers: dict[str, Scorer] = {fitter.first: fitter.encoder(), "neighbours": self.voters}
        self.beside: dict[str, Scorer] = {}
        self.features: str | None = None
        self.sparse_choice: SparseChoice | None = None
        self.epochs = 0
        self.labels = ""
        self.best = Weighed(0.0, {fitter.first: 1.0, "neighbours": 1.0}, {})
        self._queries: dict[str | None, Queries] = {}
        self._clock = time.perf_counter()

    def try_out(self, **changed: Scorer) -> Weighed:
        """The best weights with some scorers added or exchanged."""
        scorers = {**self.scorers, **changed}
        gathered = self.validation.gather(scorers, self._asked(self.features))
        return Weighed(**distributed.broadcast(lambda: asdict(weigh(self.validation, gathered))))

    def _judge(self, gathered: Gathered, weights: dict[str, float]) -> tuple[float, dict[str, float]]:
        """What rank 0 finds: ranks that decided for themselves might part."""
        value, figures = distributed.broadcast(lambda: self.validation.judge_weights(gathered, weights))
        return value, figures

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
            self.voters.temperature = at * factor
            while (found := self.try_out()).value > self.best.value * GAIN:
                self.best, at = found, self.voters.temperature
                self.voters.temperature = at * factor
        self.voters.temperature = at
        self.report(self.best, temperature=at)

    def sparse(self) -> None:
        """The sparse head, where the others rank better with it.

        Its settings are compared in the joint ranking with weights that stay the same: alone it would have to do what
        the encoder does better, and weights found anew for each would hide the difference.
        """

        def judge(scorer: SparseWords, features: str) -> tuple[float, dict[str, float]]:
            scorers = {**self.scorers, "sparse": scorer}
            gathered = self.validation.gather(scorers, self._asked(features))
            return self._judge(gathered, {name: START[name] for name in scorers})

        start = time.perf_counter()
        mined = self.fitter.negatives.nnz
        self.log(stage="mine", negatives=mined, seconds=time.perf_counter() - start)
        choice, scorer = search_sparse(self.fitter.config, self.fitter.sparse, judge, self.log, self.fitter.sets)
        self._clock = time.perf_counter()
        self.features, self.sparse_choice = choice.features, choice
        joined = self.try_out(sparse=scorer)
        self.report(joined, **choice.facts())
        if joined.value > self.best.value * GAIN:
            self.best = joined
            self.scorers["sparse"] = scorer
        else:
            self.beside["sparse"] = scorer

    def ranking(self, weights: dict[str, float]) -> RankingChoice:
        """How all of them are ranked together."""
        learn, seed = self.fitter.config.ranking.learn, self.fitter.config.seed
        asked = self._candidates(weights, self.beside)  # by all ranks: each has a part of the head
        if "head" in self.beside and learn:
            others = self._candidates(weights, {name: one for name, one in self.beside.items() if name != "head"})
            asked = self._with_head_or_without(asked, others)
        found = distributed.broadcast(lambda: asdict(choose_ranking(*asked, learn, seed, self.log)))
        return RankingChoice(**found)

    def _with_head_or_without(self, with_head: _Candidates, without: _Candidates) -> _Candidates:
        """Those by which trees rank better: the weighted sum does without the dense head, which must earn its time."""
        seed = self.fitter.config.seed
        value, value_with = distributed.broadcast(
            lambda: [learned_value(*asked, seed) for asked in (without, with_head)]
        )
        keeps = value_with > value * GAIN
        self.log(stage="rank", head="kept" if keeps else "left out", value_without=value, value_with=value_with)
        return with_head if keeps else without

    def _candidates(self, weights: dict[str, float], more: dict[str, Scorer]) -> _Candidates:
        """What a ranking of the held-out points by the scorers and some more is learned from."""
        kind = self.features or self.fitter.sets[0]
        scorers, queries = {**self.scorers, **more}, self._asked(kind)
        counts, words = self.fitter.targets.getnnz(0), self.fitter.label_words(kind)
        features = PairFeatures.of(scorers, weights, counts, words)
        return self.validation, self.validation.gather(scorers, queries), queries, weights, features

    def start(self) -> None:
        """The label vectors from which the dense head starts: those that rank best by themselves, or the first."""
        if len(self.fitter.starts) < 2:
            return
        values = {}
        for name, vectors in self.fitter.starts.items():
            gathered = self.validation.gather({name: LabelVectors(vectors.numpy())}, self._asked(self.features))
            values[name] = self._judge(gathered, {name: 1.0})[0]
        first = next(iter(values))
        best = max(values, key=values.__getitem__)
        self.labels = best if values[best] > values[first] * GAIN else first
        self.fitter.start_from(self.labels)
        self.log(stage="choose", head="starts", labels=self.labels, **values)

    def head_epochs(self) -> None:
        """Train the dense head until two epochs in a row gain nothing."""
        for epoch, head, loss in self.fitter.head_epochs():
            if not epoch:
                continue
            scorer = LabelVectors(copy.deepcopy(head.rows()))
            found = self.try_out(head=scorer)
            self.report(found, epoch=epoch, loss=loss)
            if found.weights["head"] and found.value > self.best.value:
                self.best, self.epochs = found, epoch
                self.scorers["head"] = scorer
            elif "head" not in self.scorers:
                self.beside["head"], self.epochs = scorer, epoch
            if epoch - self.epochs >= _PATIENCE or ("head" not in self.scorers and epoch >= _PATIENCE):
                break
        if "head" in self.scorers:
            self.beside.pop("head", None)
