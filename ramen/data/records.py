"""Reads one json file of points or labels: texts and, for points, targets."""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import scipy.sparse as sp

from ramen.data.dataset import Texts
from ramen.data.files import Problem, Reading, lines, one_line
from ramen.data.matrices import allowed, short

_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


@dataclass
class Records:
    """Contents of one json file; targets are flat, ``lengths`` has their number per row."""

    path: Path
    texts: Texts = field(default_factory=lambda: Texts([], [], []))
    lengths: list[int] = field(default_factory=list)
    columns: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    has_targets: bool = True
    sound: bool = True  # no problem in any row
    whole: bool = True  # read to the end, so the number of rows is correct

    def targets(self, n_labels: int) -> sp.csr_matrix:
        """Return the targets as float32 CSR, rows x ``n_labels``."""
        indptr = np.concatenate([[0], np.array(self.lengths, dtype=np.int64)]).cumsum()
        columns, values = np.array(self.columns, dtype=np.int64), np.array(self.values, dtype=np.float32)
        matrix = sp.csr_matrix((values, columns, indptr), shape=(len(self.lengths), n_labels))
        matrix.sort_indices()
        return matrix


def read_records(path: Path, n_labels: int | None, *, with_targets: bool = True) -> Reading[Records]:
    """Read one json file, one object per line: uid, title, content, target_ind, target_rel.

    Args:
        path: ``{trn,tst,lbl}.json[.gz]``.
        n_labels: targets must be below it; None if the number of labels is unknown.
        with_targets: False for labels, which have no targets.
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
            except (
                ValueError,
                RecursionError,
            ) as error:  # NaN, a number with thousands of digits, or too deep
                fault = f"broken json ({error}), expected one object per line"
        uid = record["uid"] if not fault else ""
        if not fault and line_of.setdefault(uid, number) != number:
            fault = f"duplicate uid {uid!r}, already on line {line_of[uid]}"
        if fault:
            records.sound = False
            yield fault if isinstance(fault, Problem) else Problem(path, fault, line=number)
            record = {}  # a blank row keeps later row numbers correct
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
    """Return what is wrong with the texts of one record, or ""."""
    if type(record) is not dict:
        return f"found a json {type(record).__name__}, expected an object"
    for key in ("uid", "title"):
        if key not in record:
            return f"key {key!r} is missing"
    for key in ("uid", "title", "content"):
        text = record.get(key, "")
        if type(text) is not str:
            return f"{key} is {short(text)}, expected a string"
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            return f"{key} holds half a surrogate pair, which is not Unicode text"
    if not record["uid"]:
        return "uid is empty, expected a name"
    return ""


def _target_fault(record: dict[str, Any], n_labels: int | None) -> str:
    """Return what is wrong with the targets of one record, or ""."""
    limit = n_labels if n_labels is not None else 2**63
    targets = record.get("target_ind", [])
    if type(targets) is not list or not set(map(type, targets)) <= {int}:
        return f"target_ind is {short(targets)}, expected a list of whole numbers"
    if targets and (min(targets) < 0 or max(targets) >= limit):
        wrong = min(targets) if min(targets) < 0 else max(targets)
        return f"label {wrong} in target_ind is out of range, expected {allowed(n_labels, 'labels')}"
    if len(set(targets)) != len(targets):
        return f"target_ind {short(targets)} names a label twice"
    if "target_rel" not in record:
        return ""
    weights = record["target_rel"]
    if type(weights) is not list or not set(map(type, weights)) <= {int, float}:
        return f"target_rel is {short(weights)}, expected a list of numbers"
    if len(weights) != len(targets):
        return f"target_rel has {len(weights)} entries, expected {len(targets)} as target_ind"
    if not all(_SMALLEST <= weight <= _LARGEST for weight in weights):
        return f"target_rel {short(weights)}, expected finite numbers above 0 that fit a float32"
    return ""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that json has")
