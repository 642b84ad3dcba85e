"""Builds a data set from Python lists of texts and labels, or whatever else holds rows."""

from __future__ import annotations

import numbers
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.data.check import lone_labels
from ramen.data.dataset import Card, Dataset, Graph, Texts
from ramen.data.label_texts import named
from ramen.data.values import as_name, as_text
from ramen.errors import InputError
from ramen.sequences import as_list, is_missing
from ramen.text import alike

Rows = Iterable[Iterable[str] | None]  # names of each point
_NO_NAMES = "expected names: from_frame takes a named column of 0 and 1 for each, RamenClassifier an indicator matrix"


def from_lists(
    texts: Iterable[str],
    labels: Rows,
    *,
    uids: Iterable[str] | None = None,
    label_texts: Mapping[str, str | None] | None = None,
    test: Iterable[bool] | float = 0.2,
    graphs: Mapping[str, Rows] | None = None,
    label_graphs: Mapping[str, Mapping[str, Iterable[str]]] | None = None,
    keep_names: bool | None = None,
) -> Dataset:
    r"""Return a data set built from lists of texts and labels.

    A list may also be a tuple, generator, NumPy array, or a column of pandas, polars or ``datasets``; it is read in
    its order, and an index plays no part. None, NaN and ``pandas.NA`` stand for an empty text or for no label. Texts
    and names are kept in NFC; numbers become strings, names have single spaces.

    Args:
        texts: one string per point, ``title\ncontent`` if there are two fields.
        labels: label names of each point.
        uids: of the points; default: row numbers.
        label_texts: label name to text, a mapping or a pandas Series indexed by name; default, and for None or NaN: the
            name. "" for a label without text, name included. May contain labels without points.
        test: which points are test points, or the share to hold out. The split depends only on the texts; equal texts
            stay together, and every label keeps a training point.
        graphs: for each kind, the anchor texts of each point.
        label_graphs: for each kind, label name to anchor texts.
        keep_names: whether a label with a text keeps its name as the title. None: if names are words rather than
            codes. A text that begins with the name stands alone.

    Warns:
        UserWarning: nearly all labels have one training point each, as if names were several names, ``"red,sweet"``.

    Raises:
        InputError: lists differ in length, a text or name is no Unicode text, the set is empty, a label is unknown, or
            labels are an indicator matrix, which has no names: :func:`from_frame` takes a column for each label.

    Example:
        >>> ds = from_lists(["red apple", "green pear"], [["apple"], ["pear", "fruit"]], test=0.0)
        >>> len(ds.train), ds.labels.titles
        (2, ['apple', 'fruit', 'pear'])
    """
    point_texts = [as_text(text, f"texts, row {row}") for row, text in enumerate(as_list(texts, "texts"))]
    if not point_texts:
        raise InputError("texts: found none, expected some")
    size = len(point_texts)
    label_rows = _name_rows(labels, "labels", size)
    links = {kind: _name_rows(rows, f"graphs[{kind!r}]", size) for kind, rows in _items(graphs, "graphs")}
    points = _texts([str(row) for row in range(size)] if uids is None else _uids(uids, size), point_texts)
    described = descriptions(label_texts)
    names = sorted({name for row in label_rows for name in row} | set(described))
    text_of = named(dict.fromkeys(names) | described, keep_names)
    held_out = _held_out(point_texts, label_rows, test)
    targets = _matrix(label_rows, names)
    if not targets[~held_out].nnz:
        raise InputError(f"labels: found none at the {int((~held_out).sum())} training points, expected some")
    rows, test_rows = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    dataset = Dataset(
        path=Path("lists"),
        train=points.some(rows),
        test=points.some(test_rows),
        labels=_texts(names, [text_of[name] for name in names]),
        train_targets=targets[rows],
        test_targets=targets[test_rows],
        graphs=_graphs(links, label_graphs, rows, names),
        card=Card("lists"),
    )
    for line in lone_labels(dataset, "from_frame(..., separator=...)"):
        warnings.warn(line, stacklevel=2)
    return dataset


