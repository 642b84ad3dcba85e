"""Reads rows of JSON Lines, CSV, TSV and Parquet files by column name."""

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
        path: ``.jsonl`` (``.ndjson``, ``.json``: one object per line), ``.csv`` or ``.tsv`` with a header line, each
            optionally ``.gz``, or ``.parquet``.
        separator: of list entries within a cell of a CSV or TSV file.

    Attributes:
        rows: one dictionary per row.

    Raises:
        InputError: the file is missing, of another kind or broken, or Parquet and pyarrow is not installed.

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
        r"""Return the text of each row; several columns (``title,content``) are joined by a newline."""
        names = self.columns_of(columns)
        texts = []
        for number, row in enumerate(self.rows, 1):
            parts = []
            for name in names:
                value = row.get(name)
                if value is not None and not isinstance(value, str | int | float):
                    raise InputError(f"{self.path}, row {number}: {name} is {value!r:.40}, expected a text")
                parts.append("" if value is None else " ".join(str(value).split()))
            texts.append("\n".join(part for part in parts if part))
        return texts

    def lists(self, column: str) -> list[list[str]]:
        """Return the list in one cell of each row."""
        (name,) = self.columns_of(column)
        lists = []
        for number, row in enumerate(self.rows, 1):
            value = row.get(name)
            if self.flat or isinstance(value, str | int):
                value = [] if value is None else str(value).split(self.separator)
            value = [] if value is None else value
            if not isinstance(value, list) or not all(isinstance(entry, str | int) for entry in value):
                raise InputError(f"{self.path}, row {number}: {name} is {value!r:.40}, expected a list of names")
            entries = [" ".join(str(entry).split()) for entry in value]
            lists.append([entry for entry in entries if entry])
        return lists

    def columns_of(self, columns: str) -> list[str]:
        """Return the column names in ``a,b``; raise if no row has one of them."""
        available = {name: None for row in self.rows for name in row}
        names = [name.strip() for name in columns.split(",")]
        for name in names:
            if name not in available:
                raise InputError(f"{self.path}: no column {name!r}: {nearest(name, available)}")
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
