"""Stage 1: the encoder, on hard in-batch negatives, regularised by the graphs."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from tqdm import tqdm

from ramen import distributed
from ramen.config import Config
from ramen.encoders.base import Encoder
from ramen.graph.graphs import Graphs
from ramen.graph.lambdas import Lambdas
from ramen.graph.regulariser import Loss, both_ways
from ramen.graph.side import block, sample_column
from ramen.losses import check_loss, masked_softmax, masked_triplet
from ramen.training.checkpoint import Checkpoint
from ramen.training.data import TrainingData
from ramen.training.negatives import HardNegatives
from ramen.training.optimiser import Optimiser
from ramen.training.position import Position
from ramen.training.split import Split

_SMALL_BATCH = 128  # for sets of few points: twelve batches an epoch, but none smaller


def make_loss(config: Config) -> Loss:
    """The loss that the settings name, of (scores, targets, known)."""
    if config.stage1.loss == "triplet":
        return partial(masked_triplet, margin=config.stage1.margin)
    return partial(masked_softmax, temperature=config.stage1.temperature)


def train_encoder(
    encoder: Encoder,
    material: TrainingData,
    split: Split,
    lambdas: Lambdas,
    checkpoint: Checkpoint | None,
    log: Callable[..., None],
    max_steps: int | None = None,
) -> None:
    """Train in place, going on from ``checkpoint`` where it has an epoch.

    Every epoch draws from its own generators (seed, epoch), and the checkpoint keeps clusters, pruned edges and, within
    an epoch, its position and the generators' states, so that a resumed run ends with the weights of one that was never
    interrupted. The task and the graphs draw from two generators: runs that differ in λ alone have the same batches.

    Args:
        encoder: trained in place.
        material: settings, graphs and token ids; with ``stage1.epochs=0`` the encoder stays as it is.
        split: rows and targets to train on.
        lambdas: weights of the graphs.
        checkpoint: where the state is kept; None for a run too short to keep.
        log: called with the figures of each epoch.
        max_steps: train on fewer batches than the settings say: whole epochs, for about the points of so many batches
            of ``stage1.batch_size``.
    """
    config, tokens = material.config, material.tokens
    settings, loss = config.stage1, make_loss(config)
    if not settings.epochs:
        encoder.eval()
        return
    known = (split.targets + material.filtered).tocsr()
    rule = config.graph.prune
    if rule == "auto":
        rule = "threshold" if split.walked else "none"
    graphs = Graphs(split.links, tokens, split.texts, lambdas, config.graph, rule, loss, _truth(split))
    hard = HardNegatives(material, split, known)
    batch_size = batch_points(config, split)
    per_epoch = -(-len(split.rows) // batch_size)
    epochs = planned_epochs(config, split, lambdas, max_steps)
    optimiser = Optimiser(encoder, settings, epochs * per_epoch)
    first_epoch, state = checkpoint.restore(encoder, optimiser.adam) if checkpoint else (0, {})
    hard.restore(state)
    graphs.restore(state)
    at = Position.read(state)
    encoder.train()
    for epoch in range(first_epoch, epochs):
        start = time.perf_counter()
        rng, graph_rng, bandit_rng = rngs = [np.random.default_rng([config.seed, epoch, draw]) for draw in range(3)]
        if graphs.bandit:
            graphs.bandit.start_epoch(bandit_rng)
        if not at.batch:
            hard.refresh(epoch, encoder)
            graphs.refresh(epoch, encoder, log)
        batches = hard.batches(batch_size, rng)
        if at.batch:
            at.set(rngs)
            if graphs.bandit:
                graphs.bandit.restore(state)
        done, texts = at.batch, 0
        name = f"encoder {epoch + 1}/{epochs}"
        shown = tqdm(
            batches[done:],
            desc=name,
            unit="batch",
            disable=distributed.progress_disabled(),
            leave=False,
            initial=done,
            total=len(batches),
        )
        for number, batch in enumerate(shown, done):
            seed_dropout(config.seed, epoch, number)
            rows = np.sort(split.rows[batch])
            columns = sample_column(split.targets, rows, rng)[1]
            columns = np.unique(np.concatenate([columns, hard.labels(batch, rng)]))
            value = torch.zeros((), device=encoder.device)
            queries, keys = encoder(tokens["points"], rows), encoder(tokens["labels"], columns)
            if len(columns):
                targets, not_negative = block(split.targets, rows, columns), block(known, rows, columns)
                value = both_ways(loss, queries, encoder.as_labels(keys), targets, not_negative)
                if graphs.bandit:
                    graphs.bandit.reward(_accuracy(queries, encoder.as_labels(keys), targets, not_negative))
            penalty, more = graphs.penalty(encoder, ((rows, queries), (columns, keys)), graph_rng)
            total = value + penalty
            check_loss(total.item(), "encoder", epoch, number)
            last = number + 1 == len(batches)
            if total.requires_grad:
                optimiser.step(total, epoch * per_epoch + number, last=last)
            at.add(value.item(), penalty.item())
            texts += len(rows) + len(columns) + more
            if checkpoint and checkpoint.due and not last and not optimiser.waiting:
                arrays = {**hard.state(), **graphs.state(), **at.state(rngs)}
                checkpoint.save(epoch, encoder, optimiser.adam, arrays)
        distributed.sync_weights(encoder.parameters(), f"encoder, epoch {epoch + 1}")
        seconds = time.perf_counter() - start
        facts = {"loss": at.loss / len(batches), "penalty": at.penalty / len(batches)}
        if graphs.bandit:
            facts.update(_means(graphs.bandit.kinds, graphs.bandit.means))
        log(stage="encoder", epoch=epoch + 1, **facts, seconds=seconds, texts_per_s=texts / seconds)
        at = Position()
        if checkpoint:
            arrays = {**hard.state(), **graphs.state()}
            checkpoint.save(epoch + 1, encoder, optimiser.adam, arrays, last=epoch + 1 == epochs)
    encoder.eval()
    encoder.zero_grad(set_to_none=True)  # gives back as much memory as the encoder takes


def batch_points(config: Config, split: Split) -> int:
    """Points in a batch: fewer with a small set, so that an epoch has about twelve batches."""
    return min(config.stage1.batch_size, max(_SMALL_BATCH, len(split.rows) // 12))


def planned_epochs(config: Config, split: Split, lambdas: Lambdas, max_steps: int | None = None) -> int:
    """Epochs of a training on a split; arguments as of :func:`train_encoder`."""
    settings, size = config.stage1, batch_points(config, split)
    per_epoch = -(-len(split.rows) // size)
    with_graphs = any(max(weights) > 0 for weights in lambdas.values()) and size <= config.graph.long_batch
    min_steps = max(settings.min_steps, config.graph.min_steps if with_graphs else 0)
    fewest, most = -(-min_steps // per_epoch), max(1, settings.max_steps // per_epoch)
    epochs = max(fewest, min(settings.epochs, most))
    if max_steps is not None:
        epochs = min(epochs, -(-max_steps * settings.batch_size // (size * per_epoch)))
    return epochs


def seed_dropout(seed: int, epoch: int, batch: int) -> None:
    """Seed torch's chance, which dropout alone takes: by batch, for resuming, and by rank, as each has other texts."""
    state = np.random.SeedSequence([seed, epoch, batch, distributed.rank()]).generate_state(2)
    torch.manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)


def _truth(split: Split) -> sp.csr_matrix | None:
    """The held-out pairs in the rows of their points, CSR (N, L)."""
    if not len(split.held_out):
        return None
    counts = np.zeros(split.targets.shape[0], dtype=np.int64)
    counts[split.held_out] = np.diff(split.truth.indptr)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return sp.csr_matrix((split.truth.data, split.truth.indices, indptr), shape=split.targets.shape)


def _accuracy(queries: torch.Tensor, keys: torch.Tensor, targets: torch.Tensor, known: torch.Tensor) -> float:
    """Share of the points with a target whose best label of the batch is one."""
    with torch.no_grad():
        scores = (queries @ keys.T).masked_fill((known & ~targets).to(queries.device), -2.0)
        right = targets.to(queries.device).gather(1, scores.argmax(1, keepdim=True))[:, 0]
        return float(right[targets.any(1).to(queries.device)].float().mean().nan_to_num())


def _means(kinds: list[str], means: np.ndarray) -> dict[str, float]:
    """The bandit's means for the log."""
    named = zip(kinds, means, strict=True)
    return {f"lambda_{side} {kind}": float(v) for kind, pair in named for side, v in zip("xz", pair, strict=True)}
