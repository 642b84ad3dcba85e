"""Reciprocal-pair filters: trivially predictable pairs that count neither as right nor as wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ramen.data.dataset import Dataset
from ramen.errors import InputError
from ramen.files import replacing

NAMES = ("filter_labels_train.txt", "filter_labels_test.txt")


def reciprocal_pairs(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the reciprocal pairs of the training and the test part, as the repository filters them.

    If a point is also a label, the pair of both is filtered. If training has the pair (a, b), the mirrored pair (b, a)
    of a test point b is filtered too, whether it is a target or not.

    Args:
        dataset: a point and a label with the same uid are the same item.

    Returns:
        int64 (F, 2) of (row, label) each, sorted.

    Example:
        ``reciprocal_pairs(ramen.load_dataset("data/debian"))[1]`` are the pairs of its ``filter_labels_test.txt``.
    """
    label_of = {uid: label for label, uid in enumerate(dataset.labels.uids)}
    test_row = {uid: row for row, uid in enumerate(dataset.test.uids)}
    train = [(row, label_of[uid]) for row, uid in enumerate(dataset.train.uids) if uid in label_of]
    test = {(row, label_of[uid]) for uid, row in test_row.items() if uid in label_of}
    targets = dataset.train_targets
    for row, uid in enumerate(dataset.train.uids):
        if uid in label_of:
            for label in targets.indices[targets.indptr[row] : targets.indptr[row + 1]].tolist():
                mirrored = test_row.get(dataset.labels.uids[label])
                if mirrored is not None:
                    test.add((mirrored, label_of[uid]))
    return _sorted(train), _sorted(test)


def write_filters(dataset: Dataset) -> dict[str, int]:
    """Write both filter files into the data set folder and return their numbers of pairs.

    Returns:
        Number of pairs by file name.

    Raises:
        InputError: a filter file with pairs already exists, or points and labels have no uid in common.
    """
    for name in NAMES:
        path = dataset.path / name
        if path.exists() and path.stat().st_size:  # imported and prepared sets have empty ones
            raise InputError(f"{path}: already exists, expected no filter file")
    pairs = reciprocal_pairs(dataset)
    if not any(len(part) for part in pairs):
        raise InputError(f"{dataset.path}: no point has the uid of a label, so there are no reciprocal pairs to filter")
    for name, array in zip(NAMES, pairs, strict=True):
        with replacing(Path(dataset.path / name)) as part:
            part.write_text("".join(f"{row} {label}\n" for row, label in array.tolist()))
    return {name: len(array) for name, array in zip(NAMES, pairs, strict=True)}


def _sorted(pairs: list[tuple[int, int]] | set[tuple[int, int]]) -> np.ndarray:
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