def names_in(values: Any, where: str) -> list[str]:  # noqa: D417
    """Return the names in one row, each once: of a list, array, column or set, the last sorted; [] if it is missing.

    Args:
        where: the place, for the error.

    Raises:
        InputError: one string, or no names.
    """
    if is_missing(values):
        return []
    if isinstance(values, str | bytes):
        raise InputError(f"{where}: found {values!r:.60}, expected a list of names (from_frame splits by a separator)")
    if isinstance(values, set | frozenset):
        values = sorted(values, key=str)  # its own order changes from process to process
    entries = as_list(values, where, "names")
    names = [as_name(entry, where) for entry in entries]
    if not all(name or is_missing(entry) for name, entry in zip(names, entries, strict=True)):
        raise InputError(f"{where}: found {entries!r:.60}, with an empty name, expected a list of names")
    return list(dict.fromkeys(filter(None, names)))


def refuse_flags(rows: list[Any], where: str) -> None:  # noqa: D417
    """Refuse rows that all have a 0 or 1 for each of the same labels: as names, they would be labels "0" and "1".

    Args:
        where: the place, for the error.

    Raises:
        InputError: each row that is not empty has so many of 0 and 1, two or more.
    """
    width = 0
    for row in rows:
        if is_missing(row) or (hasattr(row, "__len__") and not len(row)):
            continue
        if isinstance(row, str | bytes | set | frozenset | Mapping) or not hasattr(row, "__len__"):
            return
        width = width or len(row)
        if width < 2 or len(row) != width or not all(map(_is_flag, row)):
            return
    if width:
        raise InputError(f"{where}: found {width} times 0 or 1 in each row, {_NO_NAMES}")


def _is_flag(value: Any) -> bool:
    return isinstance(value, numbers.Real | np.bool_) and value in (0, 1)


def descriptions(label_texts: Any) -> dict[str, str | None]:
    """Return label name to text of the argument of that name; None for a missing one."""
    return by_name(label_texts, "label_texts", lambda text, where: None if is_missing(text) else as_text(text, where))


def by_name(values: Any, where: str, read: Callable[[Any, str], Any]) -> dict[str, Any]:  # noqa: D417
    """Return a mapping, or a pandas Series indexed by name, with names as labels have them.

    Args:
        where: of the argument, for the error.
        read: of a value and its place, as :func:`names_in`.

    Raises:
        InputError: no mapping, an empty name, or one that occurs twice.
    """
    found: dict[str, Any] = {}
    for key, value in _items(values, where):
        name = as_name(key, where)
        if not name:
            raise InputError(f"{where}: found the name {key!r}, expected the name of a label")
        if name in found:
            raise InputError(f"{where}: label {name!r} occurs twice, expected once")
        found[name] = read(value, f"{where}[{name!r}]")
    return found


def _items(values: Any, where: str) -> list[tuple[Any, Any]]:
    if values is None:
        return []
    if not hasattr(values, "items"):
        raise InputError(f"{where}: found {type(values).__name__}, expected a mapping, as {{name: value}}")
    return list(values.items())


def _name_rows(values: Any, name: str, size: int) -> list[list[str]]:
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.dtype.kind in "OU":
        values = values.tolist()  # an array of rows of equal length
    shape: tuple[int, ...] = getattr(values, "shape", ())
    if sp.issparse(values) or (isinstance(shape, tuple) and len(shape) == 2 and shape[1] != 1):
        raise InputError(f"{name}: found a table of {shape[-1]} columns, {_NO_NAMES}")
    rows = _sized(values, name, size, "lists of names")
    refuse_flags(rows, name)
    return [names_in(row, f"{name}, row {at}") for at, row in enumerate(rows)]


