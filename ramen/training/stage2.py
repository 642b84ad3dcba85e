"""Stage 2: a dense one-vs-all head over all labels on the frozen encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp
import torch
from tqdm import tqdm

from ramen.config import Config
from ramen.heads.dense import DenseHead

_LR_DECAY = 0.5  # of the learning rate after each epoch: an epoch is then the same whatever their number


def fit_epochs(
    points: torch.Tensor, labels: torch.Tensor, targets: sp.csr_matrix, filtered: sp.csr_matrix, config: Config
) -> Iterator[tuple[int, DenseHead, float]]:
    """Train a head and yield (epochs done, head, mean loss), first the untrained one.

    Args:
        points: float32 (N, d), vectors of the training points.
        labels: float32 (L, d), where the head starts.
        targets: CSR (N, L).
        filtered: CSR (N, L), pairs that are neither right nor wrong.
        config: settings.
    """
    settings = config.head
    head = DenseHead(labels, settings.temperature, settings.chunk)
    yield 0, head, float("nan")
    for epoch in range(settings.epochs):
        order = np.random.default_rng([config.seed, 2, epoch]).permutation(len(points))
        starts = range(0, len(order), settings.batch_size)
        total = 0.0
        for start in tqdm(starts, desc=f"head {epoch + 1}/{settings.epochs}", unit="batch", disable=None, leave=False):
            rows = order[start : start + settings.batch_size]
            lr = settings.lr * _LR_DECAY**epoch
            total += head.fit_step(points[torch.from_numpy(rows)], targets[rows], filtered[rows], lr)
        yield epoch + 1, head, total / len(starts)


def fit_head(epochs: Iterator[tuple[int, DenseHead, float]], wanted: int, log: Callable[..., None]) -> torch.Tensor:
    """Vectors of the head after ``wanted`` epochs, float32 (L, d)."""
    start = time.perf_counter()
    for epoch, head, loss in epochs:
        if epoch:
            log(stage="head", epoch=epoch, loss=loss, seconds=time.perf_counter() - start)
        start = time.perf_counter()
        if epoch == wanted:
            return head.weights
    raise AssertionError(f"the settings allow fewer than the {wanted} epochs chosen")
