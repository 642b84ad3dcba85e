"""The validation split: cut from training so that it is as hard as a test split, never easier."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from ramen import distributed
from ramen.data import Dataset, bags_of_words
from ramen.encoders.base import Encoder
from ramen.encoders.build import run_of
from ramen.encoders.distilled import read_held_out
from ramen.errors import InputError
from ramen.graph.prepare import Links
from ramen.mining.duplicates import SAMPLE, small_groups, stands_apart
from ramen.training.start import is_new, start_folder

if TYPE_CHECKING:
    from ramen.training.data import AnyEncoder, TrainingData

MIN_POINTS = 400  # to hold out, but no more than a quarter of all
MAX_POINTS = 2000
_MOST = 0.25  # of a small set
_MOST_UNSEEN = 0.5  # of the test part's pairs
_FEWEST_TEST = 100  # points by which to tell how a test part was drawn
_HEAVIEST = 10.0  # of a held-out pair: few must not decide everything


@dataclass
class Split:
    """Rows to train on and held-out rows that judge.

    Attributes:
        train_rows: int64, rows to fit on: those with a label.
        visible_rows: int64, rows whose text and graph edges training may see, with labels or not: all but the held-out.
        held_out_rows: int64, rows that judge.
        targets: float32 CSR (N, L), the training targets without the pairs that mirror a held-out pair.
        held_out_targets: float32 CSR (V, L), the held-out pairs; values are their weights, 1 on average.
        held_out_ignored: float32 CSR (V, L), held-out pairs that are neither right nor wrong.
        filtered_at_test: float32 CSR (V, L), held-out pairs that a test part like the data set's would filter.
        links: graphs that training sees; held-out rows are never drawn.
        walked: whether walks densified them.
        unseen_by_start: whether the encoder that training starts from has certainly seen none of the held-out pairs.
    """

    train_rows: np.ndarray
    visible_rows: np.ndarray
    held_out_rows: np.ndarray
    targets: sp.csr_matrix
    held_out_targets: sp.csr_matrix
    held_out_ignored: sp.csr_matrix
    filtered_at_test: sp.csr_matrix
    links: dict[str, Links] = field(default_factory=dict)
    walked: bool = False
    unseen_by_start: bool = True


def everything(dataset: Dataset) -> Split:
    """Everything to train on, nothing held out."""
    every, none = np.arange(len(dataset.train), dtype=np.int64), np.empty(0, dtype=np.int64)
    targets = dataset.train_targets
    return Split(_labelled(targets), every, none, targets, *(targets[none] for _ in range(3)))


def validation_split(data: TrainingData, encoder: AnyEncoder, log: Callable[..., None]) -> Split:
    """What a search trains on and what it is judged by; nothing is held out with ``validation.share=0``.

    If the encoder to start from says which points it has never seen, these are used: it knows the pairs of the others.
    Where training goes on from a run, some of the new points are held out, or none if they are too few.

    Args:
        data: of the run.
        encoder: untrained; by its vectors near duplicates are kept together.
        log: called with notes.
    """
    dataset, settings, seed = data.dataset, data.config.validation, data.config.seed
    unseen = unseen_share(dataset, settings.unseen)
    if not settings.share:
        return split_off(dataset, np.empty(0, dtype=np.int64))
    new = _new_points(data, log) if data.config.start else None
    held_out = _unseen_by_start(data, log) if new is None else new
    is_unseen = held_out is not None or start_folder(data.config) is None
    if held_out is None or (new is not None and len(new)):
        vectors, of_test = _vectors(encoder, data.tokens["points"]), _test_vectors(data, encoder)
        together = distributed.broadcast(lambda: of_test is None or stands_apart(of_test, vectors, seed))
        if not together:
            alike = "test texts have near duplicates in training about as often as training texts have"
            log(stage="prepare", note=f"points are held out one by one, as {alike}")
        held_out = distributed.broadcast(
            lambda: held_out_rows(dataset, vectors, settings.share, MAX_POINTS, seed, MIN_POINTS, unseen, new, together)
        )
    return dataclasses.replace(split_off(dataset, held_out, unseen), unseen_by_start=is_unseen)


def _new_points(data: TrainingData, log: Callable[..., None]) -> np.ndarray:
    """Labelled rows that are new since the run that training goes on from; none where these are too few."""
    labelled, run = _labelled(data.dataset.train_targets), data.config.start
    new = is_new(data.config, data.dataset)
    rows = labelled[:0] if new is None else labelled[new[labelled]]
    least = min(MIN_POINTS, len(labelled) // 4)
    found = f"{len(rows):,} of {len(labelled):,} points are new"
    if new is None:
        found = f"{run} does not say what its encoder was trained on"
    if len(rows) < least:
        log(stage="rank", note=f"{found}, expected {least:,} to learn the ranking from: that of {run} is kept")
        return rows[:0]
    log(stage="rank", note=f"{found}: the ranking is learned from some of these, as {run} was trained on the others")
    return rows


def _unseen_by_start(data: TrainingData, log: Callable[..., None]) -> np.ndarray | None:
    """Labelled rows that the encoder to start from has never seen; None where it does not say or they are too few."""
    dataset, folder = data.dataset, start_folder(data.config)
    if folder is None:
        return None
    run, rows = run_of(folder), read_held_out(folder, dataset.train.uids)
    if rows is None:
        if run is not None:
            seen = f"validation: the encoder of {run} may have been trained on the held-out points"
            log(stage="search", note=f"{seen}; hyperparameters chosen on them are biased towards it")
        return None
    labelled = np.diff(dataset.train_targets.indptr) > 0
    rows = rows[labelled[rows]]
    by, who = ("the distillation", "the student") if run is None else (str(run), "its encoder")
    least = min(MIN_POINTS, labelled.sum() // 4)  # a choice by fewer is noise
    if len(rows) < (least if run is None else least // 2):  # a run holds out about so many, groups of them whole
        note = f"validation: {by} held out only {len(rows)} points; {who} may have seen some of those used"
        log(stage="search", note=note)
        return None
    log(stage="search", note=f"validation: the {len(rows)} points that {by} held out")
    return rows


def _vectors(encoder: AnyEncoder, points: Any) -> np.ndarray:
    """Vectors that only tell which points are alike."""
    return encoder.encode(points, exact=False).numpy() if isinstance(encoder, Encoder) else encoder.encode(points)


def _test_vectors(data: TrainingData, encoder: AnyEncoder) -> np.ndarray | None:
    """Such vectors of a sample of the test part; None where there are too few points. No label is looked at."""
    dataset = data.dataset
    if len(dataset.test) < _FEWEST_TEST:
        return None
    rows = np.random.default_rng([data.config.seed, 7]).permutation(len(dataset.test))[:SAMPLE]
    if not isinstance(encoder, Encoder):
        return encoder.encode(bags_of_words(dataset).test[rows])
    return _vectors(encoder, encoder.tokenize(dataset.test.some(rows).joined()))


def cut(
    dataset: Dataset, vectors: np.ndarray, share: float, max_points: int, seed: int, min_points: int = 0,
    unseen: float | None = None,
) -> Split:  # fmt: skip
    """The split that holds out :func:`held_out_rows`."""
    return split_off(dataset, held_out_rows(dataset, vectors, share, max_points, seed, min_points, unseen), unseen)


def unseen_share(dataset: Dataset, setting: str = "auto") -> float:
    """The fraction of test pairs whose label has no training point: as set, or estimated from sizes alone.

    The estimate assumes that each label without a training point occurs once in the test part, and that a test point
    has as many labels as a training point. Without a test part, it is the fraction of such labels among these labels
    and all training pairs. It is at most a half.

    Args:
        dataset: labels of its test part are not looked at.
        setting: ``auto`` or a share.

    Raises:
        InputError: the setting is neither.

    Example:
        ``unseen_share(ramen.load_dataset("data/planted"))``
    """
    if setting != "auto":
        try:
            share = float(setting)
        except ValueError:
            share = -1.0
        if not 0 <= share < 1:
            raise InputError(f"validation.unseen={setting!r}: expected auto or a share of at least 0, below 1")
        return share
    targets = dataset.train_targets
    unseen = int((targets.getnnz(0) == 0).sum())
    pairs = len(dataset.test) * targets.nnz / max(1, len(_labelled(targets))) or unseen + targets.nnz
    return min(_MOST_UNSEEN, unseen / max(pairs, 1.0))


def held_out_rows(
    dataset: Dataset, vectors: np.ndarray, share: float, max_points: int, seed: int, min_points: int = 0,
    unseen: float | None = None, among: np.ndarray | None = None, together: bool = True,
) -> np.ndarray:  # fmt: skip
    """The rows to hold out, int64: a fraction of the training points, as far from the others as test points are.

    Many test splits hold out whole groups of related points. A random split would then leave a near duplicate of each
    held-out point in training and overrate memorisation (neighbours, many epochs of the dense scorer). Where the test
    split is random itself, whole groups would underrate it, and what is learned of words. A point whose labels have
    no other point says nothing about labels that have some, so it is held out only as often as the test part has labels
    without training points.

    Args:
        dataset: its training part is cut.
        vectors: float32 (N, d), unit vectors of the training points before any training.
        share: of the training points with a label to hold out, in (0, 1).
        max_points: hold out at most so many.
        seed: of the draw.
        min_points: hold out so many where ``share`` is fewer, but at most a quarter.
        unseen: share of the test part's pairs whose label has no training point; None for :func:`unseen_share`.
        among: int64, rows with a label, of which the held-out ones are drawn; None for all.
        together: whether near duplicates are held out together.
    """
    labelled = _labelled(dataset.train_targets)
    n = len(labelled)
    wanted = max(round(share * n), min(min_points, round(_MOST * n))) if share else 0
    wanted = min(max_points, wanted, n - 1)
    if among is not None:
        labelled = among
        wanted = min(wanted, len(among))
    most = max(1, wanted // 10)  # a giant group would be most of the split
    of_points = _useful(dataset, unseen_share(dataset) if unseen is None else unseen)[labelled]
    groups = np.arange(len(labelled))
    if together:
        groups = small_groups(vectors[labelled], seed, most, wanted, of_points > 0)
    rng = np.random.default_rng([seed, 1])
    sizes = np.bincount(groups)
    order = rng.permutation(len(sizes))
    useful = np.zeros(len(sizes))
    np.maximum.at(useful, groups, of_points)
    is_drawn = rng.random(len(sizes)) < useful[order]
    order = np.concatenate([order[is_drawn], order[~is_drawn & (useful[order] > 0)]])
    order = order[sizes[order] <= most]
    chosen = order[: int(np.searchsorted(np.cumsum(sizes[order]), wanted, side="right"))]
    return labelled[np.isin(groups, chosen)]


def _useful(dataset: Dataset, unseen: float) -> np.ndarray:
    """The probability that a test part has each point's most frequent label if the point is held out, float64 (N,)."""
    targets = dataset.train_targets
    counts = targets.getnnz(0)
    alone = (counts == 1).sum()
    of_alone = min(1.0, unseen * targets.nnz / alone) if alone else 0.0
    has_others = np.asarray((targets @ sp.diags((counts > 1).astype(np.float32))).max(axis=1).toarray()).ravel() > 0
    return np.where(has_others, 1.0, of_alone)


