"""A data set from Python lists: texts, their labels, and what else there is."""

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
    r"""A data set to train on.

    Args:
        texts: one string a point; a short and a long field go as ``title\ncontent``.
        labels: of each point, by name.
        uids: of the points; their numbers where left out.
        label_texts: the text of a label by its name; the name itself where there is none. Labels without a point count.
        test: which points are for the test; or a share that is held out. It is taken in an order that follows from the
            texts alone; equal texts stay together, and every label keeps a training point.
        graphs: for each kind the anchors of each point, by text.
        label_graphs: for each kind the anchors of labels, by the label's name.

    Raises:
        InputError: lists of other lengths, a text or name that is no string, an empty set, a label of no point.

    Example:
        >>> ds = from_lists(["red apple", "green pear"], [["apple"], ["pear", "fruit"]], test=0.0)
        >>> len(ds.train), ds.labels.titles
        (2, ['apple', 'fruit', 'pear'])
    """
    _check(texts, labels, uids, graphs)
    names = sorted({name for row in labels for name in row} | set(label_texts or {}))
    told = dict(label_texts or {})
    held_out = _held_out(texts, labels, test)
    column = {name: at for at, name in enumerate(names)}
    targets = _matrix([[column[name] for name in dict.fromkeys(row)] for row in labels], len(names))
    points = _texts([str(at) for at in range(len(texts))] if uids is None else list(uids), list(texts))
    if not targets[~held_out].nnz:
        raise InputError(f"labels: found none at the {int((~held_out).sum())} training points, expected some")
    rows, asked = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    return Dataset(
        path=Path("lists"),
        train=_some(points, rows),
        test=_some(points, asked),
        labels=_texts(names, [told.get(name, name) for name in names]),
        train_targets=targets[rows],
        test_targets=targets[asked],
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
    for name, found in sized.items():
        if len(found) != len(texts):
            raise InputError(f"{name}: {len(found)} rows, expected {len(texts)} as there are texts")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"texts, row {row}: found {type(text).__name__}, expected a string")
    for name, found in sized.items():
        if name == "uids":
            continue
        for row, entries in enumerate(found):
            if isinstance(entries, str) or not all(isinstance(entry, str) and entry for entry in entries):
                raise InputError(f"{name}, row {row}: found {entries!r:.60}, expected a list of names")
    twice = [uid for uid, count in Counter(uids or ()).items() if count > 1]
    if twice:
        raise InputError(f"uids: {twice[0]!r} is there twice, expected once")


def _held_out(texts: Sequence[str], labels: Sequence[Sequence[str]], test: Sequence[bool] | float) -> np.ndarray:
    """Which points are for the test, bool (N,)."""
    if not isinstance(test, int | float):
        if len(test) != len(texts):
            raise InputError(f"test: {len(test)} rows, expected {len(texts)} as there are texts")
        return np.array([bool(asked) for asked in test])
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
    """Links of training points and labels; test points never have any."""
    found = {}
    for kind in sorted({*graphs, *label_graphs}):
        of_points = [graphs[kind][row] for row in rows] if kind in graphs else None
        of_names = label_graphs.get(kind)
        unknown = sorted(set(of_names or {}) - set(names))
        if unknown:
            raise InputError(f"label_graphs[{kind!r}]: no label is called {unknown[0]!r}")
        of_labels = None if of_names is None else [of_names.get(name, ()) for name in names]
        anchors = sorted({anchor for side in (of_points, of_labels) for row in side or () for anchor in row})
        column = {anchor: at for at, anchor in enumerate(anchors)}
        sides = [
            None if side is None else _matrix([[column[a] for a in dict.fromkeys(row)] for row in side], len(anchors))
            for side in (of_points, of_labels)
        ]
        if anchors:
            found[kind] = Graph(kind, anchors, *sides)
    return found


def _matrix(rows: list[list[int]], n_columns: int) -> sp.csr_matrix:
    lengths = np.cumsum([0, *map(len, rows)])
    columns = np.array([column for row in rows for column in row], dtype=np.int64)
    matrix = sp.csr_matrix((np.ones(len(columns), np.float32), columns, lengths), shape=(len(rows), n_columns))
    matrix.sort_indices()
    return matrix


def _texts(uids: list[str], texts: list[str]) -> Texts:
    parts = [text.partition("\n") for text in texts]
    return Texts(uids, [title.strip() for title, _, _ in parts], [" ".join(rest.split("\n")) for _, _, rest in parts])


def _some(texts: Texts, rows: np.ndarray) -> Texts:
    return Texts(
        [texts.uids[row] for row in rows], [texts.titles[row] for row in rows], [texts.contents[row] for row in rows]
    )
