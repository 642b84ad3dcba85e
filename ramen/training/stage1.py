"""Stage 1: the encoder, on in-batch negatives of clustered batches, regularised by every graph given."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from tqdm import tqdm

from ramen.config import Config
from ramen.encoders.base import Encoder
from ramen.graph.regulariser import GraphRegulariser, Loss, block, both_ways, sample_column
from ramen.losses import masked_softmax, masked_triplet
from ramen.mining.clusters import balanced_clusters, cluster_batches
from ramen.training.checkpoint import Checkpoint
from ramen.training.material import Material
from ramen.training.split import Split

_WARMUP_STEPS = 20
_SMALL_BATCH = 128  # for sets of few points: twelve batches an epoch, but none smaller
_LAST_LR = 0.02  # share of the learning rate at the end of the linear decay


def make_loss(config: Config) -> Loss:
    """The loss that the settings name, of (scores, targets, known)."""
    if config.stage1.loss == "triplet":
        return partial(masked_triplet, margin=config.stage1.margin)
    return partial(masked_softmax, temperature=config.stage1.temperature)


def train_encoder(
    encoder: Encoder, material: Material, split: Split, checkpoint: Checkpoint, log: Callable[..., None]
) -> None:
    """Train in place, going on from ``checkpoint`` where it has an epoch.

    Every epoch draws from its own generator (seed, epoch) and the checkpoint keeps the clusters, so that a resumed
    run has the batches of one that was never interrupted.

    Args:
        encoder: trained in place.
        material: settings, graphs and token ids.
        split: rows and targets to train on.
        checkpoint: where the state is kept.
        log: called with the figures of each epoch.
    """
    config, tokens, dataset = material.config, material.tokens, material.dataset
    settings, loss = config.stage1, make_loss(config)
    graphs = [
        GraphRegulariser(
            tokens[kind], dataset.graphs[kind].points, dataset.graphs[kind].labels,
            config.graph.lambda_x, config.graph.lambda_z, loss,
        )
        for kind in config.graphs
    ]  # fmt: skip
    known = (split.targets + material.filtered).tocsr()
    optimiser = torch.optim.AdamW(encoder.parameter_groups(settings.lr), weight_decay=0.0, fused=True)
    batch_size = min(settings.batch_size, max(_SMALL_BATCH, len(split.rows) // 12))
    per_epoch = -(-len(split.rows) // batch_size)
    fewest, most = -(-settings.min_steps // per_epoch), max(1, settings.max_steps // per_epoch)
    epochs = max(fewest, min(settings.epochs, most))
    rates = [group["lr"] for group in optimiser.param_groups]
    for parameter in encoder.parameters():
        parameter.grad = torch.zeros_like(parameter)  # kept, so that sparse gradients are added into dense ones
    first_epoch, clusters = checkpoint.restore(encoder, optimiser)
    encoder.train()
    for epoch in range(first_epoch, epochs):
        start, rng = time.perf_counter(), np.random.default_rng([config.seed, epoch])
        torch.manual_seed(config.seed * 100_003 + epoch)
        refresh = (epoch - settings.cluster_from) % settings.cluster_every == 0
        if settings.cluster_size and epoch >= settings.cluster_from and (clusters is None or refresh):
            points = encoder.encode(tokens["points"]).numpy()[split.rows]
            together = np.concatenate([points, encoder.encode_labels(tokens["labels"]).numpy()])
            clusters = balanced_clusters(together, settings.cluster_size, config.seed + epoch)
        loss_sum, texts = 0.0, 0
        batches = _batches(len(split.rows), clusters, batch_size, rng)
        name = f"encoder {epoch + 1}/{epochs}"
        for number, batch in enumerate(tqdm(batches, desc=name, unit="batch", disable=None, leave=False)):
            rows = np.sort(split.rows[batch])
            columns = sample_column(split.targets, rows, rng)[1]
            if not len(columns):
                continue
            columns = np.unique(np.concatenate([columns, _labels_of_clusters(clusters, batch, len(split.rows))]))
            queries, keys = encoder(tokens["points"], rows), encoder(tokens["labels"], columns)
            targets, not_negative = block(split.targets, rows, columns), block(known, rows, columns)
            value = both_ways(loss, queries, encoder.as_labels(keys), targets, not_negative)
            anchors = 0
            if graphs:
                # One graph a step, scaled up: the same sum in expectation, at the cost of one.
                graph = graphs[rng.integers(len(graphs))]
                penalty, anchors = graph(encoder, (rows, columns), (queries, keys), rng)
                value = value + len(graphs) * penalty
            optimiser.zero_grad(set_to_none=False)
            value.backward()
            step = epoch * per_epoch + number
            factor = min(1.0, (step + 1) / _WARMUP_STEPS) * max(_LAST_LR, 1 - step / (epochs * per_epoch))
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            optimiser.step()
            loss_sum += value.item()
            texts += len(rows) + len(columns) + anchors
        seconds = time.perf_counter() - start
        loss_mean = loss_sum / len(batches)
        log(stage="encoder", epoch=epoch + 1, loss=loss_mean, seconds=seconds, texts_per_s=texts / seconds)
        checkpoint.save(epoch + 1, encoder, optimiser, clusters, last=epoch + 1 == epochs)
    encoder.eval()
    encoder.zero_grad(set_to_none=True)  # gives back as much memory as the encoder takes


def _labels_of_clusters(clusters: np.ndarray | None, batch: np.ndarray, n: int) -> np.ndarray:
    """Labels that share a cluster with a point of the batch: hard negatives that no point of it may have drawn."""
    if clusters is None:
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(np.isin(clusters[n:], clusters[batch]))


def _batches(n: int, clusters: np.ndarray | None, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    if clusters is not None:
        return cluster_batches(clusters[:n], size, rng)
    order = rng.permutation(n)
    return [order[start : start + size] for start in range(0, n, size)]
