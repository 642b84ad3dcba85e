"""Reads rows of CSV and TSV: every fault by its line."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from ramen.errors import InputError
from ramen.text import composed

TAB = "\t"


@dataclass(frozen=True)
class Format:
    """How files of text are written.

    Attributes:
        delimiter: between the cells of CSV and TSV; None: a tab in TSV, a comma in CSV unless its first line has none
            but semicolons or tabs.
        quote: whether cells of TSV may stand in quotes, as those of CSV always may.
        header: whether the first line of CSV and TSV has names; else columns are called 1, 2, 3 ...
        encoding: of text.
    """

    delimiter: str | None = None
    quote: bool = False
    header: bool = True
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if self.delimiter in ("\\t", "tab"):
            object.__setattr__(self, "delimiter", TAB)
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n \ufeff'):
            raise InputError(f"--delimiter: found {self.delimiter!r}, expected one character such as ';' or '\\t'")


@dataclass(frozen=True)
class Rows:
    """Rows of a file.

    Attributes:
        names: of the columns.
        n_rows: number of rows.
        column: returns the values of a column by its name.
    """

    names: list[str]
    n_rows: int
    column: Callable[[str], list[Any]]


def read_delimited(path: Path, lines: Iterator[str], form: Format, kind: str, report: Callable[[str], None]) -> Rows:
    """Return the rows of CSV or TSV.

    Args:
        path: for errors.
        lines: with their ends.
        form: see there.
        kind: ``.csv`` or ``.tsv``.
        report: called with one line for each thing that was noticed rather than told.

    Raises:
        InputError: a quote is not closed, a row has another number of cells, or two columns have one name.
    """
    blank = []
    first = next(lines, "")
    while first and not first.strip():
        blank.append(first)
        first = next(lines, "")
    delimiter = form.delimiter or (TAB if kind == ".tsv" else _noticed(path, first, report))
    quotes = form.quote or kind == ".csv"
    rows = _records(path, chain(blank, [first] if first else [], lines), delimiter, quotes)
    line, head = next(rows, (0, []))
    table = [] if form.header else [head] * bool(head)
    for number, row in rows:
        if len(row) != len(head):
            raise InputError(
                f"{path}, line {number}: {len(row)} cells, expected {len(head)} as in line {line}" + _hint(row, quotes)
            )
        table.append(row)
    if not quotes:
        _note_quotes(path, table, report)
    names = [composed(name.strip()) for name in head] if form.header else _numbers(len(head))
    for name in filter(None, names):
        if names.count(name) > 1:
            raise InputError(f"{path}, line {line}: two columns are called {name!r}, expected one")
    at = {name: column for column, name in enumerate(names)}
    return Rows(names, len(table), lambda name: [row[at[name]] for row in table])


def _numbers(width: int) -> list[str]:
    return [str(number) for number in range(1, width + 1)]


def _noticed(path: Path, first: str, report: Callable[[str], None]) -> str:
    for delimiter, name in ((",", ""), (";", "';'"), (TAB, "a tab")):
        if delimiter in first:
            if name:
                report(f"{path}: cells are separated by {name}; --delimiter says otherwise")
            return delimiter
    return ","


def _records(path: Path, lines: Iterator[str], delimiter: str, quotes: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line and the cells of each row that is not blank."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    record: list[str] = []  # the lines of this row

    def noted() -> Iterator[str]:
        for line in lines:
            record.append(line)
            yield line

    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(noted(), delimiter=delimiter, strict=True, quoting=quoting)
    try:
        for row in reader:
            if row:
                yield reader.line_num - len(record) + 1, row
            record.clear()
    except csv.Error as error:
        start = reader.line_num - len(record) + 1
        raise InputError(_fault(path, record, start, delimiter, error)) from error


def _fault(path: Path, record: list[str], start: int, delimiter: str, error: csv.Error) -> str:
    text = "".join(record)
    opened = _bad_quote(text, delimiter)
    if opened is None:
        return f"{path}, line {start}: {error}"
    at, closed = opened
    line, seen = start - 1, 0
    while seen <= at:
        seen += len(record[line - start + 1])
        line += 1
    end = f"closes within the cell: {text[max(at, closed - 15) : closed + 5]!r}" if closed >= 0 else "is never closed"
    escape = '; \\" does not keep a quote' if '\\"' in text[at:] else ""
    return f'{path}, line {line}: the quote that opens a cell {end}, expected quotes within it doubled (""){escape}'


def _bad_quote(text: str, delimiter: str) -> tuple[int, int] | None:
    """Return where the quote of the faulty cell opens and where it closes, -1 if nowhere."""
    at = 0
    while at < len(text):
        if text[at] == '"':
            end = text.find('"', at + 1)
            while end >= 0 and text[end + 1 : end + 2] == '"':
                end = text.find('"', end + 2)
            if end < 0 or text[end + 1 : end + 2] not in (delimiter, "\r", "\n", ""):
                return at, end
            at = end + 2
        else:
            next_cell = text.find(delimiter, at)
            at = len(text) if next_cell < 0 else next_cell + 1
    return None


def _hint(row: list[str], quotes: bool) -> str:
    if quotes:
        return f"; its quoted cell {max(row, key=len)[:40]!r} goes on over lines" if "\n" in "".join(row) else ""
    return "; --quote if cells stand in quotes" if '"' in "".join(row) else ""


def _note_quotes(path: Path, rows: list[list[str]], report: Callable[[str], None]) -> None:
    quoted = sum(any(cell[:1] == '"' == cell[-1:] and len(cell) > 1 for cell in row) for row in rows)
    if quoted:
        report(f"{path}: {quoted:,} rows have a cell in quotes, which stay in the text; --quote takes them off")
