"""Texts to tag, each with its place: arguments, lines of standard input, rows of a table."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ramen.cli.console import say
from ramen.errors import InputError

if TYPE_CHECKING:
    from ramen.data.tables import Table

STDIN = Path("-")


class Entry(NamedTuple):
    """An input text with its origin, its error ("" for none) and its name, if it has one."""

    where: str
    text: str
    problem: str
    uid: str | None = None


def arguments(texts: Iterable[str], tab: bool = False) -> Iterator[Entry]:
    """Yield arguments; with ``tab`` the first tab ends the title."""
    for number, text in enumerate(texts, start=1):
        # Bytes of an argument that are not UTF-8 arrive as lone surrogates.
        yield _entry(text.encode("utf-8", "surrogateescape"), f"text {number}", tab)


def lines(stream: Iterable[bytes], tab: bool = False) -> Iterator[Entry]:
    """Yield lines of standard input as they arrive; with ``tab`` the first tab ends the title."""
    for number, line in enumerate(stream, start=1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        yield _entry(line.rstrip(b"\r\n"), f"stdin, line {number}", tab)


def open_table(file: Path, kind: str | None, delimiter: str | None, quote: bool, header: bool, encoding: str) -> Table:
    """Read a table, whole: JSON arrays and Parquet have no rows to stream.

    Args:
        file: a table, or "-" for standard input.
        kind: csv, tsv or jsonl; None: by the file's ending.
        delimiter: between cells; None: noticed.
        quote: whether cells of TSV may stand in quotes.
        header: whether the first line has names.
        encoding: of text.

    Raises:
        InputError: standard input without a kind, or the table cannot be read.
    """
    from ramen.data.delimited import Format  # only here: texts and lines load no reader of tables
    from ramen.data.tables import Table

    form = Format(delimiter, quote, header, encoding)
    ending = None if kind is None else f".{kind}"
    if file != STDIN:
        return Table(file, form, say, kind=ending)
    if ending is None:
        raise InputError("--file -: expected --format csv, tsv or jsonl, to read standard input as a table")
    return Table(Path("stdin"), form, say, kind=ending, content=sys.stdin.buffer.read())


def rows(table: Table, columns: str | None, uid: str | None) -> Iterator[Entry]:
    """Return the rows of a table; one that cannot be read is an entry with a problem.

    Args:
        table: with its path for the places.
        columns: of the text; None for the column ``text``.
        uid: column of the name, or None.

    Raises:
        InputError: there is no such column.
    """
    if columns is None and "text" not in table.names:
        raise InputError(f"{table.path}: no column 'text', name one with --text: {', '.join(table.names) or 'none'}")
    names = table.columns_of(columns or "text")
    of_uid = [] if uid is None else table.columns_of(uid)
    if len(of_uid) > 1:
        raise InputError(f"--uid {uid}: found {len(of_uid)} columns, expected one")
    cells = [*map(table.column, of_uid), *map(table.cells, names)]
    return (
        _row(f"{table.path}, row {number}", of_uid, names, row)
        for number, row in enumerate(zip(*cells, strict=True), 1)
    )


def _row(where: str, of_uid: list[str], names: list[str], row: tuple[Any, ...]) -> Entry:
    from ramen.data.values import as_name, as_text

    read, problems = [], []
    for at, (name, cell) in enumerate(zip((*of_uid, *names), row, strict=True)):
        try:
            read.append((as_text if at < len(of_uid) else as_name)(cell, f"column {name!r}"))
        except InputError as error:
            read.append("")
            problems.append(str(error))
        else:
            if at < len(of_uid) and isinstance(cell, str):
                read[at] = cell  # as the file has it, so that answers join back
    uid = read.pop(0) if of_uid else None
    text = "\n".join(filter(None, read))
    if not text:
        problems.append("blank, expected a text")
    return Entry(where, text, problems[0] if problems else "", uid)


def _entry(raw: bytes, where: str, tab: bool) -> Entry:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return Entry(where, raw.decode("utf-8", "replace"), f"byte {error.start + 1} is not UTF-8")
    if tab:
        text = "\n".join(part for part in text.split("\t", 1) if part.strip())
    return Entry(where, text, "" if text.strip() else "blank, expected a text")
