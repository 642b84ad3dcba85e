"""A table of the user: its columns as texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ramen.data.delimited import Format
from ramen.data.rows import read_rows
from ramen.data.values import as_text
from ramen.errors import InputError, nearest
from ramen.text import composed


def silent(line: str) -> None:
    """Report nothing."""


class Table:
    """One file of rows.

    Args:
        path: ``.jsonl`` (``.ndjson``, ``.json``: one object per line, or one array of objects), ``.csv`` or ``.tsv``,
            each optionally ``.gz``, or ``.parquet``.
        form: of files of text.
        report: called with one line for each thing that was noticed rather than told.
        kind: the ending that says how to read the file; None: its own.
        content: of the file, if it has been read, as from standard input; the path is then a name for errors.

    Attributes:
        path: see above.
        names: of the columns.
        n_rows: number of rows, at least 1.

    Raises:
        InputError: the file is missing, of another kind or broken, or Parquet and pyarrow is not installed.

    Example:
        ``Table(Path("articles.csv")).texts("title,body")``
    """

    def __init__(
        self,
        path: Path,
        form: Format | None = None,
        report: Callable[[str], None] = silent,
        *,
        kind: str | None = None,
        content: bytes | None = None,
    ) -> None:
        self.path = path
        self._rows = read_rows(path, form or Format(), report, kind, content)
        self._names = {composed(name): name for name in self._rows.names if name}
        self.names = list(self._names)
        self.n_rows = self._rows.n_rows

    def texts(self, columns: str) -> list[str]:
        r"""Return the text of each row; several columns (``title,content``) are joined by a newline."""
        parts = [self._texts(name) for name in self.columns_of(columns)]
        if len(parts) == 1:
            return parts[0]
        return ["\n".join(filter(None, row)) for row in zip(*parts, strict=True)]

    def column(self, name: str) -> list[Any]:
        """Return the values of a column as the file has them."""
        return self._rows.column(self._names[name])

    def columns_of(self, columns: str) -> list[str]:
        """Return the column names in ``a,b``, or the one called ``a,b``; raise if no row has one of them."""
        whole = composed(columns.strip())
        names = [whole] if whole in self._names else [name.strip() for name in whole.split(",")]
        for name in names:
            if name not in self._names:
                raise InputError(f"{self.path}: no column {name!r}: {nearest(name, self._names)}")
            if names.count(name) > 1:
                raise InputError(f"{self.path}: column {name!r} is named twice in {columns!r}, expected once")
        return names

    def _texts(self, name: str) -> list[str]:
        texts = []
        for row, value in enumerate(self.column(name), 1):
            if type(value) is not str or not value.isascii():
                value = as_text(value, f"{self.path}, row {row}, column {name!r}")
            texts.append(" ".join(value.split()))
        return texts
