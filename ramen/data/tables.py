"""A table of the user: its columns as texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ramen.data.delimited import Format
from ramen.data.rows import FLAT, kind_of, read_rows
from ramen.data.values import as_name, as_text
from ramen.errors import InputError, nearest
from ramen.text import composed

MISSING = (
    "nan",
    "NaN",
    "<NA>",
)  # what pandas' astype(str) makes of a missing value; to_csv alone leaves the cell empty
UNCLEAR = ("None", "NULL", "null", "NA", "N/A")  # may be names, as NA of Namibia
_WORDS = frozenset((*MISSING, *UNCLEAR))


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
        self.names = [name for name in self._rows.names if name]
        self._known = frozenset(self.names)
        self.n_rows = self._rows.n_rows
        self._is_flat = (kind or kind_of(path)) in FLAT
        self._report, self._reported = report, set[str]()

    def texts(self, columns: str) -> list[str]:
        r"""Return the text of each row; several columns (``title,content``) are joined by a newline."""
        parts = [self._texts(name) for name in self.columns_of(columns)]
        if len(parts) == 1:
            return parts[0]
        return ["\n".join(filter(None, row)) for row in zip(*parts, strict=True)]

    def column(self, name: str) -> list[Any]:
        """Return the values of a column as the file has them."""
        return self._rows.column(name)

    def cells(self, name: str, read_as: str = "a text") -> list[Any]:
        """Return the values of a column, of CSV and TSV "" for ``nan`` and ``<NA>``, and report such words.

        Args:
            name: of the column.
            read_as: what a word such as ``None`` is taken for.
        """
        values = self.column(name)
        counts = Counter(value for value in values if type(value) is str and value in _WORDS)
        for word, count in counts.items():
            hold = f"column {name!r}: {count:,} {'cells hold' if count > 1 else 'cell holds'} {word!r}"
            if self._is_flat and word in MISSING:
                self._say(f"{hold}, read as an empty cell")
            else:
                self._say(f"{hold}, read as {read_as}; leave a cell empty if it means none")
        return [("" if value in MISSING else value) for value in values] if self._is_flat and counts else values

    def uids(self, name: str) -> list[str]:
        """Return the name of each row, "" for none."""
        columns = self.columns_of(name)
        if len(columns) > 1:
            raise InputError(f"{self.path}: found {len(columns)} columns in {name!r}, expected one with names")
        values = self.cells(columns[0], "a name")
        return [as_name(value, f"{self.path}, row {row}, column {name!r}") for row, value in enumerate(values, 1)]

    def _say(self, line: str) -> None:
        if line not in self._reported:  # a column may be read twice
            self._reported.add(line)
            self._report(f"{self.path}, {line}")

    def columns_of(self, columns: str) -> list[str]:
        """Return the column names in ``a,b``, or the one called ``a,b``; raise if no row has one of them."""
        whole = composed(columns.strip())
        names = [whole] if whole in self._known else [name.strip() for name in whole.split(",")]
        for name in names:
            if name not in self._known:
                raise InputError(f"{self.path}: no column {name!r}: {nearest(name, self.names)}")
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise InputError(f"{self.path}: column {twice[0]!r} is named twice in {columns!r}, expected once")
        return names

    def _texts(self, name: str) -> list[str]:
        texts = []
        for row, value in enumerate(self.cells(name), 1):
            if type(value) is not str or not value.isascii():
                value = as_text(value, f"{self.path}, row {row}, column {name!r}")
            texts.append(" ".join(value.split()))
        return texts
