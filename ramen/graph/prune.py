"""Denoise a graph: drop the edges whose two ends the encoder finds unlike, and see whether that drops noise.

Source: RAMEN (WWW 2025 Companion), appendix A: after a warm-up, and again every few epochs, edges of cosine up to 0 are
dropped; always from the whole graph, so that an edge may come back.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ramen.compiled import kernel
from ramen.threads import parallel_for


@kernel
def _cosines(
    first: int, last: int, indptr: np.ndarray, indices: np.ndarray, rows: np.ndarray, anchors: np.ndarray,
    out: np.ndarray,
) -> None:  # fmt: skip
    for row in range(first, last):
        for at in range(indptr[row], indptr[row + 1]):
            anchor, total = indices[at], np.float32(0.0)
            for j in range(rows.shape[1]):
                total += rows[row, j] * anchors[anchor, j]
            out[at] = total


def edge_cosines(matrix: sp.csr_matrix, rows: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Cosine of the two ends of each stored edge, float32 (nnz,), in the order of ``matrix.indices``.

    Args:
        matrix: CSR, rows x anchors.
        rows: float32 (n, d), unit vectors.
        anchors: float32 (m, d), unit vectors.
    """
    out = np.empty(len(matrix.indices), dtype=np.float32)
    work = matrix.nnz * rows.shape[1] / max(1, matrix.shape[0])
    vectors = np.ascontiguousarray(rows), np.ascontiguousarray(anchors)
    parallel_for(matrix.shape[0], _cosines, matrix.indptr, matrix.indices, *vectors, out, work=max(1.0, work))
    return out


def above(cosines: np.ndarray, threshold: float) -> np.ndarray:
    """Edges of a cosine above the threshold, bool (nnz,)."""
    return cosines > threshold


def contradicted(edges: sp.csr_matrix, others: sp.csr_matrix | None, pairs: sp.csr_matrix) -> np.ndarray:
    """Which edges held-out pairs speak against, int8 (nnz,): 1 against, 0 for, -1 where no pair says anything.

    A pair (point, label) speaks for an edge from the one to an anchor where the other is linked to that anchor, too.

    Args:
        edges: CSR (n, M), one side of a graph.
        others: CSR (k, M), its other side, or None.
        pairs: CSR (n, k), the held-out pairs.

    Example:
        >>> points, labels = sp.csr_matrix([[1, 1], [0, 1]]), sp.csr_matrix([[1, 0]])
        >>> contradicted(points, labels, sp.csr_matrix([[1], [0]]))  # the second point has no pair
        array([ 0,  1, -1], dtype=int8)
    """
    found = np.full(edges.nnz, -1, dtype=np.int8)
    if others is None:
        return found
    counts = np.diff(edges.indptr)
    rows = np.repeat(np.arange(len(counts)), counts)
    told = (np.diff(pairs.indptr) > 0)[rows]
    shared = sp.csr_matrix(pairs @ others)
    shared.sort_indices()
    width = np.int64(edges.shape[1])
    of_shared = np.repeat(np.arange(len(counts)), np.diff(shared.indptr)) * width + shared.indices
    found[told] = ~np.isin(rows[told] * width + edges.indices[told], of_shared)
    return found
