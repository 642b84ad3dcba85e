"""Builds a data set from Python lists of texts and labels."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.dataset import Card, Dataset, Graph, Texts
from ramen.errors import InputError

Anchors = Sequence[Sequence[str]]


def from_lists(
    texts: Sequence[str],
    labels: Sequence[Sequence[str]],
    *,
    uids: Sequence[str] | None = None,
    label_texts: Mapping[str, str] | None = None,
    test: Sequence[bool] | float = 0.2,
    graphs: Mapping[str, Anchors] | None = None,
    label_graphs: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> Dataset:
    r"""Return a data set built from lists of texts and labels.

    Args:
        texts: one string per point, ``title\ncontent`` if there are two fields.
        labels: label names of each point.
        uids: of the points; default: row numbers.
        label_texts: label name to text; default: the name. May contain labels without points.
        test: which points are test points, or the share to hold out. The split depends only on the texts; equal texts
            stay together, and every label keeps a training point.
        graphs: for each kind, the anchor texts of each point.
        label_graphs: for each kind, label name to anchor texts.

    Raises:
        InputError: lists differ in length, a text or name is no string, the set is empty, or a label is unknown.

    Example:
        >>> ds = from_lists(["red apple", "green pear"], [["apple"], ["pear", "fruit"]], test=0.0)
        >>> len(ds.train), ds.labels.titles
        (2, ['apple', 'fruit', 'pear'])
    """
    _check(texts, labels, uids, graphs)
    names = sorted({name for row in labels for name in row} | set(label_texts or {}))
    text_of = dict(label_texts or {})
    held_out = _held_out(texts, labels, test)
    column = {name: at for at, name in enumerate(names)}
    targets = _matrix([[column[name] for name in dict.fromkeys(row)] for row in labels], len(names))
    points = _texts([str(at) for at in range(len(texts))] if uids is None else list(uids), list(texts))
    if not targets[~held_out].nnz:
        raise InputError(f"labels: found none at the {int((~held_out).sum())} training points, expected some")
    rows, test_rows = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    return Dataset(
        path=Path("lists"),
        train=points.some(rows),
        test=points.some(test_rows),
        labels=_texts(names, [text_of.get(name, name) for name in names]),
        train_targets=targets[rows],
        test_targets=targets[test_rows],
        graphs=_graphs(graphs or {}, label_graphs or {}, rows, names),
        card=Card("lists"),
    )


def _check(
    texts: Sequence[str],
    labels: Sequence[Sequence[str]],
    uids: Sequence[str] | None,
    graphs: Mapping[str, Anchors] | None,
) -> None:
    if not len(texts):
        raise InputError("texts: found none, expected some")
    sized = {"labels": labels, **({} if uids is None else {"uids": uids})}
    sized.update({f"graphs[{kind!r}]": anchors for kind, anchors in (graphs or {}).items()})
    for name, entry_lists in sized.items():
        if len(entry_lists) != len(texts):
            raise InputError(f"{name}: {len(entry_lists)} rows, expected {len(texts)} as there are texts")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"texts, row {row}: found {type(text).__name__}, expected a string")
    for name, entry_lists in sized.items():
        if name == "uids":
            continue
        for row, entries in enumerate(entry_lists):
            if isinstance(entries, str) or not all(isinstance(entry, str) and entry for entry in entries):
                raise InputError(f"{name}, row {row}: found {entries!r:.60}, expected a list of names")
    twice = [uid for uid, count in Counter(uids or ()).items() if count > 1]
    if twice:
        raise InputError(f"uids: {twice[0]!r} occurs twice, expected once")


def _held_out(texts: Sequence[str], labels: Sequence[Sequence[str]], test: Sequence[bool] | float) -> np.ndarray:
    """Return which points are test points, bool (N,)."""
    if not isinstance(test, int | float):
        if len(test) != len(texts):
            raise InputError(f"test: {len(test)} rows, expected {len(texts)} as there are texts")
        return np.array([bool(is_test) for is_test in test])
    if not 0 <= test < 1:
        raise InputError(f"test: found {test}, expected a share of 0 or more and below 1")
    alike = defaultdict(list)
    for row, text in enumerate(texts):
        alike[" ".join(text.split()).lower()].append(row)
    left = Counter(name for row in labels for name in set(row))
    held, wanted = np.zeros(len(texts), dtype=np.bool_), round(test * len(texts))
    for text in sorted(alike, key=lambda text: (zlib.crc32(text.encode()), text)):
        if held.sum() >= wanted:
            break
        taken = Counter(name for row in alike[text] for name in set(labels[row]))
        if taken and all(left[name] > count for name, count in taken.items()):
            left -= taken
            held[alike[text]] = True
    return held


def _graphs(
    graphs: Mapping[str, Anchors],
    label_graphs: Mapping[str, Mapping[str, Sequence[str]]],
    rows: np.ndarray,
    names: list[str],
) -> dict[str, Graph]:
    """Return the links of training points and labels; test points have none."""
    built = {}
    for kind in sorted({*graphs, *label_graphs}):
        of_points = [graphs[kind][row] for row in rows] if kind in graphs else None
        of_names = label_graphs.get(kind)
        unknown = sorted(set(of_names or {}) - set(names))
        if unknown:
            raise InputError(f"label_graphs[{kind!r}]: no label is called {unknown[0]!r}")
        of_labels = None if of_names is None else [of_names.get(name, ()) for name in names]
        anchors = sorted({anchor for links in (of_points, of_labels) for row in links or () for anchor in row})
        column = {anchor: at for at, anchor in enumerate(anchors)}
        matrices = [
            None if links is None else _matrix([[column[a] for a in dict.fromkeys(row)] for row in links], len(anchors))
            for links in (of_points, of_labels)
        ]
        if anchors:
            built[kind] = Graph(kind, anchors, *matrices)
    return built


def _matrix(rows: list[list[int]], n_columns: int) -> sp.csr_matrix:
    lengths = np.cumsum([0, *map(len, rows)])
    columns = np.array([column for row in rows for column in row], dtype=np.int64)
    matrix = sp.csr_matrix((np.ones(len(columns), np.float32), columns, lengths), shape=(len(rows), n_columns))
    matrix.sort_indices()
    return matrix


def _texts(uids: list[str], texts: list[str]) -> Texts:
    parts = [text.partition("\n") for text in texts]
    return Texts(
        uids, [title.strip() for title, _, _ in parts], [" ".join(content.split("\n")) for _, _, content in parts]
    )
