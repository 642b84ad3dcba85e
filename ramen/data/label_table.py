"""Reads labels to add, with descriptions and examples, from a table of the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ramen.data.label_texts import named
from ramen.data.separators import is_literal, literal, split_at
from ramen.data.tables import Table, silent
from ramen.data.values import as_text
from ramen.errors import InputError
from ramen.sequences import as_list, is_missing

_UIDS, _TEXTS, _EXAMPLES = ("uid", "label", "name"), ("text", "description"), ("examples",)


def read_label_table(
    table: Table,
    uid: str | None = None,
    text: str | None = None,
    examples: str | None = None,
    separator: str | None = None,
    keep_names: bool | None = None,
    report: Callable[[str], None] = silent,
) -> list[dict[str, Any]]:
    r"""Return labels as :func:`ramen.inference.labels.add_labels` takes them.

    Args:
        table: a label per row.
        uid: column of the name; None: ``uid``, ``label`` or ``name``.
        text: column of the text or description, several as in ``title,body``; None: ``text`` or ``description``, if
            there is one. A label without a text has its name as text.
        examples: columns of texts that have the label; None: ``examples``, if there is one. A cell is a list such as
            ``["a text", "another"]``, or one text.
        separator: between the texts of a cell.
        keep_names: see :func:`ramen.from_lists`.
        report: called with one line that says which columns were read.

    Raises:
        InputError: there is no such column, a label has no name or occurs twice, or a list is broken.

    Example:
        ``read_label_table(Table(Path("new.csv")))[0]`` is ``{"uid": "B07", "text": "solar charger", "examples": []}``.
    """
    if separator == "":
        raise InputError("--separator: found none, expected one such as ';'")
    names = table.uids(uid or _found(table, _UIDS, "the name of the label: --uid"))
    text, examples = text or _first(table, _TEXTS), examples or _first(table, _EXAMPLES)
    report(f"{table.path}: text: {text or 'the name'}; examples: {examples or 'none'}")
    rows: dict[str, int] = {}
    for row, name in enumerate(names, 1):
        if not name:
            raise InputError(f"{table.path}, row {row}: the label has no name, expected one")
        if rows.setdefault(name, row) != row:
            raise InputError(f"{table.path}, row {row}: label {name!r} occurs twice, first in row {rows[name]}")
    about = table.texts(text) if text else [""] * len(names)
    texts = named({name: one or None for name, one in zip(names, about, strict=True)}, keep_names)
    of_rows: list[list[str]] = [[] for _ in names]
    for column in table.columns_of(examples) if examples else []:
        for row, cell in enumerate(table.cells(column), 1):
            of_rows[row - 1] += _texts_in(cell, separator, f"{table.path}, row {row}, column {column!r}")
    return [{"uid": name, "text": texts[name], "examples": of_row} for name, of_row in zip(names, of_rows, strict=True)]


def _first(table: Table, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in table.names), None)


def _found(table: Table, names: tuple[str, ...], what: str) -> str:
    name = _first(table, names)
    if name is None:
        columns = ", ".join(table.names) or "none"
        raise InputError(f"{table.path}: found the columns {columns}, expected one called {' or '.join(names)}, {what}")
    return name


def _texts_in(cell: Any, separator: str | None, where: str) -> list[str]:  # noqa: ANN401
    """Return the texts of a cell, without empty ones."""
    if is_missing(cell):
        return []
    entries = [cell]
    if not isinstance(cell, str):
        entries = as_list(cell, where) if hasattr(cell, "__len__") else entries
    elif separator is not None:
        entries = split_at(cell, "\n" if separator == "\\n" else separator)
    elif is_literal(cell.strip()):
        try:
            entries = literal(cell.strip())
        except ValueError as error:
            raise InputError(f"{where}: not a list of texts: {error}") from error
    return [text for entry in entries if not is_missing(entry) and (text := as_text(entry, where).strip())]
