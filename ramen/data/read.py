"""Reads the label-feature layout: json texts, sparse targets, filter files and graphs (docs/data-format.md)."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import scipy.sparse as sp

from ramen.data.cards import read_card
from ramen.data.dataset import Dataset, Graph, Texts
from ramen.data.files import Problem, Reading, candidates, find_one, lines, one_line
from ramen.data.sparse_npz import read_sparse_npz
from ramen.data.sparse_text import read_sparse_text

TEXT = (".txt", ".txt.gz")
JSON = (".json", ".json.gz")
MATRIX = (*TEXT, ".npz")

_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
_GRAPH_FILE = re.compile(r"(?P<kind>.+)(?:_(?:trn|lbl)_X_Y\.(?:npz|txt|txt\.gz)|\.raw\.txt(?:\.gz)?)")


@dataclass
class Records:
    """What one json file holds; targets are flat, ``lengths`` gives how many each row has."""

    path: Path
    texts: Texts = field(default_factory=lambda: Texts([], [], []))
    lengths: list[int] = field(default_factory=list)
    columns: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    has_targets: bool = True
    sound: bool = True  # no problem in any row
    whole: bool = True  # read to its end, so that the number of rows is known

    def targets(self, n_labels: int) -> sp.csr_matrix:
        """float32 CSR, rows x ``n_labels``."""
        indptr = np.concatenate([[0], np.array(self.lengths, dtype=np.int64)]).cumsum()
        columns, values = np.array(self.columns, dtype=np.int64), np.array(self.values, dtype=np.float32)
        matrix = sp.csr_matrix((values, columns, indptr), shape=(len(self.lengths), n_labels))
        matrix.sort_indices()
        return matrix


def read_label_features(folder: Path) -> Reading[Dataset | None]:
    """Reads a whole folder; the value is None, or not to be used, after a problem."""
    label_file = yield from find_one(folder, "lbl", JSON)
    train_file = yield from find_one(folder, "trn", JSON)
    test_file = yield from find_one(folder, "tst", JSON)
    assert label_file and train_file, "the layout needs both"
    labels = yield from read_records(label_file, None, with_targets=False)
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

    filters = []
    for name, records in (("train", train), ("test", test)):
        n_rows = len(records.lengths) if records.whole else None
        filters.append((yield from read_filter(folder / f"filter_labels_{name}.txt", n_rows, n_labels)))
    n_train = len(train.lengths) if train.whole else None
    graphs = yield from read_graphs(folder / "graphs", n_train, n_labels)
    card, _ = yield from read_card(folder)
    if train_targets is None or test_targets is None:
        return None  # after a problem that was told
    return Dataset(
        path=folder,
        train=train.texts,
        test=test.texts,
        labels=labels.texts,
        train_targets=train_targets,
        test_targets=test_targets,
        graphs=graphs,
        train_filter=filters[0],
        test_filter=filters[1],
        card=card,
    )


def read_records(path: Path, n_labels: int | None, *, with_targets: bool = True) -> Reading[Records]:
    """Reads one json file, one object per line: uid, title, content, target_ind, target_rel.

    Args:
        path: ``{trn,tst,lbl}.json[.gz]``.
        n_labels: targets must be below it; None where the number of labels is unknown.
        with_targets: False for the labels themselves, whose targets are not read.
    """
    records = Records(path)
    line_of: dict[str, int] = {}
    untargeted: list[int] = []
    decode = json.JSONDecoder(parse_constant=_no_constant).decode
    for number, line in lines(path):
        if number == 0 and isinstance(line, Problem):
            records.sound = records.whole = False
            yield line
            break
        record: dict[str, Any] = {}
        fault: Problem | str | None
        if isinstance(line, Problem):
            fault = line
        else:
            try:
                record = decode(line)
                fault = _record_fault(record) or (_target_fault(record, n_labels) if with_targets else "")
            except json.JSONDecodeError as error:
                fault = f"broken json ({error.msg} at column {error.colno}), expected one object per line"
            except (ValueError, RecursionError) as error:  # NaN, a number of thousands of digits, too deep
                fault = f"broken json ({error}), expected one object per line"
        uid = record["uid"] if not fault else ""
        if not fault and line_of.setdefault(uid, number) != number:
            fault = f"duplicate uid {uid!r}, already on line {line_of[uid]}"
        if fault:
            records.sound = False
            yield fault if isinstance(fault, Problem) else Problem(path, fault, line=number)
            record = {}  # a blank row keeps the numbers of the rows after it right
        elif "target_ind" not in record:
            untargeted.append(number)
        records.texts.uids.append(uid)
        records.texts.titles.append(one_line(record.get("title", "")))
        records.texts.contents.append(one_line(record.get("content", "")))
        targets = record.get("target_ind", []) if with_targets else []
        records.lengths.append(len(targets))
        records.columns.extend(targets)
        if with_targets:
            records.values.extend(record.get("target_rel", [1.0] * len(targets)))
    records.has_targets = with_targets and len(untargeted) < len(records.lengths)
    if records.has_targets and untargeted:
        records.sound = False
        for number in untargeted:
            yield Problem(path, "no target_ind, expected in every row as other rows have it", line=number)
    return records


def _record_fault(record: object) -> str:
    """What is wrong with the texts of one record, or ""."""
    if type(record) is not dict:
        return f"found a json {type(record).__name__}, expected an object"
    for key in ("uid", "title"):
        if key not in record:
            return f"key {key!r} is missing"
    for key in ("uid", "title", "content"):
        text = record.get(key, "")
        if type(text) is not str:
            return f"{key} is {_short(text)}, expected a string"
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            return f"{key} holds half a surrogate pair, which is not Unicode text"
    if not record["uid"]:
        return "uid is empty, expected a name"
    return ""


def _target_fault(record: dict[str, Any], n_labels: int | None) -> str:
    """What is wrong with the targets of one record, or ""."""
    limit = n_labels if n_labels is not None else 2**63
    targets = record.get("target_ind", [])
    if type(targets) is not list or not set(map(type, targets)) <= {int}:
        return f"target_ind is {_short(targets)}, expected a list of whole numbers"
    if targets and (min(targets) < 0 or max(targets) >= limit):
        wrong = min(targets) if min(targets) < 0 else max(targets)
        return f"label {wrong} in target_ind is out of range, expected {_range(n_labels, 'labels')}"
    if len(set(targets)) != len(targets):
        return f"target_ind {_short(targets)} names a label twice"
    if "target_rel" not in record:
        return ""
    weights = record["target_rel"]
    if type(weights) is not list or not set(map(type, weights)) <= {int, float}:
        return f"target_rel is {_short(weights)}, expected a list of numbers"
    if len(weights) != len(targets):
        return f"target_rel has {len(weights)} entries, expected {len(targets)} as target_ind"
    if not all(_SMALLEST <= weight <= _LARGEST for weight in weights):
        return f"target_rel {_short(weights)}, expected finite numbers above 0 that fit a float32"
    return ""


def read_targets(folder: Path, split: str, records: Records, n_labels: int | None) -> Reading[sp.csr_matrix | None]:
    """The targets of one split, from ``{trn,tst}_X_Y`` or the json or both, which must agree."""
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
    for row in np.unique(_rows(matrix)[matrix.data <= 0]).tolist():
        yield _at(path, row, "a target with a value of 0 or below, expected above 0")
    if records.has_targets and records.sound and n_labels is not None:
        stated = records.targets(n_labels)
        # float32 text of few digits: values may differ in the fourth, patterns never
        differs = abs(matrix - stated) > 1e-4 * matrix.maximum(stated)
        for row in np.unique(differs.nonzero()[0]).tolist():
            found, expected = _entries(matrix, row), _entries(stated, row)
            yield _at(path, row, f"{found} does not agree with {expected} on line {row + 1} of {records.path.name}")
    return matrix


def read_matrix(path: Path) -> Reading[sp.csr_matrix | None]:
    """One sparse matrix, ``.npz`` or text."""
    return (yield from (read_sparse_npz(path) if path.suffix == ".npz" else read_sparse_text(path)))


def read_filter(path: Path, n_rows: int | None, n_labels: int | None) -> Reading[np.ndarray]:
    """``row label`` pairs as int64 (F, 2), both from 0; no pairs where there is no file."""
    pairs: list[tuple[int, int]] = []
    for number, line in lines(path) if path.exists() else ():
        if isinstance(line, Problem):
            yield line
            continue
        parts = line.split()
        if len(parts) != 2 or not all(re.fullmatch(r"-?[0-9]{1,18}", part) for part in parts):
            yield Problem(path, f"found {_short(line)}, expected 'row label'", line=number)
            continue
        row, label = int(parts[0]), int(parts[1])
        for name, value, limit in (("row", row, n_rows), ("label", label, n_labels)):
            if value < 0 or (limit is not None and value >= limit):
                fault = f"{name} {value} is out of range, expected {_range(limit, name + 's')}"
                yield Problem(path, fault, line=number)
        pairs.append((row, label))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def graph_files(folder: Path) -> tuple[list[str], list[Path]]:
    """Kinds of graph that a ``graphs`` folder has files of, and its files that belong to none."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    matches = {name: _GRAPH_FILE.fullmatch(name) for name in names}
    kinds = sorted({match["kind"] for match in matches.values() if match})
    return kinds, [folder / name for name, match in matches.items() if not match]


