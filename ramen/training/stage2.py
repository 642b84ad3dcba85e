"""Stage 2: a dense one-vs-all head over all labels on the frozen encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp
import torch
from tqdm import tqdm

from ramen.config import Config
from ramen.heads.base import Head
from ramen.heads.build import make_head
from ramen.heads.rows import LabelRows
from ramen.mining.clusters import balanced_clusters, cluster_batches

_CLUSTER = 64  # points; a batch with a shortlist is made of such clusters
_LR_DECAY = 0.5  # of the learning rate after each epoch: an epoch is then the same whatever their number


def fit_epochs(
    points: torch.Tensor,
    labels: torch.Tensor,
    targets: sp.csr_matrix,
    filtered: sp.csr_matrix,
    mined: Callable[[], sp.csr_matrix],
    config: Config,
) -> Iterator[tuple[int, Head, float]]:
    """Train a head and yield (epochs done, head, mean loss), first the untrained one.

    With many labels only a shortlist competes in a batch: batches are then made of clusters of alike points, whose true
    and mined labels overlap.

    Args:
        points: float32 (N, d), vectors of the training points.
        labels: float32 (L, d), where the head starts.
        targets: CSR (N, L).
        filtered: CSR (N, L), pairs that are neither right nor wrong.
        mined: gives CSR (L, N), points that are mined negatives of each label; asked only for a shortlist.
        config: settings.
    """
    settings, n = config.head, len(points)
    head = make_head(labels, settings)
    yield 0, head, float("nan")
    competing = None
    if settings.epochs and len(labels) > settings.all_labels:
        competing = (sp.csr_matrix(mined().T) + targets).tocsr()
    for epoch in range(settings.epochs):
        rng = np.random.default_rng([config.seed, 2, epoch])
        if competing is None:
            order = rng.permutation(n)
            batches = [order[start : start + settings.batch_size] for start in range(0, n, settings.batch_size)]
        else:
            clusters = balanced_clusters(points.numpy(), _CLUSTER, config.seed + epoch)
            batches = cluster_batches(clusters, settings.batch_size, rng)
        total, lr = 0.0, settings.lr * _LR_DECAY**epoch
        name = f"head {epoch + 1}/{settings.epochs}"
        for rows in tqdm(batches, desc=name, unit="batch", disable=None, leave=False):
            shortlist = None if competing is None else np.unique(competing[rows].indices).astype(np.int64)
            total += head.fit_step(points[torch.from_numpy(rows)], targets[rows], filtered[rows], lr, shortlist)
        yield epoch + 1, head, total / len(batches)


def fit_head(epochs: Iterator[tuple[int, Head, float]], wanted: int, log: Callable[..., None]) -> LabelRows:
    """Rows of the head after ``wanted`` epochs."""
    start = time.perf_counter()
    for epoch, head, loss in epochs:
        if epoch:
            log(stage="head", epoch=epoch, loss=loss, seconds=time.perf_counter() - start)
        start = time.perf_counter()
        if epoch == wanted:
            return head.rows()
    raise AssertionError(f"the settings allow fewer than the {wanted} epochs chosen")
