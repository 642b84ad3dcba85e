"""Builds a data set from tables of the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ramen.data.dataset import Dataset
from ramen.data.lists import from_lists
from ramen.data.tables import Table
from ramen.errors import InputError


@dataclass(frozen=True)
class Columns:
    """Column names of the tables.

    Attributes:
        text: of a point; two as in ``title,body``.
        labels: names of a point's labels.
        uid: name of a point, or None.
        label_uid: name of a label, in the label file.
        label_text: of a label, in the label file.
        graphs: by kind, the column with a point's anchors.
        label_graphs: by kind, the column with a label's anchors.
    """

    text: str
    labels: str
    uid: str | None = None
    label_uid: str = "uid"
    label_text: str = "text"
    graphs: dict[str, str] = field(default_factory=dict)
    label_graphs: dict[str, str] = field(default_factory=dict)


def read_own(
    file: Path,
    columns: Columns,
    *,
    test_file: Path | None = None,
    test: float = 0.2,
    label_file: Path | None = None,
    separator: str = ";",
) -> Dataset:
    """Return a data set read from a table of points and optional tables of test points and labels.

    Args:
        file: points.
        columns: of the tables.
        test_file: test points; default: hold out the share ``test`` of the points.
        test: see :func:`from_lists`.
        label_file: labels; default: the name of a label is its text.
        separator: of lists in the cells of CSV and TSV.

    Raises:
        InputError: a file, column, row or list is invalid.

    Example:
        ``read_own(Path("articles.csv"), Columns(text="title,body", labels="tags"))``
    """
    tables = [Table(file, separator)] + ([Table(test_file, separator)] if test_file else [])
    sizes = [len(table.rows) for table in tables]
    label_texts, label_graphs = {}, {}
    if label_file is None and columns.label_graphs:
        raise InputError("--label-graph: found without --label-file, expected both")
    if label_file is not None:
        table = Table(label_file, separator)
        names = [" ".join(name.split()) for name in table.texts(columns.label_uid)]
        _unique(table, names)
        label_texts = dict(zip(names, table.texts(columns.label_text), strict=True))
        label_graphs = {
            kind: dict(zip(names, table.lists(column), strict=True)) for kind, column in columns.label_graphs.items()
        }
    return from_lists(
        [text for table in tables for text in table.texts(columns.text)],
        [row for table in tables for row in table.lists(columns.labels)],
        uids=[uid for table in tables for uid in table.texts(columns.uid)] if columns.uid else None,
        label_texts=label_texts,
        test=[False] * sizes[0] + [True] * sizes[1] if test_file else test,
        graphs={kind: tables[0].lists(at) + [[]] * sum(sizes[1:]) for kind, at in columns.graphs.items()},
        label_graphs=label_graphs,
    )


def _unique(table: Table, names: Sequence[str]) -> None:
    row_of: dict[str, int] = {}
    for row, name in enumerate(names, 1):
        if not name:
            raise InputError(f"{table.path}, row {row}: the label has no name, expected one")
        if row_of.setdefault(name, row) != row:
            raise InputError(f"{table.path}, row {row}: label {name!r} occurs twice, first in row {row_of[name]}")
