"""Builds a data set from a frame: pandas, polars, ``datasets``, Arrow, a dict of columns or a list of dicts.

None of these libraries is imported: a frame is told by what it can do.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ramen.data.dataset import Dataset
from ramen.data.lists import descriptions, from_lists, names_in, refuse_flags
from ramen.data.values import as_name, as_text
from ramen.errors import InputError, nearest
from ramen.sequences import as_list, is_missing

_FRAMES = "a frame of pandas or polars, a datasets.Dataset, a dict of columns or a list of dicts"


def from_frame(
    df: Any,
    text: str | Iterable[str],
    labels: str | Iterable[str],
    *,
    uid: str | None = None,
    separator: str | None = None,
    test: str | Iterable[bool] | float = 0.2,
    label_texts: Mapping[str, str | None] | None = None,
    graphs: Mapping[str, str] | None = None,
    label_graphs: Mapping[str, Mapping[str, Iterable[str]]] | None = None,
    keep_names: bool | None = None,
) -> Dataset:
    """Return a data set built from the columns of a frame; its index plays no part.

    Args:
        df: a frame of pandas or polars, a ``datasets.Dataset``, an Arrow table, a dict of columns or a list of dicts.
        text: a column, or several as ``["title", "body"]`` or ``"title,body"``; the first is the title. A line break
            within a column becomes a space.
        labels: one column of names: lists, strings (one name each, or several with ``separator``), or the classes of
            ``datasets``. Or a list of columns of 0 and 1, one for each label.
        uid: column with a name for each point; default: row numbers.
        separator: splits strings of names, in the columns of labels and graphs.
        test: the share to hold out, or which points are test points: a list, or a column of True and False.
        label_texts: as of :func:`from_lists`.
        graphs: for each kind, the column with the anchors of each point, read as one of labels.
        label_graphs: as of :func:`from_lists`.
        keep_names: as of :func:`from_lists`.

    Warns:
        UserWarning: as of :func:`from_lists`; ``separator`` may be missing.

    Raises:
        InputError: there is no such column, a cell is neither text nor names, or as of :func:`from_lists`.

    Example:
        >>> rows = [{"text": "red apple", "tags": "apple;fruit"}, {"text": "leek", "tags": None}]
        >>> from_frame(rows, "text", "tags", separator=";", test=0.0).labels.titles
        ['apple', 'fruit']
    """
    if separator == "":
        raise InputError("separator: found an empty string, expected one or more characters")
    frame = _Frame(df)
    texts = _joined(frame, frame.names(text, "text"))
    label_columns = frame.names(labels, "labels")
    if len(label_columns) > 1 or _is_list(labels):
        label_rows = _of_indicators(frame, label_columns)
        every = dict.fromkeys(as_name(str(column), "labels") for column in label_columns)  # also if 0 throughout
        texts_of_labels = every | descriptions(label_texts)
    else:
        label_rows = _of_names(frame, label_columns[0], separator)
        texts_of_labels = descriptions(label_texts)
    return from_lists(
        texts,
        label_rows,
        uids=None if uid is None else frame.read(uid, as_name),
        label_texts=texts_of_labels,
        test=frame.column(test) if isinstance(test, str) else test,
        graphs={kind: _of_names(frame, column, separator) for kind, column in (graphs or {}).items()},
        label_graphs=label_graphs,
        keep_names=keep_names,
    )


class _Frame:
    """Columns by name, each a list as long as the others."""

    def __init__(self, df: Any) -> None:
        self.get: Callable[[Any], Any]
        self.features: Mapping[str, Any] = {}
        kind = type(df)  # a column of pandas can have the name of a method
        if hasattr(kind, "collect"):
            raise InputError(f"df: found {type(df).__name__}, expected its rows: call collect() first")
        if isinstance(df, Mapping):
            if any(hasattr(type(split), "column_names") for split in df.values()):
                raise InputError(f"df: found the splits {', '.join(df)}, expected one, as df[{next(iter(df))!r}]")
            self.available, self.get = list(df), df.__getitem__
        elif hasattr(kind, "column_names") and hasattr(kind, "__getitem__"):  # datasets, Arrow
            df = df.with_format(None) if hasattr(kind, "with_format") else df
            self.available, self.get = list(df.column_names), df.__getitem__
            self.features = getattr(df, "features", None) or {}
        elif hasattr(df, "columns") and hasattr(df, "__getitem__"):
            self.available, self.get = list(df.columns), df.__getitem__
        else:
            rows = _mappings(df)
            self.available = list(dict.fromkeys(name for row in rows for name in row))
            self.get = lambda name: [row.get(name) for row in rows]
            self.features = getattr(df, "features", None) or {}  # a stream of datasets
        self.size: int | None = None

    def names(self, columns: Any, argument: str) -> list[Any]:
        """Return the columns named by one name, ``a,b`` or a list."""
        if isinstance(columns, str) and columns not in self.available:
            columns = [name.strip() for name in columns.split(",")]
        is_tuple = isinstance(columns, tuple) and columns not in self.available  # pandas names columns by tuples too
        names = as_list(columns, argument, "columns") if is_tuple or _is_list(columns) else [columns]
        if not names:
            raise InputError(f"{argument}: found no column, expected some")
        for name in names:
            if name not in self.available:
                raise InputError(f"{argument}: no column {name!r}: {nearest(str(name), map(str, self.available))}")
        return names

    def column(self, name: Any) -> list[Any]:
        """Return the cells of a column."""
        self.names([name], "df")
        cells = as_list(self.get(name), f"column {name!r}", "cells")
        self.size = len(cells) if self.size is None else self.size
        if len(cells) != self.size:
            raise InputError(f"column {name!r}: {len(cells)} rows, expected {self.size} as there are texts")
        return cells

    def read(self, name: Any, read: Callable[[Any, str], Any]) -> list[Any]:
        """Return ``read(cell, place)`` of each cell of a column."""
        return [read(cell, f"column {name!r}, row {row}") for row, cell in enumerate(self.column(name))]


def _is_list(columns: Any) -> bool:
    return hasattr(columns, "__iter__") and not isinstance(columns, str | tuple | Mapping)


def _mappings(df: Any) -> list[Mapping[str, Any]]:
    if isinstance(df, str | bytes) or not hasattr(df, "__iter__"):
        raise InputError(f"df: found {type(df).__name__}, expected {_FRAMES}")
    rows = list(df)
    for at, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(f"df, row {at}: found {type(row).__name__}, expected a dict, or for df {_FRAMES}")
    return rows


def _joined(frame: _Frame, columns: list[Any]) -> list[str]:
    """Return the text of each row: its columns a line each, without empty ones."""
    parts = [[" ".join(cell.split()) for cell in frame.read(name, as_text)] for name in columns]
    return ["\n".join(part for part in row if part) for row in zip(*parts, strict=True)]


def _of_indicators(frame: _Frame, columns: list[Any]) -> list[list[str]]:
    """Return the names of the columns that are 1 in each row."""

    def is_one(cell: Any, where: str) -> bool:
        if is_missing(cell):
            return False
        if isinstance(cell, str | bytes) or hasattr(cell, "__len__") or cell not in (0, 1):
            raise InputError(f"{where}: found {cell!r:.40}, expected 0 or 1 (a column of names goes without a list)")
        return bool(cell)

    flags = [frame.read(name, is_one) for name in columns]
    names = [str(name) for name in columns]
    return [[name for name, flag in zip(names, row, strict=True) if flag] for row in zip(*flags, strict=True)]


def _of_names(frame: _Frame, column: Any, separator: str | None) -> list[list[str]]:
    """Return the names in each cell of a column."""
    classes, cells = _classes(frame.features.get(column)), frame.column(column)
    if not classes:
        refuse_flags(cells, f"column {column!r}")

    def of_cell(cell: Any, where: str) -> list[str]:
        if isinstance(cell, str):
            _refuse_written_list(cell, where)
            parts = [as_name(part, where) for part in (cell.split(separator) if separator else [cell])]
            return [part for part in parts if part]
        cell = cell if is_missing(cell) or hasattr(cell, "__iter__") else [cell]
        if classes and not is_missing(cell):
            cell = [None if entry is None or entry == -1 else classes[entry] for entry in cell]  # -1: no label
        return names_in(cell, where)

    return [of_cell(cell, f"column {column!r}, row {row}") for row, cell in enumerate(cells)]


def _classes(feature: Any) -> list[str] | None:
    """Return the names of a ``ClassLabel`` of ``datasets``, or of a list of them."""
    inner = feature[0] if isinstance(feature, list) and feature else getattr(feature, "feature", feature)
    names = getattr(inner, "names", None)
    return list(names) if names else None


def _refuse_written_list(cell: str, where: str) -> None:
    """Refuse what ``to_csv`` makes of a list; as a name it would be a label of its own."""
    if not (cell.startswith("[") and cell.endswith("]")):
        return
    try:
        is_list = isinstance(ast.literal_eval(cell), list)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return
    if is_list:
        raise InputError(f"{where}: found {cell!r:.40}, a list written as text, expected a list: use ast.literal_eval")
