"""Reads the graphs of a data set's folder: links from points and labels to anchors, and the anchors' texts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.dataset import Graph
from ramen.data.files import Problem, Reading, candidates, find_one, lines, one_line
from ramen.data.matrices import MATRIX, TEXT, at_row, read_matrix, rows_of

FOLDER = "graphs"
_LINKS = re.compile(r"(?P<kind>.+)_(?:trn|lbl)_X_Y\.(?:npz|txt|txt\.gz)")
_ANCHORS = re.compile(r"(?P<kind>.+)\.raw\.txt(?:\.gz)?")


def graph_places(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Return the folder of each kind of graph, and stray files.

    Graph files are in ``graphs/`` or next to the other files.

    Returns:
        Folder by kind, and the files of ``graphs/`` that belong to no graph.
    """
    within = sorted((folder / FOLDER).iterdir()) if (folder / FOLDER).is_dir() else []
    matches = {path: _LINKS.fullmatch(path.name) or _ANCHORS.fullmatch(path.name) for path in within}
    # Outside graphs/ only link files define a graph: train.raw.txt holds the texts of points.
    beside = [_LINKS.fullmatch(path.name) for path in sorted(folder.iterdir())]
    places = {match["kind"]: folder for match in beside if match}
    places |= {match["kind"]: folder / FOLDER for match in matches.values() if match}
    return dict(sorted(places.items())), [path for path, match in matches.items() if not match]


def read_graphs(folder: Path, n_train: int | None, n_labels: int | None) -> Reading[dict[str, Graph]]:
    """Read every graph of a data set, by kind; all weights become 1."""
    graphs: dict[str, Graph] = {}
    for kind, place in graph_places(folder)[0].items():
        if place != folder:
            twice = [path for part in ("trn", "lbl") for path in candidates(folder, f"{kind}_{part}_X_Y", MATRIX)]
            for also in twice:
                yield Problem(also, f"graph {kind!r} is in {FOLDER}/ too, expected in one of the two")
        anchor_file = yield from find_one(place, f"{kind}.raw", TEXT)
        if anchor_file is None and place == folder:
            anchor_file = yield from find_one(folder, f"raw_data/{kind}.raw", TEXT)
        if anchor_file is None:
            yield Problem(place / f"{kind}.raw.txt", f"missing, expected the anchor texts of graph {kind!r}")
            continue
        anchors: list[str] = []
        whole = True
        for number, line in lines(anchor_file):
            if isinstance(line, Problem):
                yield line
                whole = whole and number > 0
            anchors.append("" if isinstance(line, Problem) else one_line(line))
        n_anchors = len(anchors) if whole else None
        matrices: list[sp.csr_matrix | None] = []
        has_links = False
        for part, rows, name in (("trn", n_train, "training points"), ("lbl", n_labels, "labels")):
            path = yield from find_one(place, f"{kind}_{part}_X_Y", MATRIX)
            has_links = has_links or path is not None
            matrices.append((yield from read_links(path, rows, name, n_anchors, anchor_file)) if path else None)
        if not has_links:
            yield Problem(anchor_file, f"no links, expected {kind}_trn_X_Y or {kind}_lbl_X_Y (.npz, .txt, .txt.gz)")
        graphs[kind] = Graph(kind, anchors, points=matrices[0], labels=matrices[1])
    return graphs


def read_links(
    path: Path, n_rows: int | None, rows_are: str, n_anchors: int | None, anchor_file: Path
) -> Reading[sp.csr_matrix | None]:
    """Read the links of points or labels as a 0/1 matrix."""
    matrix = yield from read_matrix(path)
    if matrix is None:
        return None
    if n_rows is not None and matrix.shape[0] != n_rows:
        yield Problem(path, f"{matrix.shape[0]} rows, expected {n_rows} as there are {rows_are}")
    if n_anchors is not None and matrix.shape[1] != n_anchors:
        yield Problem(path, f"{matrix.shape[1]} columns, expected {n_anchors} as {anchor_file.name} has lines")
    for row in np.unique(rows_of(matrix)[matrix.data <= 0]).tolist():
        yield at_row(path, row, "a link with a value of 0 or below, expected above 0")
    matrix.data[:] = 1
    return matrix
