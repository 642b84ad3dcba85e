"""Training of the encoder: the task on hard in-batch negatives, regularised by the graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from ramen.checkpoint import Checkpoint
from ramen.config import Config
from ramen.encoders.base import Batch, Encoder
from ramen.encoders.product import product
from ramen.graph.bipartite import pairs_of, sample_column
from ramen.graph.graphs import Graphs
from ramen.graph.lambdas import Lambdas
from ramen.graph.regulariser import Loss
from ramen.losses import Pairs, softmax_both_ways, triplet_both_ways
from ramen.prefetch import items_ahead, prefetched
from ramen.training.data import AnyEncoder, TrainingData
from ramen.training.gradient_cache import cached_vectors
from ramen.training.joint import JointClassifiers, joint_of
from ramen.training.loop import Figure, Stage, run_steps, step_rng
from ramen.training.negatives import HardNegatives
from ramen.training.schedule import REFIT_RATE, Schedule, batch_points, described, plan_steps
from ramen.training.split import Split
from ramen.training.step_draw import StepDraw, rows_at, step_draw
from ramen.training.validation import Validation

TEMPERATURE = 0.05  # of the softmax loss
MARGIN = 0.3  # of the triplet loss
_LATER = 104  # number of the first epoch of a refit: hard negatives and pruning have begun long ago
_BATCHES, _TASK, _GRAPHS, _BANDIT = range(4)  # uses of chance, each with its own generators


def make_loss(config: Config) -> Loss:
    """The loss that the settings name, of scores and pairs, both ways."""
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
    uses_graphs = any(max(weights) > 0 and split.links[kind].edges for kind, weights in lambdas.items())
    schedule = plan_steps(data.config, len(split.train_rows), uses_graphs, max_steps, refit)
    steps = EncoderSteps(encoder, data, split, lambdas, log, schedule, _LATER if refit else 0)
    log(
        stage="schedule",
        steps=schedule.steps,
        epochs=schedule.epochs,
        note=described(data.config, len(split.train_rows), uses_graphs, max_steps, refit, steps.first_epoch),
    )
    lr, map_lr = (rate * (REFIT_RATE if refit else 1.0) for rate in (settings.lr, settings.label_map_lr))

    def log_measurement(step: int, **figures: Any) -> None:
        log(epoch=-(-step // schedule.per_epoch), step=step, **figures)

    validation = None
    if data.config.validation.every and checkpoint is not None and len(split.held_out_rows):
        validation = Validation(encoder, data, split, checkpoint.best, log_measurement)
        steps.validation = validation

    def log_steps(stage: str, step: int, texts: float, seconds: float, **means: float) -> None:
        rate = texts * ((step - 1) % every + 1) / seconds
        facts = {**means, **steps.bandit_means(), "seconds": seconds, "texts_per_s": rate}
        log(stage=stage, epoch=-(-step // schedule.per_epoch), step=step, lr=lr * schedule.factor(step - 1), **facts)

    every = data.config.log.every or schedule.per_epoch
    stage = Stage("encoder", data.config.seed, log_steps, every, "training.lr")
    groups = encoder.parameter_groups(lr, map_lr)
    run_steps(encoder, groups, schedule, steps, stage, checkpoint, steps, validation)


class EncoderSteps:
    """The loss of each batch, called with its number over all epochs; renews negatives and graphs as epochs start.

    Args:
        encoder: in training.
        data: settings, graphs and token ids.
        split: rows and targets to train on.
        lambdas: weights of the graphs.
        log: called with the figures of each pruning.
        schedule: of the training.
        first_epoch: number of the first.
    """

    def __init__(
        self, encoder: Encoder, data: TrainingData, split: Split, lambdas: Lambdas, log: Callable[..., None],
        schedule: Schedule, first_epoch: int = 0,
    ) -> None:  # fmt: skip
        self.config = config = data.config
        tokens = data.tokens
        self.encoder, self.tokens, self.split, self.log, self.seed = encoder, tokens, split, log, config.seed
        self.loss, self.schedule, self.first_epoch = make_loss(config), schedule, first_epoch
        self.batch_size = batch_points(config, len(split.train_rows))
        self.filtered, self.not_negative = data.filtered, (split.targets + data.filtered).tocsr()
        rule = config.graph.prune
        if rule == "auto":
            rule = "threshold" if split.walked else "none"
        held_out = _held_out_targets(split)
        self.graphs = Graphs(split.links, tokens, split.visible_rows, lambdas, config.graph, rule, self.loss, held_out)
        self.hard_negatives = HardNegatives(data, split, self.not_negative)
        self.validation: Validation | None = None  # its state is kept with that of the steps
        self._epoch = -1
        self._draws: Iterator[StepDraw] = iter(())  # of the rest of the epoch

    def __call__(self, number: int) -> tuple[torch.Tensor, dict[str, Figure]]:
        """The loss of a batch, and as figures the task's part of it, the penalty and the texts encoded."""
        epoch, at = divmod(number, self.schedule.per_epoch)
        epoch += self.first_epoch
        if not at:
            self._start_epoch(epoch)
        if epoch != self._epoch:
            self._epoch, self._draws = epoch, self._draws_from(epoch, at)
        draw = next(self._draws)
        vectors, replay = self._vectors(draw.batch)
        value, penalty = self._task(draw, vectors, epoch, at), torch.zeros((), device=vectors.device)
        if draw.graph is not None:
            sides, keys = [rows_at(vectors, places) for places in draw.graph_sides], rows_at(vectors, draw.anchors)
            assert keys is not None
            penalty = self.graphs.penalty(draw.graph, sides, keys)
        figures: dict[str, Figure] = {"loss": value.detach(), "penalty": penalty.detach(), "texts": draw.texts}
        total = value + penalty
        joint = joint_of(self.encoder)
        if joint is not None and epoch >= self.config.training.hard_from:
            of_classifiers = self._joint(joint, draw, vectors, number)
            total, figures["joint"] = total + of_classifiers, of_classifiers.detach()
        if replay is None:
            return total, figures
        if total.requires_grad:
            total.backward()
            replay()
        return total.detach(), figures

    def _vectors(self, batch: Batch) -> tuple[torch.Tensor, Callable[[], None] | None]:
        """Vectors of a batch, and what adds the encoder's gradients where they do not come by themselves."""
        if len(batch.parts) == 1:
            return self.encoder.embed_batch(batch), None
        return cached_vectors(self.encoder, batch)

    def _task(self, draw: StepDraw, vectors: torch.Tensor, epoch: int, at: int) -> torch.Tensor:
        """The loss of the points against the labels."""
        queries, keys = rows_at(vectors, draw.points), rows_at(vectors, draw.labels)
        assert queries is not None and keys is not None
        if not len(keys):
            return torch.zeros((), device=vectors.device)
        pairs = draw.pairs.to(vectors.device)
        scores = product(queries, self.encoder.as_labels(keys))
        if self.graphs.bandit:
            self.graphs.bandit.reward(_accuracy(scores, pairs), step_rng(self.seed, _BANDIT, epoch, at))
        return self.loss(scores, pairs)

    def _joint(self, joint: JointClassifiers, draw: StepDraw, vectors: torch.Tensor, number: int) -> torch.Tensor:
        """The loss of the points against all labels' classifiers."""
        queries = rows_at(vectors, draw.points)
        assert queries is not None
        pairs = self.split.targets[draw.rows], self.filtered[draw.rows]
        return joint.loss(queries, *pairs, draw.columns, self.schedule.factor(number), number)

    def _draws_from(self, epoch: int, first: int) -> Iterator[StepDraw]:
        """The draws of an epoch from a batch on, beside a GPU made ahead of time."""
        batches = self.hard_negatives.batches(self.batch_size, step_rng(self.seed, _BATCHES, epoch))
        makers = (partial(self._draw, epoch, at, batches[at]) for at in range(first, len(batches)))
        return prefetched(makers, items_ahead(self.encoder.device))

    def _draw(self, epoch: int, at: int, batch: np.ndarray) -> StepDraw:
        """What a batch of positions in the split's rows compares."""
        rng, graph_rng = (step_rng(self.seed, use, epoch, at) for use in (_TASK, _GRAPHS))
        rows = np.sort(self.split.train_rows[batch])
        positives = [sample_column(self.split.targets, rows, rng)[1] for _ in range(self.config.training.positives)]
        columns = np.unique(np.concatenate([*positives, self.hard_negatives.labels(batch, rng)]))
        pairs = pairs_of(self.split.targets, self.not_negative, rows, columns)
        graph = self.graphs.draw((rows, columns), graph_rng)
        return step_draw(self.encoder, self.tokens, rows, columns, pairs, graph, self.config.training.chunk)

    def _start_epoch(self, epoch: int) -> None:
        if self.graphs.bandit:
            self.graphs.bandit.perturb(step_rng(self.seed, _BANDIT, epoch))
        encoded: Callable[[str], np.ndarray] = self._encoded
        joint = joint_of(self.encoder)
        starts = joint is not None and epoch >= self.config.training.hard_from and not joint.is_trained
        if starts or self.graphs.prunes(epoch):
            encoded = cache(encoded)  # each set once for all that needs it
        if starts:
            assert joint is not None
            joint.start(self.encoder.labels_of(torch.from_numpy(encoded("labels"))).numpy())
        self.hard_negatives.refresh(epoch, encoded, self.encoder)
        self.graphs.refresh(epoch, encoded, self._log_pruning)

    def _encoded(self, name: str) -> np.ndarray:
        return self.encoder.encode(self.tokens[name], exact=False).numpy()

    def _log_pruning(self, epoch: int, **figures: Any) -> None:
        self.log(epoch=epoch - self.first_epoch, **figures)

    def bandit_means(self) -> dict[str, float]:
        """The bandit's present means, for the log; empty without it."""
        bandit = self.graphs.bandit
        named = zip(bandit.kinds, bandit.means, strict=True) if bandit else ()
        return {f"lambda_{side} {kind}": float(v) for kind, pair in named for side, v in zip("xz", pair, strict=True)}

    def state(self) -> dict[str, np.ndarray]:
        """Arrays that a resumed run goes on from."""
        validation = {} if self.validation is None else self.validation.state()
        return {**self.hard_negatives.state(), **self.graphs.state(), **validation}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""
        self.hard_negatives.restore(state)
        self.graphs.restore(state)
        if self.validation is not None:
            self.validation.restore(state)


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


def _accuracy(scores: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Share of the points with a target whose best label of the batch is one."""
    with torch.no_grad():
        targets = pairs.targets
        scores = scores.masked_fill(pairs.not_negative & ~targets, -2.0)
        right, has = targets.gather(1, scores.argmax(1, keepdim=True))[:, 0], targets.any(1)
        return (right & has).sum() / has.sum().clamp(min=1)
