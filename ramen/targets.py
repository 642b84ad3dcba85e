"""Reads ``y`` in the forms of scikit-learn: lists of labels, one label per text, or an indicator matrix."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.data.values import as_name
from ramen.errors import InputError
from ramen.sequences import as_list, is_missing

_SETS = (set, frozenset)

NONE = "none of them"  # a label of texts without any in an indicator matrix, so that these are learned from, too


class Form(Enum):
    """A form of ``y``; the value describes it in errors."""

    LISTS = "lists of labels"
    SINGLE = "single labels"
    INDICATOR = "an indicator matrix"


@dataclass(frozen=True)
class Targets:
    """The labels of n texts.

    Attributes:
        form: of ``y``.
        names: of each text's labels, for :func:`ramen.from_lists`.
        values: ``y`` to compare predictions with: name lists, an array (n,), or an indicator, dense or CSR.
        classes: in the order of columns, None for lists of labels.
        columns: name to column, of labels that occur, -1 for ``NONE``; empty for lists of labels.
        texts: name to text, of labels whose text is not their name.
    """

    form: Form
    names: list[list[str]]
    values: Any
    classes: np.ndarray | None = None
    columns: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


def read_targets(y: Any) -> Targets:
    """Return the labels in ``y``, however it has them.

    A sparse matrix, and a table of several columns of 0 and 1, is an indicator matrix. A single column has one label
    per text, whatever its values, as in scikit-learn. Labels in lists are strings.

    Raises:
        InputError: ``y`` is None or empty, has another form or mixes two, or a label is missing.

    Example:
        >>> read_targets([["pear"], []]).form, read_targets(["pear", "apple"]).classes.tolist()
        (<Form.LISTS: 'lists of labels'>, ['apple', 'pear'])
        >>> read_targets(np.array([[0, 1], [1, 1]])).names
        [['1'], ['0', '1']]
    """
    if y is None:
        raise InputError("y: found None, but RamenClassifier requires y to be passed, but the target y is None")
    if hasattr(y, "__array__") and not hasattr(y, "__iter__"):
        y = np.asarray(y)
    if sp.issparse(y):
        return _indicator(sp.csr_array(y) if isinstance(y, sp.sparray) else sp.csr_matrix(y), None)
    shape: tuple[int, ...] = getattr(y, "shape", ())
    if len(shape) > 2:
        raise InputError(f"y: found {len(shape)} dimensions, expected 1 or 2")
    if len(shape) == 2 and shape[1] != 1:
        table = y.to_numpy() if hasattr(y, "to_numpy") else np.asarray(y)
        if not all(isinstance(value, str) for value in table.flat) or not table.size:
            return _indicator(table, getattr(y, "columns", None))
        y = list(table)  # NumPy makes a table of label lists of one length
    rows = as_list(y, "y", "labels")
    if not rows:
        raise InputError("y: found none, expected some")
    if not _holds_labels(next((row for row in rows if not is_missing(row)), None)):
        return _single(rows)
    rows = [row if isinstance(row, _SETS) or not _holds_labels(row) else as_list(row, f"y, row {at}", "labels")
            for at, row in enumerate(rows)]  # fmt: skip
    widths = {len(row) if isinstance(row, list) else 0 for row in rows}
    if len(widths) == 1 and min(widths) > 1 and all(_is_number(value) for row in rows for value in row):
        return _indicator(np.array(rows), None)
    return _lists(rows)


def _holds_labels(row: Any) -> bool:
    """Whether a row of ``y`` is a list, tuple, set, array or Series, as the cells of pandas and polars are."""
    return hasattr(row, "__len__") and hasattr(row, "__iter__") and not isinstance(row, str | bytes | Mapping)


def _shown(value: Any) -> str:
    return " ".join(repr(value).split())[:60]


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real | np.bool_)


def _lists(rows: list[Any]) -> Targets:
    names = []
    for at, row in enumerate(rows):
        where = f"y, row {at}"
        if is_missing(row):
            raise InputError(f"{where}: found {row!r}, expected a list of strings, [] for a text without labels")
        if not isinstance(row, (list, *_SETS)) or not all(isinstance(name, str) and name.strip() for name in row):
            raise InputError(f"{where}: found {_shown(row)}, expected a list of strings")
        names.append([as_name(name, where) for name in (sorted(row) if isinstance(row, _SETS) else row)])
    return Targets(Form.LISTS, names, names)


def _single(rows: list[Any]) -> Targets:
    is_text = isinstance(rows[0], str)
    for at, label in enumerate(rows):
        if is_missing(label) or (isinstance(label, str) and not label.strip()):
            raise InputError(f"y, row {at}: found {label!r}, expected a label")
        if not (isinstance(label, str) if is_text else _is_number(label)):
            raise InputError(f"y, row {at}: found {_shown(label)}, expected {'a string' if is_text else 'a number'}")
        if not is_text and not float(label).is_integer():
            raise InputError(f"y, row {at}: found {label!r}, a continuous target, expected a whole number or a string")
    values = np.array(rows)
    classes, codes = np.unique(values, return_inverse=True)
    names = [as_name(label if is_text else str(label), "y") for label in classes.tolist()]
    if not is_text and classes.dtype.kind == "f":
        names = [str(int(label)) for label in classes]
    columns = {name: column for column, name in enumerate(names)}
    for column, name in enumerate(names):
        if columns[name] != column:
            raise InputError(
                f"y: {classes[column]!s:.60} and {classes[columns[name]]!s:.60} read alike, expected names"
            )
    texts = {} if is_text else dict.fromkeys(names, "")  # a number says nothing about its label
    return Targets(Form.SINGLE, [[names[code]] for code in codes], values, classes, columns, texts)


def _indicator(table: Any, headers: Sequence[Any] | None) -> Targets:
    """Labels without a training point get no name, so nothing predicts them."""
    entries = table.data if sp.issparse(table) else table
    if table.dtype.kind not in "biuf":
        try:
            table = entries = table.astype(np.float64)
        except (TypeError, ValueError):
            raise InputError("y: found a table of other values, expected an indicator matrix of 0 and 1") from None
    wrong = entries[(entries != 0) & (entries != 1)]
    if wrong.size:
        raise InputError(f"y: found {wrong.flat[0]} in a table of several columns, expected 0 or 1")
    if not min(table.shape):
        raise InputError(f"y: found a table of shape {table.shape}, expected rows and columns")
    values = table.astype(np.int64)
    ones = sp.csr_array(values)
    ones.eliminate_zeros()
    headers = [] if headers is None else list(headers)
    named = bool(headers) and all(isinstance(header, str) and header.strip() for header in headers)
    used = np.unique(ones.indices).tolist()
    of_rows = np.split(ones.indices, ones.indptr[1:-1])
    none = {} if np.diff(ones.indptr).all() else {NONE: -1}
    return Targets(
        form=Form.INDICATOR,
        names=[[str(column) for column in np.sort(row)] if len(row) else [NONE] for row in of_rows],
        values=values,
        classes=np.arange(table.shape[1]),
        columns=none | {str(column): column for column in used},
        texts=dict.fromkeys(none, "") | {str(column): headers[column] if named else "" for column in used},
    )