def split_off(dataset: Dataset, held_out: np.ndarray, unseen: float | None = None) -> Split:
    """The split that holds out these rows of the training part.

    For a held-out pair (point, label) whose mirror (the label as a training point, with the point as its label) is in
    training, the mirror is dropped. If the test part filters such pairs instead, they still judge rankings, but there
    are more of them than at test, so probabilities must not be calibrated on them. Pairs have the weights of
    :func:`pair_weights`; those of weight 0 are neither right nor wrong, and points with no other pair are left out.

    Args:
        dataset: its training part is cut.
        held_out: int64, ascending; rows with a label.
        unseen: share of the test part's pairs whose label has no training point; None for :func:`unseen_share`.
    """
    rows = np.setdiff1d(_labelled(dataset.train_targets), held_out)
    visible = np.setdiff1d(np.arange(len(dataset.train)), held_out)
    unseen = unseen_share(dataset) if unseen is None else unseen
    targets = dataset.train_targets
    held_out_targets = sp.csr_matrix(targets[held_out], dtype=np.float32, copy=True)
    uids = [dataset.train.uids[row] for row in np.repeat(held_out, np.diff(held_out_targets.indptr)).tolist()]
    mirror_rows, mirror_labels, is_mirrored = _mirrors(dataset, uids, held_out_targets.indices)
    filtered_at_test = sp.csr_matrix(held_out_targets.shape, dtype=np.float32)
    if is_mirrored.any():
        targets = _without(targets, mirror_rows[is_mirrored], mirror_labels[is_mirrored])
        if _filters_mirrors(dataset):
            filtered_at_test = _where(held_out_targets, is_mirrored)
    held_out_targets.data = pair_weights(targets[rows].getnnz(0)[held_out_targets.indices], unseen)
    ignored = _where(held_out_targets, held_out_targets.data == 0)
    held_out_targets.eliminate_zeros()
    usable = np.diff(held_out_targets.indptr) > 0
    return Split(
        rows, visible, held_out[usable], targets, held_out_targets[usable], ignored[usable], filtered_at_test[usable]
    )


