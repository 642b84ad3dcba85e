"""Reads rows of CSV and TSV: every fault by its line."""

from __future__ import annotations

import codecs
import csv
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from ramen.errors import InputError
from ramen.text import composed

TAB = "\t"
_OF_EXCEL = re.compile(r"""["']?sep=(.)["']?\s*""", re.I)  # a first line that names the delimiter


@dataclass(frozen=True)
class Format:
    """How files of text are written.

    Attributes:
        delimiter: between the cells of CSV and TSV; None: a tab in TSV; in CSV what a first line ``sep=;`` says,
            else a comma unless the first line has none but semicolons, tabs or bars.
        quote: whether cells of TSV may stand in quotes, as those of CSV always may.
        header: whether the first line of CSV and TSV has names; else columns are called 1, 2, 3 ...
        encoding: of text; ``utf-8`` however it was spelled.
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
        try:
            if codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig"):
                object.__setattr__(self, "encoding", "utf-8")
        except (LookupError, ValueError):
            pass  # the reader names it


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


def column_names(names: Iterable[str], where: str) -> list[str]:
    """Return names of columns in NFC without spaces around them.

    Args:
        names: as the file has them; blank ones may recur.
        where: the place, for the error.

    Raises:
        InputError: two columns have one name.

    Example:
        >>> column_names([" text", "tags", ""], "a.csv")
        ['text', 'tags', '']
    """
    clean = [composed(name).strip() for name in names]
    twice = [name for name, count in Counter(clean).items() if name and count > 1]
    if twice:
        raise InputError(f"{where}: two columns are called {twice[0]!r}, expected one")
    return clean


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
    lines, delimiter, skipped = _delimited(path, lines, form, kind, report)
    quotes = form.quote or kind == ".csv"
    line, head = 0, list[str]()
    table, long = list[list[str]](), list[int]()
    n_blank = 0  # blank lines since the last row
    for number, n_lines, row in _records(path, lines, delimiter, quotes, skipped):
        if not row:
            n_blank += 1
            continue
        if len(head) == 1:  # else a blank line is no row; at the end of the file it is none in any case
            table += [[""]] * n_blank
        if not head:
            line, head = number, row
            table = [] if form.header else [[""]] * (n_blank if len(head) == 1 else 0) + [head]
        elif len(row) == len(head):
            table.append(row)
        else:
            expected = f"expected {len(head)} as in line {line}{_hint(row, quotes)}"
            raise InputError(f"{path}, line {number}: {len(row)} cells, {expected}")
        n_blank = 0
        if n_lines > 1 and not (form.header and number == line):
            long.append(number)
    if quotes:
        _note_long(path, long, report)
    else:
        _note_quotes(path, table, report)
    names = column_names(head, f"{path}, line {line}") if form.header else _numbers(len(head))
    at = {name: column for column, name in enumerate(names)}
    return Rows(names, len(table), lambda name: [row[at[name]] for row in table])


def _delimited(
    path: Path, lines: Iterator[str], form: Format, kind: str, report: Callable[[str], None]
) -> tuple[Iterator[str], str, int]:
    """Return the lines of rows, what is between their cells, and how many lines stand before them."""
    blank = []
    first = next(lines, "")
    of_excel = _OF_EXCEL.fullmatch(first) if kind == ".csv" else None
    if of_excel:
        return lines, form.delimiter or of_excel[1], 1
    while first and not first.strip():
        blank.append(first)
        first = next(lines, "")
    delimiter = form.delimiter or (TAB if kind == ".tsv" else _noticed(path, first, report))
    return chain(blank, [first] if first else [], lines), delimiter, 0


def _numbers(width: int) -> list[str]:
    return [str(number) for number in range(1, width + 1)]


def _noticed(path: Path, first: str, report: Callable[[str], None]) -> str:
    for delimiter, name in ((",", ""), (";", "';'"), (TAB, "a tab"), ("|", "'|'")):
        if delimiter in first:
            if name:
                report(f"{path}: cells are separated by {name}; --delimiter says otherwise")
            return delimiter
    return ","


def _records(
    path: Path, lines: Iterator[str], delimiter: str, quotes: bool, skipped: int
) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the number of the first line, how many there are, and the cells of each row; none for a blank line."""
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
            yield skipped + reader.line_num - len(record) + 1, len(record), row
            record.clear()
    except csv.Error as error:
        start = skipped + reader.line_num - len(record) + 1
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


def _note_long(path: Path, long: list[int], report: Callable[[str], None]) -> None:
    """Say which rows go over lines: a quote that opens a cell by mistake makes one of several rows."""
    if long:
        rows = f"{len(long):,} rows have" if len(long) > 1 else "1 row has"
        report(f"{path}: {rows} a cell over several lines, the first in line {long[0]}")


def _note_quotes(path: Path, rows: list[list[str]], report: Callable[[str], None]) -> None:
    quoted = sum(any(cell[:1] == '"' == cell[-1:] and len(cell) > 1 for cell in row) for row in rows)
    if quoted:
        report(f"{path}: {quoted:,} rows have a cell in quotes, which stay in the text; --quote takes them off")
