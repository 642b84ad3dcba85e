"""Reads the names in the cells of a column: lists, joined names, or a column of 0 and 1 for each name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain
from numbers import Real
from typing import Any

from ramen.data.separators import SEPARATORS, SPACE, are_literals, is_literal, literal, noticed, split_at
from ramen.data.tables import Table
from ramen.data.values import as_name
from ramen.errors import InputError
from ramen.sequences import is_missing

EMPTY = ("", "[]")
_OBJECT = re.compile(r"""\{\s*(?:"[^"]*"|'[^']*')\s*:""")  # of JSON, or as Python writes a dict
_WHOLE = re.compile(r"[+-]?\d+(?:\.0)?")
_FLAGS: dict[Any, bool] = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True, "": False}
_FLAGS |= {0: False, 1: True, None: False}  # as keys 0.0 and False are 0


def names_of(
    tables: Sequence[Table],
    columns: str,
    *,
    what: str,
    separator: str | None,
    report: Callable[[str], None],
    order: Sequence[str] | None = None,
) -> list[list[str]]:
    """Return the names in each row of all tables.

    Args:
        tables: which are read alike, as points and test points.
        columns: one whose cells hold names, or several of 0 and 1 which are names themselves.
        what: the names are, for messages: ``labels``, or ``graph KIND``.
        separator: of names in a text, as it was typed; None: what the texts show, else one name each.
        report: called with one line that says what was noticed.
        order: names for which lists of 0 and 1 stand.

    Raises:
        InputError: a cell holds no names.
    """
    names = tables[0].columns_of(columns)
    if len(names) > 1:
        return _flagged(tables, names)
    found = [(table, table.cells(table.columns_of(names[0])[0], "a name")) for table in tables]
    if all(isinstance(value, bool) or is_missing(value) for _, values in found for value in values):
        if any(isinstance(value, bool) for _, values in found for value in values):
            report(f"{what}: column {names[0]!r} of true and false is one name, {names[0]!r}, where it is true")
        return _flagged(tables, names)
    if separator is not None:
        separator = _typed(separator, found, names[0], report)
    split = _splitter(found, what, separator, report)
    lists = [_entries(table, names[0], values, split) for table, values in found]
    if _are_flags(lists):
        lists = [_ordered(table, names[0], rows, order, what) for table, rows in zip(tables, lists, strict=True)]
    rows = _cleaned(tables, names[0], lists)
    _report_flags(rows, names[0], what, report)
    return rows


def _typed(separator: str, found: Sequence[tuple[Table, list[Any]]], name: str, report: Callable[[str], None]) -> str:
    r"""Return a separator as it was meant, ``\n`` and ``\t`` too; report if no cell has it."""
    meant = separator.replace("\\n", "\n").replace("\\t", "\t")
    texts = [value for _, values in found for value in values if isinstance(value, str) and value]
    if texts and not any(meant in text for text in texts):
        report(f"--separator '{_shown(meant)}' occurs in no cell of {name}: each is one name")
    return meant


def _shown(mark: str) -> str:
    """Return a separator as one types it."""
    return mark.replace("\n", "\\n").replace("\t", "\\t")


def _report_flags(rows: list[list[str]], column: str, what: str, report: Callable[[str], None]) -> None:
    """Say that 0 and 1, or true and false, are names: they may have been meant as no and yes."""
    names = {name for row in rows for name in row}
    if names and ({name.lower() for name in names} <= {"true", "false"} or names <= {"0", "1"}):
        shown = " and ".join(map(repr, sorted(names)))
        report(
            f"{what}: column {column!r} of {shown}: these are the names; two or more such columns are names themselves"
        )


def read_whole(
    what: str, report: Callable[[str], None], names: list[str], *rows: list[list[str]]
) -> tuple[list[str], list[list[list[str]]]]:
    """Return names that stand for one another in several places with 1.0 as 1, if all are whole numbers.

    A table library writes whole numbers of a column with gaps so. Versions such as 1.0 and 1.5 stay as they are.

    Args:
        what: the names are, for the report.
        report: called with one line if any changes.
        names: such as those of labels.
        rows: of names, such as those of each point.
    """
    every = {*names, *(name for side in rows for row in side for name in row)}
    floats = {name: name[:-2] for name in every if name.endswith(".0")}
    if not floats or not all(map(_WHOLE.fullmatch, every - {""})):
        return names, list(rows)
    some = min(floats)
    report(f"{what}: whole numbers such as {some} are read as {some[:-2]}")
    return [floats.get(name, name) for name in names], [
        [[floats.get(name, name) for name in row] for row in side] for side in rows
    ]


def _splitter(
    found: Sequence[tuple[Table, list[Any]]], what: str, separator: str | None, report: Callable[[str], None]
) -> Callable[[str], list[Any]]:
    """Return how the texts of a column are made lists of."""
    if separator is not None:
        return lambda cell: split_at(cell, separator)
    cells = [value.strip() for _, values in found for value in values if isinstance(value, str)]
    cells = [cell for cell in cells if cell not in EMPTY]
    if are_literals(cells):
        report(f"{what}: read as lists such as {cells[0]:.60}; --separator says otherwise")
        return _parsed
    mark = noticed(cells)
    if mark is not None:
        return _noticed_splitter(mark, cells, what, report)
    held = next(((mark, cell) for mark in SEPARATORS for cell in cells if len(split_at(cell, mark)) > 1), None)
    if held is not None:
        report(f'{what}: one in each cell, such as {held[1]!r:.60}; --separator "{_shown(held[0])}" says otherwise')
    return lambda cell: [cell]


