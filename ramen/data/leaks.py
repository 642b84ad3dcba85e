"""Detects graphs that leak the test part: rows for test points, or anchors that are test points."""

from __future__ import annotations

import os

import numpy as np

from ramen.data.dataset import Dataset, Graph
from ramen.data.matrices import MATRIX
from ramen.data.read_graphs import FOLDER
from ramen.errors import InputError
from ramen.text import alike

MOST = 0.5  # share of test points above which a graph counts as a leak, not a coincidence


def anchored(graph: Graph, dataset: Dataset) -> int:
    """Count test points that have the title of an anchor; links to them may postdate the training data."""
    anchors = {alike(anchor) for anchor in graph.anchors}
    return sum(alike(title) in anchors for title in dataset.test.titles if title.strip())


def leaked_pairs(graph: Graph, dataset: Dataset) -> np.ndarray:
    """Return test pairs that a graph leaks: the label is linked to an anchor with the title of the test point.

    Returns:
        int64 (T, 2) of (test row, label).
    """
    if graph.labels is None or not len(dataset.test):
        return np.empty((0, 2), dtype=np.int64)
    row_of = {alike(title): row for row, title in enumerate(dataset.test.titles) if title.strip()}
    rows = np.array([row_of.get(alike(anchor), -1) for anchor in graph.anchors], dtype=np.int64)
    links, targets = graph.labels.tocsc(), dataset.test_targets
    pairs = [
        (row, label)
        for anchor in np.flatnonzero(rows >= 0)
        for row in (int(rows[anchor]),)
        for label in np.intersect1d(
            links.indices[links.indptr[anchor] : links.indptr[anchor + 1]],
            targets.indices[targets.indptr[row] : targets.indptr[row + 1]],
        ).tolist()
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def refuse_leaks(dataset: Dataset, kinds: list[str]) -> None:
    """Raise if a graph would leak test data into training.

    Raises:
        InputError: there are graph rows for test points, or for most test points a label is linked to an anchor with
            their title.
    """
    ask = "remove it, leave the graph out (--graphs), or set data.leaks=allow if this is intended"
    for kind in kinds:
        for ending in MATRIX:
            for place in (dataset.path / FOLDER, dataset.path):
                path = place / f"{kind}_tst_X_Y{ending}"
                if os.path.exists(path):  # false, not an error, if the folder is unreadable by now
                    raise InputError(
                        f"{path}: graph rows of test points, expected none: a run must not see them; {ask}"
                    )
        leaked = len(np.unique(leaked_pairs(dataset.graphs[kind], dataset)[:, 0]))
        if leaked > MOST * len(dataset.test):
            raise InputError(
                f"graph {kind!r}: {leaked:,} of {len(dataset.test):,} test points are anchors linked to their own "
                f"labels, which leaks test data; {ask}"
            )
