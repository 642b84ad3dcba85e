"""Training of the encoder: the task on hard in-batch negatives, regularised by the graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from ramen.config import Config
from ramen.encoders.base import Encoder
from ramen.encoders.product import product
from ramen.graph.bipartite import block, sample_column
from ramen.graph.graphs import Graphs
from ramen.graph.lambdas import Lambdas
from ramen.graph.regulariser import Loss
from ramen.losses import softmax_both_ways, triplet_both_ways
from ramen.training.checkpoint import Checkpoint
from ramen.training.data import AnyEncoder, TrainingData
from ramen.training.loop import Stage, run_steps, step_rng
from ramen.training.negatives import HardNegatives
from ramen.training.optimiser import Schedule
from ramen.training.split import Split

TEMPERATURE = 0.05  # of the softmax loss
MARGIN = 0.3  # of the triplet loss
LONG_BATCH = 512  # points: with larger batches graph.min_steps does not apply, as dense classifiers would get worse
_REFIT_SHARE, _REFIT_RATE = 0.2, 0.25  # of the epochs and of the learning rate, to go on with a trained encoder
_LATER = 104  # number of the first epoch of such a training: hard negatives and pruning have begun long ago
_SMALL_BATCH = 128  # for sets of few points: twelve batches an epoch, but none smaller
_BATCHES, _TASK, _GRAPHS, _BANDIT = range(4)  # uses of chance, each with its own generators


def make_loss(config: Config) -> Loss:
    """The loss that the settings name, of (scores, targets, not_negative), both ways."""
    if config.training.loss == "triplet":
        return partial(triplet_both_ways, margin=MARGIN)
    return partial(softmax_both_ways, temperature=TEMPERATURE)


def train_encoder(
    encoder: AnyEncoder,
    data: TrainingData,
    split: Split,
    lambdas: Lambdas,
    checkpoint: Checkpoint | None,
    log: Callable[..., None],
    max_steps: int | None = None,
    refit: bool = False,
) -> None:
    """Train in place, going on from ``checkpoint`` where it holds a state.

    A resumed run ends with the weights of one that was never interrupted; runs that differ in λ alone have the same
    batches.

    Args:
        encoder: trained in place.
        data: settings, graphs and token ids; with ``training.epochs=0`` the encoder stays as it is.
        split: rows and targets to train on.
        lambdas: weights of the graphs.
        checkpoint: where the state is kept; None for a run too short to keep.
        log: called with the figures of each epoch.
        max_steps: train on fewer batches than the settings say: whole epochs, to about so many.
        refit: go on with an encoder that was trained on most of these rows: few epochs, at a lower learning rate.
    """
    settings = data.config.training
    if not isinstance(encoder, Encoder):  # bags of words have no weights to train
        return
    if not settings.epochs:
        encoder.eval()
        return
    steps = EncoderSteps(encoder, data, split, lambdas, log, _LATER if refit else 0)
    schedule = plan_steps(data.config, split, lambdas, max_steps, refit)
    lr = settings.lr * (_REFIT_RATE if refit else 1.0)

    def log_epoch(stage: str, step: int, texts: float, seconds: float, **means: float) -> None:
        rate = texts * schedule.per_epoch / seconds
        facts = {**means, **steps.bandit_means(), "seconds": seconds, "texts_per_s": rate}
        log(stage=stage, epoch=step // schedule.per_epoch, **facts)

    stage = Stage("encoder", data.config.seed, log_epoch, schedule.per_epoch, "training.lr")
    run_steps(encoder, encoder.parameter_groups(lr), schedule, steps, stage, checkpoint, steps)


def batch_points(config: Config, split: Split) -> int:
    """Points in a batch: fewer with a small set, so that an epoch has about twelve batches."""
    return min(config.training.batch_size, max(_SMALL_BATCH, len(split.train_rows) // 12))


def plan_steps(
    config: Config, split: Split, lambdas: Lambdas, max_steps: int | None = None, refit: bool = False
) -> Schedule:
    """The steps of a training on a split, in whole epochs; arguments as of :func:`train_encoder`."""
    settings, size = config.training, batch_points(config, split)
    per_epoch = -(-len(split.train_rows) // size)
    uses_graphs = any(max(weights) > 0 and split.links[kind].edges for kind, weights in lambdas.items())
    longer = uses_graphs and size <= LONG_BATCH
    min_steps = max(settings.min_steps, config.graph.min_steps if longer else 0)
    fewest, most = -(-min_steps // per_epoch), max(1, settings.max_steps // per_epoch)
    epochs = max(fewest, min(settings.epochs, most))
    if refit:
        epochs = max(1, round(_REFIT_SHARE * epochs))
    if max_steps is not None:
        epochs = min(epochs, -(-max_steps // per_epoch))
    return Schedule(epochs * per_epoch, per_epoch, accumulate=settings.accumulate, clip=settings.clip)


class EncoderSteps:
    """The loss of each batch, called with its number over all epochs; renews negatives and graphs as epochs start.

    Args:
        encoder: in training.
        data: settings, graphs and token ids.
        split: rows and targets to train on.
        lambdas: weights of the graphs.
        log: called with the figures of each pruning.
        first_epoch: number of the first.

    Attributes:
        batch_size: points in a batch.
        per_epoch: batches in an epoch.
    """

    def __init__(
        self, encoder: Encoder, data: TrainingData, split: Split, lambdas: Lambdas, log: Callable[..., None],
        first_epoch: int = 0,
    ) -> None:  # fmt: skip
        self.config = config = data.config
        tokens = data.tokens
        self.encoder, self.tokens, self.split, self.log, self.seed = encoder, tokens, split, log, config.seed
        self.loss = make_loss(config)
        self.batch_size = batch_points(config, split)
        self.per_epoch = -(-len(split.train_rows) // self.batch_size)
        self.not_negative = (split.targets + data.filtered).tocsr()
        rule = config.graph.prune
        if rule == "auto":
            rule = "threshold" if split.walked else "none"
        held_out = _held_out_targets(split)
        self.graphs = Graphs(split.links, tokens, split.visible_rows, lambdas, config.graph, rule, self.loss, held_out)
        self.hard_negatives = HardNegatives(data, split, self.not_negative)
        self.first_epoch = first_epoch
        self._batches: tuple[int, list[np.ndarray]] = (-1, [])  # an epoch and its batches

    def __call__(self, number: int) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of a batch, and as figures the task's part of it, the penalty and the texts encoded."""
        epoch, at = divmod(number, self.per_epoch)
        epoch += self.first_epoch
        rng, graph_rng, bandit_rng = (step_rng(self.seed, use, epoch, at) for use in (_TASK, _GRAPHS, _BANDIT))
        if not at:
            self._start_epoch(epoch, bandit_rng)
        batch = self._batch(epoch, at)
        rows = np.sort(self.split.train_rows[batch])
        columns = sample_column(self.split.targets, rows, rng)[1]
        columns = np.unique(np.concatenate([columns, self.hard_negatives.labels(batch, rng)]))
        encoder = self.encoder
        value = torch.zeros((), device=encoder.device)
        queries, keys = encoder(self.tokens["points"], rows), encoder(self.tokens["labels"], columns)
        if len(columns):
            pairs = self.split.targets, self.not_negative
            targets, not_negative = (block(one, rows, columns).to(encoder.device) for one in pairs)
            scores = product(queries, encoder.as_labels(keys))
            value = self.loss(scores, targets, not_negative)
            if self.graphs.bandit:
                self.graphs.bandit.reward(_accuracy(scores, targets, not_negative), bandit_rng)
        penalty, more = self.graphs.penalty(encoder, ((rows, queries), (columns, keys)), graph_rng)
        figures = {"loss": value.item(), "penalty": penalty.item(), "texts": len(rows) + len(columns) + more}
        return value + penalty, figures

    def _start_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        if self.graphs.bandit:
            self.graphs.bandit.perturb(rng)
        self.hard_negatives.refresh(epoch, self.encoder)
        self.graphs.refresh(epoch, self.encoder, self._log_pruning)

    def _log_pruning(self, epoch: int, **figures: Any) -> None:
        self.log(epoch=epoch - self.first_epoch, **figures)

    def _batch(self, epoch: int, at: int) -> np.ndarray:
        """Positions in the split's rows, int64."""
        if self._batches[0] != epoch:
            rng = step_rng(self.seed, _BATCHES, epoch)
            self._batches = epoch, self.hard_negatives.batches(self.batch_size, rng)
        return self._batches[1][at]

    def bandit_means(self) -> dict[str, float]:
        """The bandit's present means, for the log; empty without it."""
        bandit = self.graphs.bandit
        named = zip(bandit.kinds, bandit.means, strict=True) if bandit else ()
        return {f"lambda_{side} {kind}": float(v) for kind, pair in named for side, v in zip("xz", pair, strict=True)}

    def state(self) -> dict[str, np.ndarray]:
        """Arrays that a resumed run goes on from."""
        return {**self.hard_negatives.state(), **self.graphs.state()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""
        self.hard_negatives.restore(state)
        self.graphs.restore(state)


def _held_out_targets(split: Split) -> sp.csr_matrix | None:
    """The held-out pairs in the rows of their points, CSR (N, L); None where nothing is held out."""
    if not len(split.held_out_rows):
        return None
    counts = np.zeros(split.targets.shape[0], dtype=np.int64)
    counts[split.held_out_rows] = np.diff(split.held_out_targets.indptr)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return sp.csr_matrix(
        (split.held_out_targets.data, split.held_out_targets.indices, indptr), shape=split.targets.shape
    )


def _accuracy(scores: torch.Tensor, targets: torch.Tensor, not_negative: torch.Tensor) -> float:
    """Share of the points with a target whose best label of the batch is one."""
    with torch.no_grad():
        scores = scores.masked_fill(not_negative & ~targets, -2.0)
        right = targets.gather(1, scores.argmax(1, keepdim=True))[:, 0]
        return float(right[targets.any(1)].float().mean().nan_to_num())
