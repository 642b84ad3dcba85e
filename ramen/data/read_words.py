"""Reads bags of words: matrices of features and labels, or the oldest format with both in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.assemble import assemble, numbered, read_names
from ramen.data.dataset import Dataset, Features
from ramen.data.files import Problem, Reading, candidates, find_one, lines, strict
from ramen.data.matrices import MATRIX, TEXT, at_row, read_matrix, rows_of
from ramen.data.sparse_text import read_bag_of_words, too_many
from ramen.errors import InputError

Split = tuple[sp.csr_matrix, sp.csr_matrix]  # features and targets

_FEATURE_NAMES, _LABEL_NAMES = ("Xf",), ("Y", "Yf")
_PARTS = {"trn": "training points", "tst": "test points", "lbl": "labels"}


def read_matrices(folder: Path) -> Reading[Dataset | None]:
    """Read a folder with ``trn_X_Xf`` and ``trn_X_Y``; ``tst_X_Xf``, ``tst_X_Y`` and ``lbl_X_Xf`` are optional."""
    train = yield from _matrices(folder, "trn")
    if train is None:
        return None
    test: Split | None = _none_of(train)
    if candidates(folder, "tst_X_Xf", MATRIX) or candidates(folder, "tst_X_Y", MATRIX):
        test = yield from _matrices(folder, "tst")
    labels = yield from _features(folder, "lbl", train[1].shape[1], train[0].shape[1])
    return (yield from _whole(folder, train, test, labels, "tst_X"))


def read_features(folder: Path, n_train: int, n_test: int, n_labels: int) -> Reading[Features | None]:
    """Read the optional bags of words next to texts, ``{trn,tst,lbl}_X_Xf``; None if there are none.

    Each matrix must match the number of rows of the data set, and all must have the same number of columns.
    """
    train = yield from _features(folder, "trn", n_train, None)
    if train is None:
        return None
    test: sp.csr_matrix | None = train[:0]
    if n_test:
        test = yield from _features(folder, "tst", n_test, train.shape[1])
        if test is None and not candidates(folder, "tst_X_Xf", MATRIX):
            yield Problem(folder / "tst_X_Xf.txt", "missing, expected next to trn_X_Xf as there are test points")
    labels = yield from _features(folder, "lbl", n_labels, train.shape[1])
    names = yield from read_names(folder, _FEATURE_NAMES, train.shape[1], "features")
    return None if test is None else Features(train, test, labels, names)


def bags_of_words(dataset: Dataset) -> Features:
    """Return the bags of words of a data set; read them on the first call if it also has texts.

    Raises:
        InputError: there are none, or they do not match the points and labels.
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
    """Read a folder with ``train.txt`` or ``NAME_train.txt``, and optionally ``test.txt`` or ``NAME_test.txt``."""
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
    """Read a folder with ``NAME_data.txt`` and the 1-based splits ``NAME_trSplit.txt`` and ``NAME_tstSplit.txt``.

    Each column is a split; the first is used. Without the two files all points are training points.
    """
    path = yield from _only(folder, "data")
    if path is None:
        return None
    bags = yield from read_bag_of_words(path)
    if bags is None:
        return None
    name = path.name.removesuffix(".gz").removesuffix("data.txt")
    files = [folder / f"{name}{split}.txt" for split in ("trSplit", "tstSplit")]
    if not any(file.exists() for file in files):
        return (yield from _whole(folder, bags, _none_of(bags), None, ""))
    rows: list[np.ndarray] = []
    for file in files:
        if not file.exists():
            yield Problem(file, "missing, expected both splits or none")
            return None
        part = yield from _rows_of_split(file, bags[0].shape[0])
        if part is None:
            return None
        rows.append(part)
    both = np.intersect1d(rows[0], rows[1])
    if len(both):
        yield Problem(files[1], f"point {both[0] + 1} is in both splits, expected in one")
        return None
    train, test = ((bags[0][part], bags[1][part]) for part in rows)
    return (yield from _whole(folder, train, test, None, path.name))


def _matrices(folder: Path, split: str) -> Reading[Split | None]:
    matrices: list[sp.csr_matrix] = []
    for kind in ("Xf", "Y"):
        path = yield from find_one(folder, f"{split}_X_{kind}", MATRIX)
        if path is None:
            other = "Y" if kind == "Xf" else "Xf"
            yield Problem(folder / f"{split}_X_{kind}.txt", f"missing, expected next to {split}_X_{other}")
            return None
        matrix = yield from read_matrix(path)
        if matrix is None:
            return None
        if matrices and matrices[0].shape[0] != matrix.shape[0]:
            yield Problem(path, f"{matrix.shape[0]} rows, expected {matrices[0].shape[0]} as in {split}_X_Xf")
            return None
        of = "labels" if kind == "Y" else "features"
        if limit := too_many(matrix, of):
            yield Problem(path, f"{matrix.shape[1]} {of}, expected {limit} at most for so few pairs")
            return None
        wrong = np.unique(rows_of(matrix)[matrix.data <= 0]).tolist() if kind == "Y" else []
        for row in wrong:
            yield at_row(path, row, "a target with a value of 0 or below, expected above 0")
        matrices.append(matrix)
    return matrices[0], matrices[1]


def _features(folder: Path, part: str, n_rows: int, n_columns: int | None) -> Reading[sp.csr_matrix | None]:
    """Read ``{part}_X_Xf``; None if it is missing or after a problem."""
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
    """Return the only file called ``name.txt`` or ``*_name.txt``, plain or gzipped."""
    paths = [folder / f"{name}{end}" for end in TEXT if (folder / f"{name}{end}").exists()]
    named = [path for end in TEXT for path in folder.glob(f"*_{name}{end}")]
    paths += sorted(path for path in named if not path.name.startswith("filter_labels"))
    if len(paths) > 1:
        yield Problem(paths[1], f"{paths[0].name} also exists, expected one of the two")
    return paths[0] if paths else None


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
    """Return the data set of two splits, which must have the same features and labels."""
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
        yield from assemble(
            folder,
            numbered(features.shape[0], split="trn:"),
            numbered(test[0].shape[0], split="tst:"),
            numbered(n_labels, titles),
            (targets, test[1]),
            Features(features, test[0], labels, names),
        )
    )
