"""Rows of JSON Lines, CSV, TSV and Parquet files, by the names of their columns."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ramen.errors import InputError, nearest

KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")


class Table:
    """One file of rows.

    Args:
        path: ``.jsonl`` (``.ndjson``, ``.json``: an object a line), ``.csv``, ``.tsv`` with names in the first line,
            each perhaps ``.gz``, or ``.parquet``.
        separator: between the entries of a list in one cell of a CSV or TSV file.

    Attributes:
        rows: one dictionary a row.

    Raises:
        InputError: no such file, another kind, a broken line, or a Parquet file without pyarrow.

    Example:
        ``Table(Path("articles.csv")).lists("tags")``
    """

    def __init__(self, path: Path, separator: str = ";") -> None:
        self.path, self.separator = path, separator
        kind = Path(path.name.removesuffix(".gz")).suffix.lower()
        if kind not in KINDS:
            raise InputError(f"{path}: found the ending {kind or 'none'}, expected one of {', '.join(KINDS)}")
        if not path.is_file():
            raise InputError(f"{path}: {'is no file' if path.exists() else 'no such file'}")
        self.flat = kind in (".csv", ".tsv")
        try:
            if kind == ".parquet":
                self.rows = _parquet(path)
            else:
                with io.TextIOWrapper(_opened(path), encoding="utf-8-sig", newline="") as stream:
                    self.rows = list(_delimited(path, stream, kind) if self.flat else _objects(path, stream))
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error
        if not self.rows:
            raise InputError(f"{path}: expected rows, found none")

    def texts(self, columns: str) -> list[str]:
        r"""The text of each row; of two columns (``title,content``) both, with a newline between."""
        names = self.known(columns)
        found = []
        for number, row in enumerate(self.rows, 1):
            parts = []
            for name in names:
                value = row.get(name)
                if value is not None and not isinstance(value, str | int | float):
                    raise InputError(f"{self.path}, row {number}: {name} is {value!r:.40}, expected a text")
                parts.append("" if value is None else " ".join(str(value).split()))
            found.append("\n".join(part for part in parts if part))
        return found

    def lists(self, column: str) -> list[list[str]]:
        """The entries of a cell with a list in each row."""
        (name,) = self.known(column)
        found = []
        for number, row in enumerate(self.rows, 1):
            value = row.get(name)
            if self.flat or isinstance(value, str | int):
                value = [] if value is None else str(value).split(self.separator)
            value = [] if value is None else value
            if not isinstance(value, list) or not all(isinstance(entry, str | int) for entry in value):
                raise InputError(f"{self.path}, row {number}: {name} is {value!r:.40}, expected a list of names")
            entries = [" ".join(str(entry).split()) for entry in value]
            found.append([entry for entry in entries if entry])
        return found

    def known(self, columns: str) -> list[str]:
        """The names in ``a,b``, each a column that some row has."""
        there = {name: None for row in self.rows for name in row}
        names = [name.strip() for name in columns.split(",")]
        for name in names:
            if name not in there:
                raise InputError(f"{self.path}: no column {name!r}: {nearest(name, there)}")
        return names


def _opened(path: Path) -> Any:  # noqa: ANN401
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _objects(path: Path, stream: io.TextIOWrapper) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: broken json ({error}), expected an object a line") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: found a json {type(row).__name__}, expected an object")
        yield row


def _delimited(path: Path, stream: io.TextIOWrapper, kind: str) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.DictReader(stream, delimiter="\t" if kind == ".tsv" else ",", strict=True)
    width = len(reader.fieldnames or ())
    for row in reader:
        cells = width + len(row.get(None) or ()) - sum(value is None for value in row.values())
        if cells != width:
            raise InputError(f"{path}, line {reader.line_num}: {cells} cells, expected {width} as in line 1")
        yield row


def _parquet(path: Path) -> list[dict[str, Any]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError:
        raise InputError(f"{path}: reading Parquet needs pyarrow: pip install 'ramen-xc[parquet]'") from None
    try:
        return read_table(path).to_pylist()
    except ArrowException as error:
        raise InputError(f"{path}: not a Parquet file: {error}") from error
