"""Search the weights of the graphs by how short trainings of the encoder alone rank the held-out points."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch

from ramen import distributed
from ramen.encoders.base import Encoder
from ramen.encoders.word_features import WordFeatures
from ramen.graph.forecast import Forecast, is_informative
from ramen.graph.lambdas import Lambdas, fixed_lambdas
from ramen.scorers.base import Queries
from ramen.scorers.encoder import EncoderScorer
from ramen.training.data import AnyEncoder, TrainingData
from ramen.training.encoder_loop import plan_steps, train_encoder
from ramen.training.held_out import HeldOut
from ramen.training.run_folder import RunFolder
from ramen.training.split import Split

_OTHERS = (0.3, 3.0)  # scales of graph.lambda_x and graph.lambda_z besides 1
_SURE = 2.0  # standard errors of the paired difference by which the graphs must beat none

SEARCH = "search"  # name of the checkpoint of the encoder that is trained without the held-out points

Log = Callable[..., None]


@dataclass(frozen=True)
class GraphWeights:
    """How the graphs regularise the encoder.

    Attributes:
        lambdas: λ_x and λ_z of each graph; for the bandit where it starts.
        walks: whether random walks densify them.
    """

    lambdas: Lambdas = field(default_factory=dict)
    walks: bool = False

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Self:
        """From what JSON keeps of it."""
        return cls({kind: (x, z) for kind, (x, z) in stored["lambdas"].items()}, stored["walks"])


@dataclass
class _Attempt:
    """A short training with some graphs.

    Attributes:
        scale: of ``graph.lambda_x`` and ``graph.lambda_z``.
        kinds: of the graphs that it used.
        walks: whether they were densified.
        values: nDCG@100 of every held-out point, float64 (V,).
        weights: of the encoder, where it is trained as long as it would be for the split itself; else empty.
    """

    scale: float
    kinds: list[str]
    walks: bool
    values: np.ndarray
    weights: dict[str, torch.Tensor]

    @property
    def value(self) -> float:
        """Mean nDCG@100."""
        return float(self.values.mean())


def search_graph_weights(data: TrainingData, split: Split, encoder: AnyEncoder, run: RunFolder) -> GraphWeights:
    """λ of every graph, 0 for those that do not help, and whether walks are to densify them.

    With ``graph.lambda=auto``: graphs that say nothing about the labels that the texts do not
    (:mod:`ramen.graph.forecast`) are left out. Then the others together, at the weights as set and at smaller or larger
    ones, whichever is better; where that does not help, each graph alone: a bad one may have hidden a good one.
    Trainings have the same batches and differ by the graphs alone, and are not too short (``graph.auto_steps``): what a
    graph is worth shows late, when the encoder would overfit without it. A difference counts by its standard error over
    the held-out points, so that noise switches nothing on; the best of several graphs must be surer. Last, the graphs
    densified by walks (``graph.walks=auto``): they have to rank better.

    Args:
        data: of the run.
        split: its held-out rows judge.
        encoder: untrained; every short training trains a copy.
        run: its log gets the figures of each short training, and a note of what was switched off; its checkpoint
            ``search`` the encoder of the chosen training, where that was as long as the split's own is going to be, so
            that it is not trained twice.
    """
    config, log = data.config, run.log
    if not config.training.epochs or not isinstance(encoder, Encoder):
        return GraphWeights()
    if config.graph.lambda_ != "auto" or not len(split.held_out_rows):
        return GraphWeights(fixed_lambdas(config.graph, config.graphs), config.graph.walks == "on")
    search = _GraphSearch(data, split, encoder, log)
    if not search.kinds:
        return GraphWeights(search.scaled(0.0, []), False)
    chosen = search.run()
    left_out = [kind for kind in search.kinds if kind not in chosen.kinds]
    if left_out:
        log(stage="search", note=f"graphs that do not help on held-out points are switched off: {', '.join(left_out)}")
    weights = GraphWeights(search.scaled(chosen.scale, chosen.kinds), chosen.walks)
    if chosen.weights:
        run.checkpoint(SEARCH).save_weights(plan_steps(config, search.split, weights.lambdas).steps, chosen.weights)
    return weights


class _GraphSearch:
    """Trains short and compares; see :func:`search_graph_weights`."""

    def __init__(self, data: TrainingData, split: Split, encoder: Encoder, log: Log) -> None:
        self.data, self.encoder, self.log = data, encoder, log
        self.walks_first = data.config.graph.walks == "on"
        self.split = data.with_graphs(split, self.walks_first, log)
        self.base = fixed_lambdas(data.config.graph, data.config.graphs)
        kinds = [kind for kind in self.base if self.split.links[kind].edges and max(self.base[kind]) > 0]
        uninformative = distributed.broadcast(lambda: _uninformative(data, self.split, kinds))
        if uninformative:
            names = ", ".join(uninformative)
            log(stage="search", note=f"graphs that say nothing about the labels that the texts do not: {names}")
        self.kinds = [kind for kind in kinds if kind not in uninformative]
        self.held_out = HeldOut.of(data, self.split)

    def run(self) -> _Attempt:
        """The training that ranks best, without graphs where none is clearly better."""
        plain, needed = self.attempt(0.0, []), _SURE
        best = self.attempt(1.0, self.kinds)
        for scale in _OTHERS:
            trial = self.attempt(scale, self.kinds)
            if trial.value > best.value:
                best = trial
                break
        if standard_errors(best.values, plain.values) < needed and len(self.kinds) > 1:
            alone = [self.attempt(1.0, [kind]) for kind in self.kinds]
            best, needed = max(alone, key=lambda one: one.value), best_of(len(self.kinds))
        if standard_errors(best.values, plain.values) < needed:
            return plain
        if self.data.config.graph.walks == "auto":
            densified = self.attempt(best.scale, best.kinds, walks=True)
            if densified.value > best.value:
                return densified
        return best

    def attempt(self, scale: float, kinds: list[str], walks: bool | None = None) -> _Attempt:
        """Train a copy of the encoder with some graphs and rank the held-out points by it."""
        start, data = time.perf_counter(), self.data
        walks = self.walks_first if walks is None else walks
        trained, steps = copy.deepcopy(self.encoder), data.config.graph.auto_steps
        split = self.split if walks == self.walks_first else data.with_graphs(self.split, walks, self.log)
        lambdas = self.scaled(scale, kinds)
        train_encoder(trained, data, split, lambdas, None, _quiet, steps)
        scorers = {"encoder": EncoderScorer(trained.encode_labels(data.tokens["labels"]).numpy())}
        points = data.tokens["points"].some(split.held_out_rows)
        gathered = self.held_out.gather(scorers, Queries(trained.encode(points).numpy()))
        values = distributed.broadcast(lambda: self.held_out.ndcg(gathered, {"encoder": 1.0}))
        figures = self.held_out.judge_weights(gathered, {"encoder": 1.0})[1]
        facts = {"nDCG@100": 100 * float(values.mean()), **figures, "seconds": time.perf_counter() - start}
        self.log(stage="search", graphs="+".join(kinds) or "none", lambda_scale=scale, walks=walks, **facts)
        is_whole = plan_steps(data.config, split, lambdas, steps) == plan_steps(data.config, split, lambdas)
        weights = {name: value.detach().cpu() for name, value in trained.state_dict().items()} if is_whole else {}
        return _Attempt(scale, kinds, walks, values, weights)

    def scaled(self, scale: float, kinds: list[str]) -> Lambdas:
        """Weights as set times a scale, 0 for other graphs."""
        return {kind: (scale * x, scale * z) if kind in kinds else (0.0, 0.0) for kind, (x, z) in self.base.items()}


def _uninformative(data: TrainingData, split: Split, kinds: list[str]) -> list[str]:
    """Kinds that the forecast finds to be of no use; it sees the split's rows only."""
    if not kinds:
        return []
    points, labels = data.texts["points"], data.texts["labels"]
    features = WordFeatures.fit([points[row] for row in split.train_rows] + labels, "words")
    seen = np.zeros(len(points), dtype=np.float32)
    seen[split.train_rows] = 1
    targets = sp.csr_matrix(sp.diags(seen) @ split.targets, dtype=np.float32)
    targets.eliminate_zeros()
    words = features.transform(points), features.transform(labels)
    forecast = Forecast(targets, *words, data.config.seed, data.filtered)
    links = split.links
    return [kind for kind in kinds if not is_informative(forecast.of(links[kind].points, links[kind].labels))]


def standard_errors(values: np.ndarray, others: np.ndarray) -> float:
    """By how many of its standard errors the mean of the paired differences is above 0.

    Example:
        >>> round(float(standard_errors(np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.0, 1.0]))), 4)
        2.5
    """
    differences = values - others
    if len(differences) < 2 or not differences.any():
        return 0.0
    spread = differences.std(ddof=1)
    return float(differences.mean() * np.sqrt(len(differences)) / spread) if spread else float("inf")


def best_of(tries: int) -> float:
    """Standard errors that the best of some tries must have, to be chance no more often than one with two.

    Source: Bonferroni's bound.

    Example:
        >>> round(best_of(1), 2), round(best_of(3), 2)
        (2.0, 2.43)
    """
    normal = NormalDist()
    return -normal.inv_cdf(normal.cdf(-_SURE) / tries)


def _quiet(**figures: object) -> None:
    """The epochs of a short run are not logged."""
