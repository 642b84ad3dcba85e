"""Search the weights of the graphs: one training of the encoder without them and one with, compared as they will rank.

What is compared is the joint ranking of the held-out points (encoder, neighbours, words), as a graph that helps the
encoder alone may tell the others nothing new. Both trainings are whole, and the better one is kept, so that nothing is
trained twice.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch

from ramen import distributed
from ramen.encoders.base import Encoder
from ramen.graph.forecast import Forecast, is_informative
from ramen.graph.lambdas import Lambdas, fixed_lambdas
from ramen.scorers.registry import SCORERS
from ramen.scorers.views import Views
from ramen.timing import timed
from ramen.training.data import AnyEncoder, TrainingData
from ramen.training.encoder_loop import train_encoder
from ramen.training.held_out import HeldOut
from ramen.training.judge import HeldOutJudge
from ramen.training.ranker_search import joint_ranking
from ramen.training.run_folder import RunFolder
from ramen.training.split import Split

_WEAKER, _STRONGER = 0.3, 3.0  # scales of graph.lambda_x and graph.lambda_z in a third training
_SURE = 1.5  # standard errors of the paired difference by which graphs must be ahead
_LIKELY = 1.0  # by which none may be ahead in any metric; a third is trained unless graphs are so far behind


@dataclass(frozen=True)
class GraphWeights:
    """How the graphs regularise the encoder.

    Attributes:
        lambdas: λ_x and λ_z of each graph; for the bandit where it starts.
        walks: whether random walks densify them.
        scale: of the weights as set; 0 for a training without graphs.
    """

    lambdas: Lambdas = field(default_factory=dict)
    walks: bool = False
    scale: float = 1.0

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Self:
        """From what JSON keeps of it."""
        lambdas = {kind: (x, z) for kind, (x, z) in stored["lambdas"].items()}
        return cls(lambdas, stored["walks"], stored["scale"])

    @property
    def name(self) -> str:
        """What a training with them is called in the log."""
        if not any(max(pair) > 0 for pair in self.lambdas.values()):
            return "without graphs"
        return "with graphs" if self.scale == 1 else f"with graphs, weights x {self.scale:g}"

    @property
    def checkpoint(self) -> str:
        """Name of the checkpoint of the encoder that is trained so without the held-out points."""
        return f"search-{self.scale:g}"


@dataclass
class Attempt:
    """A training with some weights.

    Attributes:
        graphs: the weights.
        views: of the split's rows, by the trained encoder.
        encoder: its weights; None where the encoder was trained in place.
        ranked: int64 (V, 10), the first labels of each held-out point in the joint ranking; None where not asked for.
    """

    graphs: GraphWeights
    views: Views
    encoder: dict[str, torch.Tensor] | None = None
    ranked: np.ndarray | None = None


def search_graph_weights(data: TrainingData, split: Split, encoder: AnyEncoder, run: RunFolder) -> Attempt:
    """Train the encoder without graphs and with them, and go on with that by which held-out points are ranked better.

    With ``graph.lambda=auto``: graphs that say nothing about the labels that the texts do not
    (:mod:`ramen.graph.forecast`) are left out. The others are used together, at the weights as set. Unless they are
    ahead by one and a half standard errors or behind by one, a third training has larger weights, or smaller ones if
    they are behind. The best training with graphs is used if it is ahead by one and a half, and behind by one in none
    of the metrics: of three rankings that are equally good the best is often ahead by one.

    Args:
        data: of the run.
        split: its held-out rows judge.
        encoder: untrained; ends with the weights of the chosen training.
        run: its log gets the figures of each training, and a note of what was decided; each has a checkpoint.
    """
    config = data.config
    split = data.with_graphs(split, config.graph.walks == "on", run.log)
    weights = fixed_lambdas(config.graph, config.graphs)
    trains = isinstance(encoder, Encoder) and config.training.epochs > 0
    if not trains or config.graph.lambda_ != "auto" or not len(split.held_out_rows):
        return _trained_in_place(data, split, encoder, GraphWeights(weights if trains else {}, split.walked), run)
    kinds = [kind for kind in weights if split.links[kind].edges and max(weights[kind]) > 0]
    with timed("forecast graphs"):
        uninformative = distributed.broadcast(lambda: _uninformative(data, split, encoder, kinds))
    if uninformative:
        names = ", ".join(uninformative)
        note = f"left out, as they say nothing about labels that the texts do not say: {names}"
        run.log(stage="search", note=f"graphs {note}")
    kinds = [kind for kind in kinds if kind not in uninformative]
    weights = {kind: pair if kind in kinds else (0.0, 0.0) for kind, pair in weights.items()}
    if not kinds:
        return _trained_in_place(data, split, encoder, GraphWeights(weights, split.walked, 0.0), run)
    assert isinstance(encoder, Encoder)
    chosen = _search(data, split, encoder, weights, run)
    assert chosen.encoder is not None
    encoder.load_state_dict(chosen.encoder)
    encoder.eval()
    return chosen


def trained_views(
    data: TrainingData, split: Split, encoder: AnyEncoder, graphs: GraphWeights, run: RunFolder, refit: bool = False
) -> Views:
    """Train the encoder in place on a split with its graphs, and encode the data with it.

    With ``refit`` it was trained before, without the held-out points; see :func:`train_encoder`.
    """
    name = "refit" if refit else graphs.checkpoint
    log = partial(run.log, training="on all points" if refit else graphs.name)
    with timed("train encoder"):
        train_encoder(encoder, data, split, graphs.lambdas, run.checkpoint(name), log, refit=refit)
    with timed("encode"):
        return data.views(split, encoder, lambda stage: run.checkpoint(f"{name}-{stage}"))


def _trained_in_place(
    data: TrainingData, split: Split, encoder: AnyEncoder, graphs: GraphWeights, run: RunFolder
) -> Attempt:
    return Attempt(graphs, trained_views(data, split, encoder, graphs, run))


def _search(data: TrainingData, split: Split, encoder: Encoder, weights: Lambdas, run: RunFolder) -> Attempt:
    held_out = HeldOut.of(data, split)

    def lead(one: Attempt, other: Attempt) -> float:
        assert one.ranked is not None and other.ranked is not None
        return held_out.lead(one.ranked, other.ranked)

    attempt = partial(_attempt, data, split, encoder, weights, held_out, run)
    none = attempt(0.0, None)
    trials = [attempt(1.0, none)]
    ahead = lead(trials[0], none)
    if -_LIKELY < ahead < _SURE:
        trials.append(attempt(_STRONGER if ahead > 0 else _WEAKER, none))
    best = max(trials, key=lambda one: lead(one, none))
    assert best.ranked is not None and none.ranked is not None
    behind = [name for name, errors in held_out.ahead(none.ranked, best.ranked).items() if errors > _LIKELY]
    is_used = lead(best, none) >= _SURE and not behind
    kinds = ", ".join(kind for kind, pair in weights.items() if max(pair) > 0)
    errors = lead(best, none)
    difference = f"the joint ranking is {'ahead' if errors > 0 else 'behind'} by {abs(errors):.1f} standard errors"
    if behind:
        difference += f", {' and '.join(behind)} by more than {_LIKELY:g} behind"
    verdict = "used" if is_used else f"left out, as they would have to be ahead by {_SURE:g}"
    run.log(
        stage="search", note=f"with the graphs {kinds} {difference}: {verdict}", decision="graphs", kept=is_used,
        value=held_out.judge(best.ranked)[0], value_without=held_out.judge(none.ranked)[0], errors=errors,
        behind_in=behind,
    )  # fmt: skip
    return best if is_used else none


def _attempt(
    data: TrainingData, split: Split, encoder: Encoder, weights: Lambdas, held_out: HeldOut, run: RunFolder,
    scale: float, none: Attempt | None,
) -> Attempt:  # fmt: skip
    """Train a copy of the encoder with weights times a scale, and rank the held-out points by it and cheap scorers.

    From the training without graphs it takes over word features, negatives and scorers of words.
    """
    config, trained = data.config, copy.deepcopy(encoder)
    graphs = GraphWeights({kind: (scale * x, scale * z) for kind, (x, z) in weights.items()}, split.walked, scale)
    views = trained_views(data, split, trained, graphs, run)
    if none:
        views.take_over(none.views)
    judge = HeldOutJudge(held_out, views, run.log)
    enabled = {name: kind for name, kind in SCORERS.items() if kind.is_enabled(config, split.targets.shape[1])}
    kinds = {name: kind for name, kind in enabled.items() if kind.always_fitted}
    with timed("compare graphs"):
        scorers = {name: views.fitted(kind, kind.default_params(config)) for name, kind in kinds.items()}
        ranked = joint_ranking(scorers, judge)
    names = "+".join(kind for kind, pair in graphs.lambdas.items() if max(pair) > 0) or "none"
    value, figures = held_out.judge(ranked)
    run.log(stage="search", graphs=names, lambda_scale=scale, value=value, **figures)
    weights_there = {name: value.cpu() for name, value in trained.state_dict().items()}  # a GPU holds one training
    return Attempt(graphs, views, weights_there, ranked)


def _uninformative(data: TrainingData, split: Split, encoder: AnyEncoder, kinds: list[str]) -> list[str]:
    """Kinds that the forecast finds to be of no use; it sees the split's rows only."""
    if not kinds:
        return []
    words = data.words(split, encoder, "words")
    seen = np.zeros(len(data.texts["points"]), dtype=np.float32)
    seen[split.train_rows] = 1
    targets = sp.csr_matrix(sp.diags(seen) @ split.targets, dtype=np.float32)
    targets.eliminate_zeros()
    forecast = Forecast(targets, words.points, words.labels, data.config.seed, data.filtered)
    links = split.links
    return [kind for kind in kinds if not is_informative(forecast.of(links[kind].points, links[kind].labels))]
