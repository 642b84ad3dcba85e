"""Reads the graphs of a data set's folder: links from points and labels to anchors, and the anchors' texts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.dataset import Graph
from ramen.data.files import Problem, Reading, find_one, lines, one_line
from ramen.data.matrices import MATRIX, TEXT, at_row, read_matrix, rows_of

_GRAPH_FILE = re.compile(r"(?P<kind>.+)(?:_(?:trn|lbl)_X_Y\.(?:npz|txt|txt\.gz)|\.raw\.txt(?:\.gz)?)")


def graph_files(folder: Path) -> tuple[list[str], list[Path]]:
    """Kinds of graph that a ``graphs`` folder has files of, and its files that belong to none."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    matches = {name: _GRAPH_FILE.fullmatch(name) for name in names}
    kinds = sorted({match["kind"] for match in matches.values() if match})
    return kinds, [folder / name for name, match in matches.items() if not match]


def read_graphs(folder: Path, n_train: int | None, n_labels: int | None) -> Reading[dict[str, Graph]]:
    """Every graph of the folder, by kind; entries are links, so whatever their weight they are read as 1."""
    graphs: dict[str, Graph] = {}
    for kind in graph_files(folder)[0]:
        anchor_file = yield from find_one(folder, f"{kind}.raw", TEXT)
        if anchor_file is None:
            yield Problem(folder / f"{kind}.raw.txt", f"not there, expected the anchors' texts of graph {kind!r}")
            continue
        anchors: list[str] = []
        whole = True
        for number, line in lines(anchor_file):
            if isinstance(line, Problem):
                yield line
                whole = whole and number > 0
            anchors.append("" if isinstance(line, Problem) else one_line(line))
        n_anchors = len(anchors) if whole else None
        sides: list[sp.csr_matrix | None] = []
        found = False
        for side, rows, name in (("trn", n_train, "training points"), ("lbl", n_labels, "labels")):
            path = yield from find_one(folder, f"{kind}_{side}_X_Y", MATRIX)
            found = found or path is not None
            sides.append((yield from read_links(path, rows, name, n_anchors, anchor_file)) if path else None)
        if not found:
            yield Problem(anchor_file, f"no links, expected {kind}_trn_X_Y or {kind}_lbl_X_Y (.npz, .txt, .txt.gz)")
        graphs[kind] = Graph(kind, anchors, points=sides[0], labels=sides[1])
    return graphs


def read_links(
    path: Path, n_rows: int | None, rows_are: str, n_anchors: int | None, anchor_file: Path
) -> Reading[sp.csr_matrix | None]:
    """One side of a graph, as 0/1."""
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
