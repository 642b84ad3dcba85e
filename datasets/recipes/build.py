"""Turn sorted names and pairs of names into the arrays and graphs of a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.dataset import Card, Dataset, Graph, Texts
from ramen.errors import InputError

PROPENSITY_SOURCE = "default of the extreme classification repository for sets that are not Amazon's or Wikipedia's"
"""Where A 0.55 and B 1.5 come from, as the cards of these recipes say."""

_FEWEST_LINKS = 2


def matrix(pairs: Iterable[tuple[str, str]], rows: Sequence[str], columns: Sequence[str]) -> sp.csr_matrix:
    """0/1 float32 CSR, ``len(rows)`` x ``len(columns)``, with a one for each (row name, column name) pair.

    Pairs whose row or column is not named are left out.

    Example:
        >>> matrix([("a", "y"), ("b", "z")], ["a", "b"], ["x", "y"]).toarray().tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """
    index = positions(pairs, rows, columns)
    ones = np.ones(len(index), dtype=np.float32)
    return sp.csr_matrix((ones, (index[:, 0], index[:, 1])), shape=(len(rows), len(columns)), dtype=np.float32)


def positions(pairs: Iterable[tuple[str, str]], rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    """The distinct pairs as positions: int64 (P, 2), ordered by row, then column; unnamed ones are left out."""
    row_of = {name: i for i, name in enumerate(rows)}
    column_of = {name: i for i, name in enumerate(columns)}
    found = {(row_of[a], column_of[b]) for a, b in pairs if a in row_of and b in column_of}
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 2)


def graphs(
    points: Sequence[str],
    labels: Sequence[str],
    anchors_of: Mapping[str, Callable[[str], Iterable[str]]],
    wording: Mapping[str, Callable[[str], str]],
) -> dict[str, Graph]:
    """One graph per kind of metadata, its anchors sorted by name; a kind without anchors is left out.

    An anchor needs two links, points and labels together, or it ties nothing together.

    Args:
        points: names of the training points.
        labels: names of the labels.
        anchors_of: kind -> function from the name of a point or label to the names of its anchors.
        wording: kind -> function from the name of an anchor to its text; without one the name is the text.
    """
    made = {}
    for kind, of in anchors_of.items():
        of_points, of_labels = ({(name, anchor) for name in names for anchor in of(name)} for names in (points, labels))
        degree = Counter(anchor for links in (of_points, of_labels) for _, anchor in links)
        anchors = sorted(anchor for anchor, count in degree.items() if count >= _FEWEST_LINKS)
        if anchors:
            made[kind] = Graph(
                kind=kind,
                anchors=[wording.get(kind, str)(anchor) for anchor in anchors],
                points=matrix(of_points, points, anchors) if of_points else None,
                labels=matrix(of_labels, labels, anchors) if of_labels else None,
            )
    return made


def assemble(
    out: Path,
    train: set[tuple[str, str]],
    test: set[tuple[str, str]],
    texts_of: Callable[[list[str]], Texts],
    graphs_of: Callable[[list[str], list[str]], dict[str, Graph]],
    card: Card,
    neither: Iterable[tuple[str, str]] = (),
    point_of: Callable[[str], str] = str,
) -> Dataset:
    """The data set of pairs (name, name of a label) of things that may be points and labels at once.

    Args:
        out: where it will be.
        train: pairs; their second names are the labels.
        test: pairs over the same labels.
        texts_of: texts of names.
        graphs_of: graphs of training points and labels.
        card: its facts.
        neither: test pairs that are neither right nor wrong. A point that is a label, too, never is its own label.
        point_of: name of a label -> name of the point that is the same thing, if there is one.

    Raises:
        InputError: no training or no test pair.
    """
    if not train or not test:
        found = f"{len(train)} training and {len(test)} test pairs"
        raise InputError(f"{card.name}: found {found}, expected some of each")
    points, labels, held = sorted({a for a, _ in train}), sorted({b for _, b in train}), sorted({a for a, _ in test})
    itself = {(point_of(label), label) for label in labels}
    return Dataset(
        path=out,
        train=texts_of(points),
        test=texts_of(held),
        labels=texts_of(labels),
        train_targets=matrix(train, points, labels),
        test_targets=matrix(test, held, labels),
        graphs=graphs_of(points, labels),
        train_filter=positions(itself, points, labels),
        test_filter=positions(itself.union(neither), held, labels),
        card=card,
    )
