"""The validation split: cut from training so that it is as hard as a test split, never easier."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from ramen.data import Dataset
from ramen.graph.prepare import Links
from ramen.mining.clusters import balanced_clusters

_ALIKE = 0.8  # cosine above which two training points count as near duplicates
_BUCKET = 64  # points among which near duplicates are sought
_MOST = 0.25  # of a small set
_UNSEEN = 0.1  # share of labels without a training point above which such are expected at test, too
_CLUSTERINGS = 3  # each finds some nine tenths of the pairs


@dataclass
class Split:
    """Rows to train on and rows to choose by.

    Attributes:
        rows: int64, training rows to fit on: those with a label.
        texts: int64, training rows that may be seen without their labels, as text and graph: all but the held-out.
        held_out: int64, validation rows.
        targets: float32 CSR (N, L), the training targets without the pairs that mirror a held-out pair.
        truth: float32 CSR (V, L), what the held-out rows are measured by.
        links: graphs that training sees; held-out rows are never drawn.
        walked: whether walks densified them.
    """

    rows: np.ndarray
    texts: np.ndarray
    held_out: np.ndarray
    targets: sp.csr_matrix
    truth: sp.csr_matrix
    links: dict[str, Links] = field(default_factory=dict)
    walked: bool = False


def whole(dataset: Dataset) -> Split:
    """Everything to train on, nothing held out."""
    every, none = np.arange(len(dataset.train), dtype=np.int64), np.empty(0, dtype=np.int64)
    return Split(_labelled(dataset.train_targets), every, none, dataset.train_targets, dataset.train_targets[none])


def cut(dataset: Dataset, vectors: np.ndarray, share: float, max_points: int, seed: int, min_points: int = 0) -> Split:
    """The split that holds out :func:`held_out_rows`."""
    return split_off(dataset, held_out_rows(dataset, vectors, share, max_points, seed, min_points))


def held_out_rows(
    dataset: Dataset, vectors: np.ndarray, share: float, max_points: int, seed: int, min_points: int = 0
) -> np.ndarray:
    """Rows to hold out, int64: a share of the training points, near duplicates together.

    Test splits hold out whole groups of related points; a random split would leave a twin of each validation point in
    training and so overrate memory (neighbours, many epochs of the head). For a held-out pair (point, label) whose
    mirror (the label as a training point, with the point as its label) is in training, the mirror is dropped. As every
    label of a test split has a training point, so has every label of the truth; points left without any are not used.
    Where more than a tenth of the labels has no training point to begin with, the test split will ask for such, too,
    and the truth keeps them.

    Args:
        dataset: its training part is cut.
        vectors: float32 (N, d), unit vectors of the training points before any training.
        share: of the training points with a label to hold out, in (0, 1).
        max_points: hold out at most so many.
        seed: of the draw.
        min_points: hold out so many where ``share`` is fewer, but at most a quarter.
    """
    labelled = _labelled(dataset.train_targets)
    n = len(labelled)
    wanted = max(round(share * n), min(min_points, round(_MOST * n))) if share else 0
    wanted = min(max_points, wanted, n - 1)
    groups = near_duplicates(vectors[labelled], seed)
    rng = np.random.default_rng([seed, 1])
    sizes = np.bincount(groups)
    order = rng.permutation(len(sizes))
    order = order[sizes[order] <= max(1, wanted // 10)]  # a giant group would be most of the split
    chosen = order[: int(np.searchsorted(np.cumsum(sizes[order]), wanted, side="right"))]
    return labelled[np.isin(groups, chosen)]


def split_off(dataset: Dataset, held_out: np.ndarray) -> Split:
    """The split that holds out these rows of the training part, with the rules of :func:`cut` for pairs and labels.

    Args:
        dataset: its training part is cut.
        held_out: int64, ascending; rows with a label.
    """
    rows = np.setdiff1d(_labelled(dataset.train_targets), held_out)
    texts = np.setdiff1d(np.arange(len(dataset.train)), held_out)
    targets = _without_mirrors(dataset, held_out)
    truth = dataset.train_targets[held_out]
    if (dataset.train_targets.getnnz(0) == 0).mean() <= _UNSEEN:
        is_trained = (targets[rows].getnnz(0) > 0).astype(np.float32)
        truth = sp.csr_matrix(truth @ sp.diags(is_trained), dtype=np.float32)
        truth.eliminate_zeros()
    usable = np.diff(truth.indptr) > 0
    return Split(rows, texts, held_out[usable], targets, truth[usable])


def _labelled(targets: sp.csr_matrix) -> np.ndarray:
    return np.flatnonzero(np.diff(targets.indptr)).astype(np.int64)


def near_duplicates(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Group number of each row: rows that a chain of near duplicates joins, sought within small clusters.

    A pair is missed only where the borders of several clusterings all cut through it.
    """
    left, right = [], []
    for clustering in range(_CLUSTERINGS):
        clusters = balanced_clusters(vectors, _BUCKET, seed * _CLUSTERINGS + clustering)
        order = np.argsort(clusters, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1):
            near = np.argwhere(np.triu(vectors[members] @ vectors[members].T, 1) > _ALIKE)
            left.append(members[near[:, 0]])
            right.append(members[near[:, 1]])
    n = len(vectors)
    rows, columns = np.concatenate(left), np.concatenate(right)
    graph = sp.coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def _without_mirrors(dataset: Dataset, held_out: np.ndarray) -> sp.csr_matrix:
    row_of = {uid: row for row, uid in enumerate(dataset.train.uids)}
    label_of = {uid: label for label, uid in enumerate(dataset.labels.uids)}
    targets = dataset.train_targets
    rows, columns = [], []
    for row in held_out:
        own_label = label_of.get(dataset.train.uids[row])
        if own_label is None:
            continue
        for label in targets.indices[targets.indptr[row] : targets.indptr[row + 1]]:
            mirror = row_of.get(dataset.labels.uids[label])
            if mirror is not None:
                rows.append(mirror)
                columns.append(own_label)
    dropped = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=targets.shape)
    kept = targets - targets.multiply(dropped > 0)
    kept = sp.csr_matrix(kept, dtype=np.float32)
    kept.eliminate_zeros()
    return kept
