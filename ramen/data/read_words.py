"""Reads bags of words: matrices of features and labels, or the oldest format with both in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.dataset import Dataset, Features
from ramen.data.files import Problem, Reading, candidates, find_one, lines, strict
from ramen.data.matrices import MATRIX, TEXT, at_row, read_matrix, rows_of
from ramen.data.rest import assembled, numbered, read_names
from ramen.data.sparse_text import read_bag_of_words, too_many
from ramen.errors import InputError

Split = tuple[sp.csr_matrix, sp.csr_matrix]  # features and targets

_FEATURE_NAMES, _LABEL_NAMES = ("Xf",), ("Y", "Yf")
_PARTS = {"trn": "training points", "tst": "test points", "lbl": "labels"}


def read_matrices(folder: Path) -> Reading[Dataset | None]:
    """A folder with ``trn_X_Xf`` and ``trn_X_Y``, perhaps ``tst_X_Xf`` and ``tst_X_Y``, and ``lbl_X_Xf``."""
    train = yield from _matrices(folder, "trn")
    if train is None:
        return None
    test: Split | None = _none_of(train)
    if candidates(folder, "tst_X_Xf", MATRIX) or candidates(folder, "tst_X_Y", MATRIX):
        test = yield from _matrices(folder, "tst")
    labels = yield from _features(folder, "lbl", train[1].shape[1], train[0].shape[1])
    return (yield from _whole(folder, train, test, labels, "tst_X"))


def read_features(folder: Path, n_train: int, n_test: int, n_labels: int) -> Reading[Features | None]:
    """The bags of words that may stand beside texts, ``{trn,tst,lbl}_X_Xf``; None where no file is.

    Each part must have as many rows as the data set has, and all of them the same columns.
    """
    train = yield from _features(folder, "trn", n_train, None)
    if train is None:
        return None
    test: sp.csr_matrix | None = train[:0]
    if n_test:
        test = yield from _features(folder, "tst", n_test, train.shape[1])
        if test is None and not candidates(folder, "tst_X_Xf", MATRIX):
            yield Problem(folder / "tst_X_Xf.txt", "not there, expected beside trn_X_Xf as there are test points")
    labels = yield from _features(folder, "lbl", n_labels, train.shape[1])
    names = yield from read_names(folder, _FEATURE_NAMES, train.shape[1], "features")
    return None if test is None else Features(train, test, labels, names)


def bags_of_words(dataset: Dataset) -> Features:
    """The bags of words of a data set; where it has texts too, they are read at the first call.

    Raises:
        InputError: it has none, or they do not fit its points and labels.
    """
    if dataset.features is None:
        sizes = len(dataset.train), len(dataset.test), dataset.n_labels
        dataset.features = strict(read_features(dataset.path, *sizes))
    if dataset.features is None:
        raise InputError(
            f"{dataset.path}: has no bags of words (trn_X_Xf.txt), expected some for a run of --preset words"
        )
    return dataset.features


def read_single_files(folder: Path) -> Reading[Dataset | None]:
    """A folder with ``train.txt`` and perhaps ``test.txt``, or with names that end so, as in ``eurlex_train.txt``."""
    train_file = yield from _only(folder, "train")
    if train_file is None:
        return None
    train = yield from read_bag_of_words(train_file)
    test_file = yield from _only(folder, "test")
    if train is None:
        return None
    test: Split | None = _none_of(train)
    if test_file is not None:
        test = yield from read_bag_of_words(test_file)
    return (yield from _whole(folder, train, test, None, test_file.name if test_file else ""))


def read_data_file(folder: Path) -> Reading[Dataset | None]:
    """A folder with ``NAME_data.txt``, and ``NAME_trSplit.txt`` and ``NAME_tstSplit.txt``, points counted from 1.

    Of several splits, a column each, the first counts. Without the two files all points train.
    """
    path = yield from _only(folder, "data")
    if path is None:
        return None
    found = yield from read_bag_of_words(path)
    if found is None:
        return None
    name = path.name.removesuffix(".gz").removesuffix("data.txt")
    files = [folder / f"{name}{split}.txt" for split in ("trSplit", "tstSplit")]
    if not any(file.exists() for file in files):
        return (yield from _whole(folder, found, _none_of(found), None, ""))
    rows: list[np.ndarray] = []
    for file in files:
        if not file.exists():
            yield Problem(file, "not there, expected both splits or none")
            return None
        part = yield from _rows_of_split(file, found[0].shape[0])
        if part is None:
            return None
        rows.append(part)
    both = np.intersect1d(rows[0], rows[1])
    if len(both):
        yield Problem(files[1], f"point {both[0] + 1} is in both splits, expected in one")
        return None
    train, test = ((found[0][part], found[1][part]) for part in rows)
    return (yield from _whole(folder, train, test, None, path.name))


def _matrices(folder: Path, split: str) -> Reading[Split | None]:
    found: list[sp.csr_matrix] = []
    for kind in ("Xf", "Y"):
        path = yield from find_one(folder, f"{split}_X_{kind}", MATRIX)
        if path is None:
            other = "Y" if kind == "Xf" else "Xf"
            yield Problem(folder / f"{split}_X_{kind}.txt", f"not there, expected beside {split}_X_{other}")
            return None
        matrix = yield from read_matrix(path)
        if matrix is None:
            return None
        if found and found[0].shape[0] != matrix.shape[0]:
            yield Problem(path, f"{matrix.shape[0]} rows, expected {found[0].shape[0]} as in {split}_X_Xf")
            return None
        of = "labels" if kind == "Y" else "features"
        if limit := too_many(matrix, of):
            yield Problem(path, f"{matrix.shape[1]} {of}, expected {limit} at most for so few pairs")
            return None
        wrong = np.unique(rows_of(matrix)[matrix.data <= 0]).tolist() if kind == "Y" else []
        for row in wrong:
            yield at_row(path, row, "a target with a value of 0 or below, expected above 0")
        found.append(matrix)
    return found[0], found[1]


def _features(folder: Path, part: str, n_rows: int, n_columns: int | None) -> Reading[sp.csr_matrix | None]:
    """``{part}_X_Xf``; None where it is not there, or after a problem."""
    path = yield from find_one(folder, f"{part}_X_Xf", MATRIX)
    if path is None:
        return None
    matrix = yield from read_matrix(path)
    if matrix is None:
        return None
    if limit := too_many(matrix, "features"):
        yield Problem(path, f"{matrix.shape[1]} features, expected {limit} at most for so few pairs")
        return None
    for count, expected, name in ((matrix.shape[0], n_rows, "rows"), (matrix.shape[1], n_columns, "columns")):
        if expected is not None and count != expected:
            yield Problem(path, f"{count} {name}, expected {expected}: {_PARTS[part]} x features")
            return None
    return matrix


def _only(folder: Path, name: str) -> Reading[Path | None]:
    """The one file called ``name.txt`` or ``*_name.txt``, plain or gzipped."""
    found = [folder / f"{name}{end}" for end in TEXT if (folder / f"{name}{end}").exists()]
    named = [path for end in TEXT for path in folder.glob(f"*_{name}{end}")]
    found += sorted(path for path in named if not path.name.startswith("filter_labels"))
    if len(found) > 1:
        yield Problem(found[1], f"{found[0].name} is there too, expected one of the two")
    return found[0] if found else None


def _rows_of_split(file: Path, n_points: int) -> Reading[np.ndarray | None]:
    rows: list[int] = []
    for number, line in lines(file):
        if isinstance(line, Problem):
            yield line
            return None
        words = line.split()
        if words and (not words[0].isdigit() or not 1 <= int(words[0][:16]) <= n_points):
            yield Problem(file, f"found {words[0][:40]!r}, expected a point of 1 to {n_points}", line=number)
            return None
        rows += [int(words[0]) - 1] if words else []
    return np.array(rows, dtype=np.int64)


def _none_of(split: Split) -> Split:
    return split[0][:0], split[1][:0]


def _whole(
    folder: Path, train: Split, test: Split | None, labels: sp.csr_matrix | None, test_name: str
) -> Reading[Dataset | None]:
    """The data set of two splits that must be over the same features and labels."""
    (features, targets), (n_features, n_labels) = train, (train[0].shape[1], train[1].shape[1])
    if not features.shape[0] or not n_labels or not targets.nnz:
        yield Problem(folder, f"{features.shape[0]} training points with {targets.nnz} labels, expected some of both")
        return None
    if test is None:
        return None
    for at, (name, count) in enumerate((("features", n_features), ("labels", n_labels))):
        if test[at].shape[1] != count:
            yield Problem(folder / test_name, f"{test[at].shape[1]} {name}, expected {count} as in the training part")
            return None
    names = yield from read_names(folder, _FEATURE_NAMES, n_features, "features")
    titles = yield from read_names(folder, _LABEL_NAMES, n_labels, "labels")
    return (
        yield from assembled(
            folder,
            numbered(features.shape[0], split="trn:"),
            numbered(test[0].shape[0], split="tst:"),
            numbered(n_labels, titles),
            (targets, test[1]),
            Features(features, test[0], labels, names),
        )
    )
