"""Reads the label-feature layout: json texts, sparse targets, filter files and graphs (docs/data-format.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.assemble import assemble
from ramen.data.dataset import Dataset, Texts
from ramen.data.files import Problem, Reading, candidates, find_one
from ramen.data.matrices import MATRIX, TEXT, at_row, entries, read_matrix, rows_of
from ramen.data.read_lines import read_texts
from ramen.data.records import Records, read_records

JSON = (".json", ".json.gz", ".raw.json", ".raw.json.gz")


def read_label_features(folder: Path) -> Reading[Dataset | None]:
    """Read a whole folder; do not use the value after a problem."""
    label_file = yield from find_one(folder, "lbl", JSON)
    assert label_file, "the layout needs it"
    labels = yield from read_records(label_file, None, with_targets=False)
    return (yield from _with_labels(folder, label_file, labels))


def read_named_labels(folder: Path) -> Reading[Dataset | None]:
    """Read a folder like :func:`read_label_features`, with one label per line in ``Y.txt`` or ``Yf.txt``."""
    stem = "Y" if candidates(folder, "Y", TEXT) else "Yf"
    texts = yield from read_texts(folder, stem, "")
    path = folder / f"{stem}.txt"
    labels = Records(path, texts or Texts([], [], []), [0] * len(texts or ()), whole=texts is not None)
    return (yield from _with_labels(folder, path, labels))


def _with_labels(folder: Path, label_file: Path, labels: Records) -> Reading[Dataset | None]:
    train_file = yield from find_one(folder, "trn", JSON)
    test_file = yield from find_one(folder, "tst", JSON)
    assert train_file, "both layouts need it"
    if labels.whole and not labels.lengths:
        yield Problem(label_file, "no labels, expected at least one row")
    n_labels = len(labels.lengths) if labels.whole else None

    train = yield from read_records(train_file, n_labels)
    if train.whole and not train.lengths:
        yield Problem(train_file, "the training set is empty, expected at least one row")
    train_targets = yield from read_targets(folder, "trn", train, n_labels)
    if train_targets is not None and train.lengths and not train_targets.nnz:
        yield Problem(train_file, "no training point has a label, expected at least one")

    if test_file:
        test = yield from read_records(test_file, n_labels)
        test_targets = yield from read_targets(folder, "tst", test, n_labels)
        yield from leaked(test, train)
    else:
        test = Records(folder / "tst.json", has_targets=False)
        test_targets = sp.csr_matrix((0, n_labels or 0), dtype=np.float32)
        for path in candidates(folder, "tst_X_Y", MATRIX):
            yield Problem(path, "there are test targets but no test texts, expected tst.json or tst.json.gz")

    complete = (train.whole, test.whole, labels.whole)
    targets = (train_targets, test_targets)
    return (yield from assemble(folder, train.texts, test.texts, labels.texts, targets, complete=complete))


def read_targets(folder: Path, split: str, records: Records, n_labels: int | None) -> Reading[sp.csr_matrix | None]:
    """Read the targets of one split from ``{trn,tst}_X_Y``, the json, or both, which must agree."""
    path = yield from find_one(folder, f"{split}_X_Y", MATRIX)
    if path is None:
        if not records.has_targets and records.lengths:
            where = f"no {split}_X_Y.txt[.gz] or .npz beside it"
            yield Problem(records.path, f"no target_ind, and {where}: expected one of the two", line=1)
        return records.targets(n_labels) if records.sound and n_labels is not None else None
    matrix = yield from read_matrix(path)
    if matrix is None:
        return None
    if records.whole and matrix.shape[0] != len(records.lengths):
        yield Problem(path, f"{matrix.shape[0]} rows, expected {len(records.lengths)} as in {records.path.name}")
        return None
    if n_labels is not None and matrix.shape[1] != n_labels:
        yield Problem(path, f"{matrix.shape[1]} columns, expected {n_labels} as there are labels")
        return None
    for row in np.unique(rows_of(matrix)[matrix.data <= 0]).tolist():
        yield at_row(path, row, "a target with a value of 0 or below, expected above 0")
    if records.has_targets and records.sound and n_labels is not None:
        stated = records.targets(n_labels)
        # text has few digits: values may differ in the fourth digit, the sparsity pattern may not
        differs = abs(matrix - stated) > 1e-4 * matrix.maximum(stated)
        for row in np.unique(differs.nonzero()[0]).tolist():
            actual, expected = entries(matrix, row), entries(stated, row)
            yield at_row(path, row, f"{actual} does not agree with {expected} on line {row + 1} of {records.path.name}")
    return matrix


def leaked(test: Records, train: Records) -> Reading[None]:
    """Yield a Problem for each test point whose uid is also a training point."""
    line_of = {uid: line for line, uid in enumerate(train.texts.uids, 1) if uid}
    for line, uid in enumerate(test.texts.uids, 1):
        if uid in line_of:
            where = f"line {line_of[uid]} of {train.path.name}"
            yield Problem(test.path, f"uid {uid!r} is a training point too ({where}), expected in one split", line=line)
