"""Stage 2: a dense one-vs-all head over all labels on the frozen encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from tqdm import tqdm

from ramen import distributed
from ramen.config import Config, HeadConfig
from ramen.losses import check_loss
from ramen.mining.clusters import balanced_clusters, cluster_batches
from ramen.scorers.dense.base import Head
from ramen.scorers.dense.build import make_classifier
from ramen.scorers.dense.label_weights import LabelWeights

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

    With the shortlist head each point has its own list of labels. With a dense head and many labels those of the batch
    compete, and batches are made of clusters of alike points, whose lists overlap.

    Args:
        points: float32 (N, d), vectors of the training points.
        labels: float32 (L, d), where the head starts; it trains on the GPU where there is one.
        targets: CSR (N, L).
        filtered: CSR (N, L), pairs that are neither right nor wrong.
        mined: gives CSR (L, N), points that are mined negatives of each label; asked only for a shortlist.
        config: settings.
    """
    settings, n = config.head, len(points)
    head = make_classifier(labels.to("cuda" if torch.cuda.is_available() else "cpu"), settings, config.seed)
    yield 0, head, float("nan")
    mined_lists = None
    has_lists = settings.kind == "shortlist" or len(labels) > settings.all_labels
    if settings.epochs and has_lists and settings.negatives != "top":
        mined_lists = (sp.csr_matrix(mined().T) + targets).tocsr()
    for epoch in range(settings.epochs):
        rng = np.random.default_rng([config.seed, 2, epoch])
        lists = _lists(head, points, mined_lists, settings) if has_lists else None
        if lists is None or settings.kind == "shortlist":
            order = rng.permutation(n)
            batches = [order[start : start + settings.batch_size] for start in range(0, n, settings.batch_size)]
        else:  # batches of alike points, whose lists overlap
            clusters = distributed.broadcast(partial(balanced_clusters, points.numpy(), _CLUSTER, config.seed + epoch))
            batches = cluster_batches(clusters, settings.batch_size, rng)
        total, lr = 0.0, settings.lr * _LR_DECAY**epoch
        name = f"head {epoch + 1}/{settings.epochs}"
        for number, rows in enumerate(
            tqdm(batches, desc=name, unit="batch", disable=distributed.progress_disabled(), leave=False)
        ):
            shortlist = None if lists is None else lists[rows]
            loss = head.fit_step(points[torch.from_numpy(rows)], targets[rows], filtered[rows], lr, shortlist)
            check_loss(loss, "head", "head.lr", epoch, number)
            total += loss
        yield epoch + 1, head, total / len(batches)


def _lists(head: Head, points: torch.Tensor, mined: sp.csr_matrix | None, settings: HeadConfig) -> sp.csr_matrix | None:
    """Labels that may compete for each point, CSR (N, L): mined ones, or those that the head scores highest now."""
    if settings.negatives == "mined":
        return mined
    found = head.rows().top(points.numpy(), min(settings.top, head.n_labels))[0]
    starts = np.arange(0, found.size + 1, found.shape[1])
    top = sp.csr_matrix((np.ones(found.size, np.float32), found.ravel(), starts), shape=(len(points), head.n_labels))
    return top if mined is None else (mined + top).tocsr()


def fit_head(epochs: Iterator[tuple[int, Head, float]], wanted: int, log: Callable[..., None]) -> LabelWeights:
    """Rows of the head after ``wanted`` epochs."""
    start = time.perf_counter()
    for epoch, head, loss in epochs:
        if epoch:
            log(stage="head", epoch=epoch, loss=loss, seconds=time.perf_counter() - start)
        start = time.perf_counter()
        if epoch == wanted:
            return head.rows()
    raise AssertionError(f"the settings allow fewer than the {wanted} epochs chosen")