def _uids(values: Any, size: int) -> list[str]:
    uids = [as_name(uid, f"uids, row {row}") for row, uid in enumerate(_sized(values, "uids", size, "names"))]
    if "" in uids:
        raise InputError(f"uids, row {uids.index('')}: found none, expected a name")
    twice = [uid for uid, count in Counter(uids).items() if count > 1]
    if twice:
        raise InputError(f"uids: {twice[0]!r} occurs twice, expected once")
    return uids


def _sized(values: Any, name: str, size: int, of: str) -> list[Any]:
    rows = as_list(values, name, of)
    if len(rows) != size:
        raise InputError(f"{name}: {len(rows)} rows, expected {size} as there are texts")
    return rows


def _held_out(texts: list[str], labels: list[list[str]], test: Iterable[bool] | float) -> np.ndarray:
    """Return which points are test points, bool (N,)."""
    if not isinstance(test, float | numbers.Real):
        mask = _sized(test, "test", len(texts), "True and False")
        wrong = [row for row, is_test in enumerate(mask) if is_missing(is_test) or is_test not in (True, False)]
        if wrong:
            raise InputError(f"test, row {wrong[0]}: found {mask[wrong[0]]!r:.40}, expected True or False")
        return np.array([bool(is_test) for is_test in mask])
    share = float(test)
    if not 0 <= share < 1:
        raise InputError(f"test: found {test}, expected a share of 0 or more and below 1")
    rows_of = defaultdict(list)
    for row, text in enumerate(texts):
        rows_of[alike(text)].append(row)
    left = Counter(name for row in labels for name in set(row))
    held, count, wanted = np.zeros(len(texts), dtype=np.bool_), 0, round(share * len(texts))
    for text in sorted(rows_of, key=lambda text: (zlib.crc32(text.encode()), text)):
        if count >= wanted:
            break
        taken = Counter(name for row in rows_of[text] for name in set(labels[row]))
        if taken and all(left[name] > times for name, times in taken.items()):
            left.subtract(taken)
            held[rows_of[text]] = True
            count += len(rows_of[text])
    return held


def _graphs(
    point_links: Mapping[str, list[list[str]]],
    label_graphs: Mapping[str, Mapping[str, Iterable[str]]] | None,
    rows: np.ndarray,
    names: list[str],
) -> dict[str, Graph]:
    """Return the links of training points and labels; test points have none."""
    label_links = {}
    for kind, values in _items(label_graphs, "label_graphs"):
        links = by_name(values, f"label_graphs[{kind!r}]", names_in)
        unknown = sorted(set(links) - set(names))
        if unknown:
            raise InputError(f"label_graphs[{kind!r}]: no label is called {unknown[0]!r}")
        label_links[kind] = [links.get(name, []) for name in names]
    built = {}
    for kind in sorted({*point_links, *label_links}):
        of_points = [point_links[kind][row] for row in rows] if kind in point_links else None
        of_labels = label_links.get(kind)
        anchors = sorted({anchor for links in (of_points, of_labels) for row in links or () for anchor in row})
        matrices = [None if links is None else _matrix(links, anchors) for links in (of_points, of_labels)]
        if anchors:
            built[kind] = Graph(kind, anchors, *matrices)
    return built


def _matrix(rows: list[list[str]], names: list[str]) -> sp.csr_matrix:
    """Return 0/1 CSR, rows x names; no name occurs twice in a row."""
    column = {name: at for at, name in enumerate(names)}
    lengths = np.cumsum([0, *map(len, rows)])
    columns = np.array([column[name] for row in rows for name in row], dtype=np.int64)
    matrix = sp.csr_matrix((np.ones(len(columns), np.float32), columns, lengths), shape=(len(rows), len(names)))
    matrix.sort_indices()
    return matrix


def _texts(uids: list[str], texts: list[str]) -> Texts:
    parts = [text.partition("\n") for text in texts]
    return Texts(
        uids, [title.strip() for title, _, _ in parts], [" ".join(content.split("\n")) for _, _, content in parts]
    )