def read_graphs(folder: Path, n_train: int | None, n_labels: int | None) -> Reading[dict[str, Graph]]:
    """Every graph of the folder, by kind; entries are links, so whatever their weight they are read as 1."""
    graphs: dict[str, Graph] = {}
    for kind in graph_files(folder)[0]:
        anchor_file = yield from find_one(folder, f"{kind}.raw", TEXT)
        if anchor_file is None:
            yield Problem(folder / f"{kind}.raw.txt", f"not there, expected the anchors' texts of graph {kind!r}")
            continue
        anchors: list[str] = []
        whole = True
        for number, line in lines(anchor_file):
            if isinstance(line, Problem):
                yield line
                whole = whole and number > 0
            anchors.append("" if isinstance(line, Problem) else one_line(line))
        n_anchors = len(anchors) if whole else None
        sides: list[sp.csr_matrix | None] = []
        found = False
        for side, rows, name in (("trn", n_train, "training points"), ("lbl", n_labels, "labels")):
            path = yield from find_one(folder, f"{kind}_{side}_X_Y", MATRIX)
            found = found or path is not None
            sides.append((yield from read_links(path, rows, name, n_anchors, anchor_file)) if path else None)
        if not found:
            yield Problem(anchor_file, f"no links, expected {kind}_trn_X_Y or {kind}_lbl_X_Y (.npz, .txt, .txt.gz)")
        graphs[kind] = Graph(kind, anchors, points=sides[0], labels=sides[1])
    return graphs


