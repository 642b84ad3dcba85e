"""Builds a data set from tables of the user."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ramen.data.cells import names_of, read_whole
from ramen.data.check import lone_labels
from ramen.data.dataset import Dataset, Texts
from ramen.data.delimited import Format
from ramen.data.lists import from_lists
from ramen.data.rows import FLAT, kind_of
from ramen.data.tables import Table, silent
from ramen.data.values import as_name
from ramen.errors import InputError

MANY = 20_000  # names among which the nearest is not looked for: it takes milliseconds per thousand


@dataclass(frozen=True)
class Columns:
    """Column names of the tables.

    Attributes:
        text: of a point; two as in ``title,body``.
        labels: names of a point's labels; several columns (``music,wood``) are labels themselves, with 0 and 1.
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
    separator: str | None = None,
    keep_names: bool | None = None,
    form: Format | None = None,
    report: Callable[[str], None] = silent,
) -> Dataset:
    """Return a data set read from a table of points and optional tables of test points and labels.

    Args:
        file: points.
        columns: of the tables.
        test_file: test points; default: hold out the share ``test`` of the points.
        test: see :func:`from_lists`.
        label_file: labels; default: the name of a label is its text. One without a description there has its name.
        separator: of names in a text; default: what the texts of the column show.
        keep_names: see :func:`from_lists`.
        form: of files of text.
        report: called with one line for each thing that was noticed rather than told, or that is odd.

    Raises:
        InputError: a file, column, row or list is invalid.

    Example:
        ``read_own(Path("articles.csv"), Columns(text="title,body", labels="tags"))``
    """
    form = form or Format()
    if separator == "":
        raise InputError("--separator: found none, expected one such as ';'")
    if label_file is None and columns.label_graphs:
        raise InputError("--label-graph: found without --label-file, expected both")
    _check_use(form, [path for path in (file, test_file, label_file) if path is not None])
    tables = [Table(path, form, report) for path in (file, test_file) if path is not None]
    sizes = [table.n_rows for table in tables]
    read = partial(names_of, separator=separator, report=report)
    names, about, label_table = list[str](), list[str | None](), None
    if label_file is not None:
        label_table = Table(label_file, form, report)
        names = label_table.uids(columns.label_uid)
        about = [text or None for text in label_table.texts(columns.label_text)]
    labels = read(tables, columns.labels, what="labels", order=names or None)
    names, (labels,) = read_whole("labels", report, names, labels)
    label_texts = dict(zip(names, about, strict=True))
    if label_table is not None:
        _unique(label_table, names)
        _report_unknown(labels, label_texts, label_table.path, report)
    flags = [as_name(name, str(file)) for name in tables[0].columns_of(columns.labels)]
    if len(flags) > 1:
        label_texts = dict.fromkeys(flags) | label_texts  # also those that are 0 throughout
    graphs, label_graphs = _graphs(tables, label_table, columns, names, read, report)
    dataset = from_lists(
        [text for table in tables for text in table.texts(columns.text)],
        labels,
        uids=_uids(tables, columns.uid, report) if columns.uid else None,
        label_texts=label_texts,
        keep_names=keep_names,
        test=[False] * sizes[0] + [True] * sizes[1] if test_file else test,
        graphs=graphs,
        label_graphs=label_graphs,
    )
    if label_file is not None and keep_names is None:
        _report_names(dataset.labels, label_texts, report)
    for line in lone_labels(dataset):
        report(f"warning: {line}")
    return dataset


def _graphs(
    tables: list[Table], label_table: Table | None, columns: Columns, names: list[str],
    read: Callable[..., list[list[str]]], report: Callable[[str], None],
) -> tuple[dict[str, list[list[str]]], dict[str, dict[str, list[str]]]]:  # fmt: skip
    """Return by kind the anchors of each point, none for test points, and those of each label."""
    of_points, of_labels = {}, {}
    for kind in {**columns.graphs, **columns.label_graphs}:
        sides = []
        if kind in columns.graphs:
            sides.append(read(tables[:1], columns.graphs[kind], what=f"graph {kind}"))
        if kind in columns.label_graphs:
            sides.append(read([label_table], columns.label_graphs[kind], what=f"graph {kind} of labels"))
        _, sides = read_whole(f"graph {kind}", report, [], *sides)
        if kind in columns.graphs:
            of_points[kind] = sides[0] + [[] for table in tables[1:] for _ in range(table.n_rows)]
        if kind in columns.label_graphs:
            of_labels[kind] = dict(zip(names, sides[-1], strict=True))
    return of_points, of_labels


def _report_names(labels: Texts, label_texts: Mapping[str, str | None], report: Callable[[str], None]) -> None:
    """Say whether names stand beside the descriptions."""
    described = [name for name in labels.uids if label_texts.get(name) not in (None, name)]
    if not described:
        return
    of_name = dict(zip(labels.uids, labels.joined(), strict=True))
    if any(of_name[name] != label_texts[name] for name in described):
        report("label texts: the name, then the description; --no-label-names leaves the names out")
    else:
        report("label texts: the description alone; --label-names puts the names before them")


def _check_use(form: Format, paths: Sequence[Path]) -> None:
    """Raise where an option is about files of a kind that is not there."""
    kinds = [kind_of(path) for path in paths]
    for option, is_given in (
        ("--delimiter", form.delimiter is not None),
        ("--quote", form.quote),
        ("--no-header", not form.header),
    ):
        if is_given and not set(kinds) & set(FLAT):
            raise InputError(f"{option}: found {', '.join(map(str, paths))}, expected a file of .csv or .tsv")
    if form.encoding != Format.encoding and set(kinds) == {".parquet"}:
        raise InputError(f"--encoding: found {', '.join(map(str, paths))}, expected a file of text")


def _report_unknown(
    labels: Sequence[Sequence[str]], known: Collection[str], label_file: Path, report: Callable[[str], None]
) -> None:
    """Report how many labels of points the label file lacks, with the most frequent one."""
    unknown = Counter(name for row in labels for name in row if name not in known)
    if not unknown:
        return
    ((name, _),) = unknown.most_common(1)
    start = name[:2].casefold()
    options = list(known) if len(known) <= MANY else [each for each in known if each[:2].casefold() == start][:MANY]
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    nearest = f" (nearest: {close[0]!r})" if close else ""
    count = f"{len(unknown):,} of the points' labels"
    report(f"{label_file}: lacks {count}, such as {name!r}{nearest}; the text of such a label is its name")


def _uids(tables: Sequence[Table], column: str, report: Callable[[str], None]) -> list[str]:
    """Return the names of the points of all tables, each of which has its own."""
    place_of: dict[str, str] = {}
    _, (of_tables,) = read_whole(f"column {column!r}", report, [], [table.uids(column) for table in tables])
    for table, uids in zip(tables, of_tables, strict=True):
        for row, uid in enumerate(uids, 1):
            place = f"{table.path}, row {row}"
            if not uid:
                raise InputError(f"{place}: column {column!r} is empty, expected the name of the point")
            if place_of.setdefault(uid, place) != place:
                raise InputError(f"{place}: uid {uid!r} occurs twice, first in {place_of[uid]}")
    return list(place_of)


def _unique(table: Table, names: Sequence[str]) -> None:
    row_of: dict[str, int] = {}
    for row, name in enumerate(names, 1):
        if not name:
            raise InputError(f"{table.path}, row {row}: the label has no name, expected one")
        if row_of.setdefault(name, row) != row:
            raise InputError(f"{table.path}, row {row}: label {name!r} occurs twice, first in row {row_of[name]}")
