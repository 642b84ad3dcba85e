"""The graphs of a run before training: 0/1 without duplicates, walked where the settings say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ramen.config import GraphConfig
from ramen.data import Graph
from ramen.graph.walks import densify


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


def prepare_links(graph: Graph, settings: GraphConfig, seed: int, log: Callable[..., None]) -> Links:
    """The links of a graph, without those to anchors that have no text; walked if ``graph.hops`` is above 0.

    Raises:
        InputError: the walk needs more memory than there is.
    """
    blank = np.array([not text.strip() for text in graph.anchors], dtype=np.bool_)
    links = Links(*(None if side is None else _canonical(side, blank) for side in (graph.points, graph.labels)))
    if not settings.hops:
        return links
    before = links.edges
    walked = Links(
        *densify(
            links.points, links.labels, hops=settings.hops, restart=settings.restart,
            max_degree=settings.max_degree, keep=settings.visited, seed=seed, kind=graph.kind,
        )
    )  # fmt: skip
    log(stage="graph", graph=graph.kind, edges=before, edges_walked=walked.edges)
    if before and not walked.edges:
        note = f"every anchor is linked to more than graph.max_degree={settings.max_degree} rows: left out"
        log(stage="graph", graph=graph.kind, note=note)
    return walked


def _canonical(matrix: sp.csr_matrix, blank: np.ndarray) -> sp.csr_matrix:
    copy = sp.csr_matrix(matrix, dtype=np.float32, copy=True)
    copy.sum_duplicates()
    copy.data[:] = copy.data != 0
    if blank.any():
        copy.data[blank[copy.indices]] = 0
    copy.eliminate_zeros()
    return copy