def _where(matrix: sp.csr_matrix, chosen: np.ndarray) -> sp.csr_matrix:
    """A CSR matrix with 1 at the chosen ones of the stored entries."""
    parts = chosen.astype(np.float32), matrix.indices, matrix.indptr
    entries = sp.csr_matrix(parts, shape=matrix.shape, copy=True)
    entries.eliminate_zeros()
    return entries


def pair_weights(left: np.ndarray, unseen: float) -> np.ndarray:
    """Weights of held-out pairs, float32 (pairs,), 1 on average over those above 0.

    Holding out a point takes a training point from each of its labels. For labels with points left this is right: a
    label with n training points occurs at test as often as one with n + 1 does when one is held out (Good, "The
    population frequencies of species", Biometrika 1953). Labels without points left are a different matter: how many of
    them a test part has depends on how it was made, so their pairs get the weight that ``unseen`` says.

    Args:
        left: int (pairs,), training points that each pair's label has left.
        unseen: fraction of the total weight that pairs of labels with none left get.

    Example:
        >>> pair_weights(np.array([0, 1, 2, 9]), 0.0).tolist(), pair_weights(np.array([0, 1, 2, 9]), 0.25).tolist()
        ([0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0])
    """
    is_unseen = left == 0
    share = is_unseen.mean() if len(left) else 0.0
    weights = np.ones(len(left), dtype=np.float32)
    if share:
        weights[is_unseen] = min(unseen * (1.0 - share) / (share * (1.0 - unseen)), _HEAVIEST) if share < 1 else unseen
    return weights / (weights[weights > 0].mean() if weights.any() else np.float32(1.0))