def _noticed_splitter(
    mark: str, cells: list[str], what: str, report: Callable[[str], None]
) -> Callable[[str], list[Any]]:
    """Return how cells are split at what was noticed; report it with an example."""

    def parts(cell: str) -> list[str]:
        return cell.split() if mark == SPACE else split_at(cell, mark)

    by = 'spaces before "#", which stays' if mark == SPACE else f'"{_shown(mark)}"'
    example = ""
    for cell in cells:
        names = [name.strip() for name in parts(cell) if name.strip()]
        if len(names) > 1:
            example = f", such as {names[0]!r:.40} and {names[1]!r:.40} of {cell!r:.60}"
            break
    report(f"{what}: separated by {by}{example}; --separator says otherwise")
    return parts


def _parsed(cell: str) -> list[Any]:
    if not is_literal(cell):
        raise ValueError("expected a list such as ['a', 'b'] as elsewhere in the column; see --separator")
    return literal(cell)


def _entries(table: Table, name: str, values: list[Any], split: Callable[[str], list[Any]]) -> list[list[Any]]:
    lists: list[list[Any]] = []
    for row, value in enumerate(values, 1):
        if isinstance(value, str):
            cell = value.strip()
            if cell[:1] == "{" and _OBJECT.match(cell):
                raise InputError(f"{table.path}, row {row}: {name} is {value!r:.40}, expected a list of names")
            try:
                lists.append([] if cell in EMPTY else split(cell))
            except ValueError as error:
                raise InputError(f"{table.path}, row {row}: {name} is {value!r:.40}, {error}") from error
        elif isinstance(value, list):
            lists.append(value)
        elif value is None or isinstance(value, Real):
            lists.append([value])
        else:
            raise InputError(f"{table.path}, row {row}: {name} is {value!r:.40}, expected a list of names")
    return lists


def _cleaned(tables: Sequence[Table], name: str, lists: Sequence[list[list[Any]]]) -> list[list[str]]:
    clean: dict[Any, str] = {}  # most names recur
    rows = []
    for table, entries in zip(tables, lists, strict=True):
        for row, values in enumerate(entries, 1):
            try:
                names = [clean[value] for value in values]
            except (KeyError, TypeError):
                names = [_name(table, row, name, value, values) for value in values]
                clean |= {value: each for value, each in zip(values, names, strict=True) if isinstance(value, str)}
            rows.append([each for each in names if each] if "" in names else names)
    return rows


def _name(table: Table, row: int, column: str, value: Any, values: list[Any]) -> str:
    if not (value is None or isinstance(value, str | Real)) or isinstance(value, bool):
        raise InputError(f"{table.path}, row {row}: {column} is {values!r:.40}, expected a list of names")
    return as_name(value, f"{table.path}, row {row}, column {column!r}")


def _are_flags(lists: Sequence[list[list[Any]]]) -> bool:
    """Whether each list has a 0 or 1 for each of the same names."""
    width, yes_or_no = 0, False
    for row in chain.from_iterable(lists):
        if not row or row == [None]:
            continue
        if any(type(value) not in (int, float, bool) or value not in (0, 1) for value in row):
            return False
        width = width or len(row)
        if len(row) != width:
            return False
        yes_or_no = yes_or_no or type(row[0]) is bool
    return yes_or_no or width > 1


def _ordered(table: Table, name: str, rows: list[list[Any]], order: Sequence[str] | None, what: str) -> list[list[str]]:
    row, width = next(((at, len(row)) for at, row in enumerate(rows, 1) if len(row) > 1), (1, 1))
    at = f"{table.path}, row {row}: {name} is {rows[row - 1]!r:.40}"
    if order is None or what != "labels":
        need = f"a --label-file with the {width} labels in that order" if what == "labels" else "a list of names"
        raise InputError(f"{at}: not clear which names 0 and 1 stand for, expected {need}")
    if {"0", "1"} & set(order):
        raise InputError(f"{at}: not clear whether 0 and 1 are labels of the label file or yes and no")
    if any(len(flags) not in (0, len(order)) and flags != [None] for flags in rows):
        raise InputError(f"{at}: {width} times 0 or 1, expected {len(order)} as there are labels in the label file")
    return [[label for label, flag in zip(order, flags, strict=False) if flag] for flags in rows]


def _flagged(tables: Sequence[Table], names: Sequence[str]) -> list[list[str]]:
    rows: list[list[str]] = []
    for table in tables:
        here: list[list[str]] = [[] for _ in range(table.n_rows)]
        for name in names:
            table.columns_of(name)
            for row, value in enumerate(table.cells(name)):
                key = value.strip().lower() if isinstance(value, str) else value
                flag = _FLAGS.get(key) if isinstance(key, str | int | float | None) else None
                if flag is None and key == key:  # NaN is missing
                    at = f"{table.path}, row {row + 1}, column {name!r}"
                    raise InputError(
                        f"{at}: found {value!r:.40}, expected 0, 1, true or false as in a column per label"
                    )
                if flag:
                    here[row].append(as_name(name, str(table.path)))
        rows += here
    return rows