def read_links(
    path: Path, n_rows: int | None, rows_are: str, n_anchors: int | None, anchor_file: Path
) -> Reading[sp.csr_matrix | None]:
    """One side of a graph, as 0/1."""
    matrix = yield from read_matrix(path)
    if matrix is None:
        return None
    if n_rows is not None and matrix.shape[0] != n_rows:
        yield Problem(path, f"{matrix.shape[0]} rows, expected {n_rows} as there are {rows_are}")
    if n_anchors is not None and matrix.shape[1] != n_anchors:
        yield Problem(path, f"{matrix.shape[1]} columns, expected {n_anchors} as {anchor_file.name} has lines")
    for row in np.unique(_rows(matrix)[matrix.data <= 0]).tolist():
        yield _at(path, row, "a link with a value of 0 or below, expected above 0")
    matrix.data[:] = 1
    return matrix


def leaked(test: Records, train: Records) -> Reading[None]:
    """A Problem for each test point whose uid is also that of a training point."""
    line_of = {uid: line for line, uid in enumerate(train.texts.uids, 1) if uid}
    for line, uid in enumerate(test.texts.uids, 1):
        if uid in line_of:
            where = f"line {line_of[uid]} of {train.path.name}"
            yield Problem(test.path, f"uid {uid!r} is a training point too ({where}), expected in one split", line=line)


def _at(path: Path, row: int, text: str) -> Problem:
    """A problem of row ``row`` (from 0) of a matrix: the text format has a header line before it."""
    return Problem(path, text, row=row + 1) if path.suffix == ".npz" else Problem(path, text, line=row + 2)


def _rows(matrix: sp.csr_matrix) -> np.ndarray:
    """The row of each stored entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _entries(matrix: sp.csr_matrix, row: int) -> str:
    span = slice(matrix.indptr[row], matrix.indptr[row + 1])
    pairs = zip(matrix.indices[span].tolist(), matrix.data[span].tolist(), strict=True)
    return _short([f"{column}:{value:.6g}" for column, value in pairs])


def _range(limit: int | None, name: str) -> str:
    if limit is None:
        return "0 or above"
    return f"0 to {limit - 1}" if limit else f"none as there are no {name}"


def _short(value: Iterable[object]) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that json has")