def _labelled(targets: sp.csr_matrix) -> np.ndarray:
    return np.flatnonzero(np.diff(targets.indptr)).astype(np.int64)


def _without(targets: sp.csr_matrix, rows: np.ndarray, labels: np.ndarray) -> sp.csr_matrix:
    dropped = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, labels)), shape=targets.shape)
    remaining = sp.csr_matrix(targets - targets.multiply(dropped > 0), dtype=np.float32)
    remaining.eliminate_zeros()
    return remaining


def _mirrors(dataset: Dataset, uids: list[str], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and labels of the mirrors of pairs (point, label), and which of these are training pairs.

    The mirror of (i, j) is (j, i): the label as a training point, with the point as its label.
    """
    row_of = {uid: row for row, uid in enumerate(dataset.train.uids)}
    label_of = {uid: label for label, uid in enumerate(dataset.labels.uids)}
    rows = np.array([row_of.get(dataset.labels.uids[label], -1) for label in labels.tolist()], dtype=np.int64)
    mirrors = np.array([label_of.get(uid, -1) for uid in uids], dtype=np.int64)
    is_pair = (rows >= 0) & (mirrors >= 0)
    if is_pair.any():
        is_pair[is_pair] = np.asarray(dataset.train_targets[rows[is_pair], mirrors[is_pair]]).ravel() > 0
    return rows, mirrors, is_pair


def _filters_mirrors(dataset: Dataset) -> bool:
    """Whether the test part's filter has pairs whose mirror is in training."""
    rows, labels = dataset.test_filter.T
    return bool(_mirrors(dataset, [dataset.test.uids[row] for row in rows.tolist()], labels)[2].any())
