"""The graphs of a run before training: 0/1 without duplicates, walked where the settings say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ramen.data import Graph
from ramen.graph.walks import MAX_DEGREE, densify


@dataclass
class Links:
    """One graph as the regulariser reads it.

    Attributes:
        points: float32 CSR of ones, N x M, or None.
        labels: float32 CSR of ones, L x M, or None.
    """

    points: sp.csr_matrix | None
    labels: sp.csr_matrix | None

    @property
    def edges(self) -> int:
        """Of both sides."""
        return sum(0 if side is None else side.nnz for side in (self.points, self.labels))


def prepare_links(graph: Graph) -> Links:
    """The links of a graph: 0/1, no duplicates, none to anchors that have no text."""
    blank = np.array([not text.strip() for text in graph.anchors], dtype=np.bool_)
    return Links(*(None if side is None else _canonical(side, blank) for side in (graph.points, graph.labels)))


def walked(links: Links, seen: np.ndarray, kind: str, seed: int, log: Callable[..., None]) -> Links:
    """The links that walks from what training may see make of a graph.

    Args:
        links: of the graph.
        seen: int64, points that training may see; the rows of the others lead nowhere and stay as they are.
        kind: the graph's name.
        seed: of the walks.
        log: called with the edges before and after.

    Raises:
        InputError: the walk needs more memory than there is.
    """
    if not links.edges:
        return links
    points, unseen = links.points, None
    if points is not None:
        shown = np.zeros(points.shape[0], dtype=np.float32)
        shown[seen] = 1
        points, unseen = _rows(points, shown), _rows(points, 1 - shown)
    found = Links(*densify(points, links.labels, max_degree=MAX_DEGREE, seed=seed, kind=kind))
    log(stage="graph", graph=kind, edges=links.edges - (0 if unseen is None else unseen.nnz), walked=found.edges)
    if not found.edges:
        note = f"every anchor is linked to more than {MAX_DEGREE} rows: left out"
        log(stage="graph", graph=kind, note=note)
        return found
    return Links(None if found.points is None else sp.csr_matrix(found.points + unseen), found.labels)


def _rows(matrix: sp.csr_matrix, shown: np.ndarray) -> sp.csr_matrix:
    """The matrix with the rows that are not shown blanked."""
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
