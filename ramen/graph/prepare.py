"""Prepares the graphs of a run: 0/1 without duplicates, optionally densified by random walks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ramen.data import Graph
from ramen.graph.walks import MAX_DEGREE, densify


@dataclass
class Links:
    """The links of one graph, as the regulariser takes them.

    Attributes:
        points: float32 CSR of ones, N x M, or None.
        labels: float32 CSR of ones, L x M, or None.
    """

    points: sp.csr_matrix | None
    labels: sp.csr_matrix | None

    @property
    def edges(self) -> int:
        """Return the number of edges of points and labels."""
        return sum(0 if part is None else part.nnz for part in (self.points, self.labels))


def prepare_links(graph: Graph) -> Links:
    """Return the links of a graph: 0/1, no duplicates, none to anchors without text."""
    blank = np.array([not text.strip() for text in graph.anchors], dtype=np.bool_)
    return Links(*(None if part is None else _canonical(part, blank) for part in (graph.points, graph.labels)))


def walked(links: Links, visible: np.ndarray, kind: str, seed: int, log: Callable[..., None]) -> Links:
    """Return a graph densified by random walks over the visible points.

    Args:
        links: of the graph.
        visible: int64, points visible to training; walks skip the rows of the others, which stay unchanged.
        kind: the graph's name.
        seed: of the walks.
        log: called with the edges before and after.

    Raises:
        InputError: the walks need more memory than is available.
    """
    if not links.edges:
        return links
    points, hidden = links.points, None
    if points is not None:
        shown = np.zeros(points.shape[0], dtype=np.float32)
        shown[visible] = 1
        points, hidden = _rows(points, shown), _rows(points, 1 - shown)
    dense = Links(*densify(points, links.labels, max_degree=MAX_DEGREE, seed=seed, kind=kind))
    log(stage="graph", graph=kind, edges=links.edges - (0 if hidden is None else hidden.nnz), walked=dense.edges)
    if not dense.edges:
        note = f"every anchor is linked to more than {MAX_DEGREE} rows: left out"
        log(stage="graph", graph=kind, note=note)
        return dense
    return Links(None if dense.points is None else sp.csr_matrix(dense.points + hidden), dense.labels)


def _rows(matrix: sp.csr_matrix, shown: np.ndarray) -> sp.csr_matrix:
    """Return the matrix with only the rows where ``shown`` is 1."""
    part = sp.csr_matrix(sp.diags(shown) @ matrix, dtype=np.float32)
    part.eliminate_zeros()
    return part


def _canonical(matrix: sp.csr_matrix, blank: np.ndarray) -> sp.csr_matrix:
    copy = sp.csr_matrix(matrix, dtype=np.float32, copy=True)
    copy.sum_duplicates()
    copy.data[:] = copy.data != 0
    if blank.any():
        copy.data[blank[copy.indices]] = 0
    copy.eliminate_zeros()
    return copy
