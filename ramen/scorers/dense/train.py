"""Train one-vs-all classifiers over all labels on the frozen encoder."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch

from ramen import distributed
from ramen.checkpoint import Checkpoint
from ramen.config import DenseConfig
from ramen.losses import check_loss
from ramen.mining.clusters import balanced_clusters, cluster_batches
from ramen.progress import progress
from ramen.scorers.dense.base import Classifier
from ramen.scorers.dense.build import all_compete, make_classifier
from ramen.scorers.dense.classifier import DenseClassifier
from ramen.scorers.dense.label_weights import LabelWeights
from ramen.scorers.dense.schedule import LearningRate

if TYPE_CHECKING:
    from ramen.scorers.dense.scorer import DenseParams
    from ramen.scorers.views import Views

_LOSS = "loss"  # name of the last epoch's mean in a checkpoint
TOP = 50  # labels listed for each point where the classifiers name them
_CLUSTER = 64  # points; a batch with a shortlist is made of such clusters
_READ_EVERY = {"cpu": 1, "cuda": 50}  # steps after which the loss is read, which waits for a GPU


def train_epochs(views: Views, start: str, top: int = TOP) -> Iterator[tuple[int, Classifier, float]]:
    """Train the classifiers of all labels and yield (epochs done, classifiers, mean loss), first the untrained ones.

    An interrupted training goes on after the last epoch that was kept (one process, ``dense.kind=full``); that epoch is
    then the first to be yielded.

    With a shortlist each point has its own list of labels. With all labels and many of them those of the batch compete,
    and batches are clusters of similar points, whose lists overlap. It trains on the GPU where there is one.

    Args:
        views: rows to train on.
        start: name of the label vectors that it starts from.
        top: labels listed for each point with ``dense.negatives=top``.

    Raises:
        InputError: settings that do not go together.
        WorkError: the loss is not finite.
    """
    config, targets, filtered = views.config, views.targets, views.filtered
    points, labels = torch.from_numpy(views.vectors), torch.from_numpy(views.starts[start])
    settings, n = config.dense, len(points)
    learning_rate, device = LearningRate(settings, n), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    has_lists = settings.kind == "shortlist" or not all_compete(len(labels), labels.shape[1], settings, device)
    classifier = make_classifier(labels.to(device), settings, config.seed)
    kept = None if views.checkpoint is None or distributed.world_size() > 1 else views.checkpoint(f"dense-{start}")
    first, loss_before = _restored(classifier, kept)
    yield first, classifier, loss_before
    mined_lists = None
    if settings.epochs and has_lists and settings.negatives != "top":
        mined_lists = (sp.csr_matrix(views.negatives.T) + targets).tocsr()
    for epoch in range(first, settings.epochs):
        rng = np.random.default_rng([config.seed, 2, epoch])
        lists = _lists(classifier, points, mined_lists, settings, top) if has_lists else None
        if lists is None or settings.kind == "shortlist":
            order = rng.permutation(n)
            batches = [order[start : start + settings.batch_size] for start in range(0, n, settings.batch_size)]
        else:  # batches of alike points, whose lists overlap
            bisected = partial(balanced_clusters, points.numpy(), _CLUSTER, config.seed + epoch, at_once=1)
            clusters = distributed.broadcast(bisected)
            batches = cluster_batches(clusters, settings.batch_size, rng)
        total = torch.zeros((), dtype=torch.float64)
        name, read_every = f"dense {epoch + 1}/{settings.epochs}", _READ_EVERY[device.type]
        for number, rows in enumerate(
            progress(batches, desc=name, unit="batch", disable=distributed.progress_disabled())
        ):
            shortlist = None if lists is None else lists[rows]
            batch = points[torch.from_numpy(rows)], targets[rows], filtered[rows]
            step = epoch * len(batches) + number
            if isinstance(classifier, DenseClassifier):
                classifier.at_step(step)
            loss = classifier.fit_step(*batch, learning_rate(step), shortlist)
            total = total.to(loss.device) + loss
            if (number + 1) % read_every == 0 or number + 1 == len(batches):
                check_loss(float(total), "dense", "dense.lr", epoch, number)
        mean = float(total) / len(batches)
        yield epoch + 1, classifier, mean
        if kept and isinstance(classifier, DenseClassifier):  # whoever goes on wants this epoch
            kept.save_tensors(epoch + 1, {**_state(classifier), _LOSS: torch.tensor([mean])})


def _state(classifier: DenseClassifier) -> dict[str, torch.Tensor]:
    return {f"part{number}": tensor for number, tensor in enumerate(classifier.tensors())}


def _restored(classifier: Classifier, kept: Checkpoint | None) -> tuple[int, float]:
    """Load what an interrupted training has kept; returns the epochs done and the mean loss of the last."""
    if kept is None or not isinstance(classifier, DenseClassifier):
        return 0, float("nan")
    epochs, tensors = kept.tensors()
    if epochs:
        for name, tensor in _state(classifier).items():
            tensor.copy_(tensors[name])
        return epochs, float(tensors[_LOSS])
    return 0, float("nan")


def _lists(
    classifier: Classifier, points: torch.Tensor, mined: sp.csr_matrix | None, settings: DenseConfig, top: int
) -> sp.csr_matrix | None:
    """Labels that may compete for each point, CSR (N, L): mined ones, or those with the highest scores now."""
    if settings.negatives == "mined":
        return mined
    top_labels = classifier.label_weights().top(points.numpy(), min(top, classifier.n_labels))[0]
    starts = np.arange(0, top_labels.size + 1, top_labels.shape[1])
    best = sp.csr_matrix(
        (np.ones(top_labels.size, np.float32), top_labels.ravel(), starts), shape=(len(points), classifier.n_labels)
    )
    return best if mined is None else (mined + best).tocsr()


def train_on_views(views: Views, params: DenseParams) -> LabelWeights:
    """Weights after as many epochs as the parameters say."""
    epochs = train_epochs(views, params.start or next(iter(views.starts)))
    return next(classifier.label_weights() for epoch, classifier, _ in epochs if epoch == params.epochs)
