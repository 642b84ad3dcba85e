"""Graphs that know the test part: rows for test points, or anchors that are the test points themselves."""

from __future__ import annotations

import os

import numpy as np

from ramen.data.dataset import Dataset, Graph
from ramen.data.matrices import MATRIX
from ramen.data.read_graphs import FOLDER
from ramen.errors import InputError

MOST = 0.5  # share of the test points above which a graph is a leak and no chance


def anchored(graph: Graph, dataset: Dataset) -> int:
    """How many test points have the title of an anchor of a graph: what links to them may have been written later."""
    anchors = {anchor.strip().lower() for anchor in graph.anchors}
    return sum(title.strip().lower() in anchors for title in dataset.test.titles if title.strip())


def told_pairs(graph: Graph, dataset: Dataset) -> np.ndarray:
    """Test pairs that a graph tells: the label is linked to an anchor with the test point's own title.

    Returns:
        int64 (T, 2) of (test row, label).
    """
    if graph.labels is None or not len(dataset.test):
        return np.empty((0, 2), dtype=np.int64)
    row_of = {title.strip().lower(): row for row, title in enumerate(dataset.test.titles) if title.strip()}
    rows = np.array([row_of.get(anchor.strip().lower(), -1) for anchor in graph.anchors], dtype=np.int64)
    links, truth = graph.labels.tocsc(), dataset.test_targets
    pairs = [
        (row, label)
        for anchor in np.flatnonzero(rows >= 0)
        for row in (int(rows[anchor]),)
        for label in np.intersect1d(
            links.indices[links.indptr[anchor] : links.indptr[anchor + 1]],
            truth.indices[truth.indptr[row] : truth.indptr[row + 1]],
        ).tolist()
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def refuse_leaks(dataset: Dataset, kinds: list[str]) -> None:
    """Refuse graphs that would train on what is tested.

    Raises:
        InputError: there is a file of graph rows for test points, or a graph's labels are linked to most of the test
            points that have them.
    """
    ask = "remove it, leave the graph out (--graphs), or set data.leaks=allow if that is meant"
    for kind in kinds:
        for ending in MATRIX:
            for place in (dataset.path / FOLDER, dataset.path):
                path = place / f"{kind}_tst_X_Y{ending}"
                if os.path.exists(path):  # also where the folder was read from may be closed by now
                    raise InputError(
                        f"{path}: graph rows of test points, expected none: a run must not know them; {ask}"
                    )
        told = len(np.unique(told_pairs(dataset.graphs[kind], dataset)[:, 0]))
        if told > MOST * len(dataset.test):
            raise InputError(
                f"graph {kind!r}: {told:,} of {len(dataset.test):,} test points are anchors linked to their own "
                f"labels, a leak of the test part; {ask}"
            )
