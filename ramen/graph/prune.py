"""Prunes edges whose two ends are dissimilar to the encoder, and checks edges against held-out pairs.

Source: RAMEN (WWW 2025 Companion), appendix A: after a warm-up, and again every few epochs, edges of cosine up to 0 are
pruned. Pruning always applies to the full graph, so an edge may return.
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
    """Return the cosine of the two ends of each edge, float32 (nnz,), in the order of ``matrix.indices``.

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
    """Return which edges have a cosine above the threshold, bool (nnz,)."""
    return cosines > threshold


def contradicted(edges: sp.csr_matrix, others: sp.csr_matrix | None, pairs: sp.csr_matrix) -> np.ndarray:
    """Return which edges held-out pairs contradict, int8 (nnz,): 1 contradicted, 0 supported, -1 no pair.

    A pair (point, label) supports an edge of one of them to an anchor if the other is also linked to that anchor.

    Args:
        edges: CSR (n, M), links of points or of labels.
        others: CSR (k, M), links of the respective other ones, or None.
        pairs: CSR (n, k), the held-out pairs.

    Example:
        >>> points, labels = sp.csr_matrix([[1, 1], [0, 1]]), sp.csr_matrix([[1, 0]])
        >>> contradicted(points, labels, sp.csr_matrix([[1], [0]]))  # the second point has no pair
        array([ 0,  1, -1], dtype=int8)
    """
    verdicts = np.full(edges.nnz, -1, dtype=np.int8)
    if others is None:
        return verdicts
    counts = np.diff(edges.indptr)
    rows = np.repeat(np.arange(len(counts)), counts)
    has_pair = (np.diff(pairs.indptr) > 0)[rows]
    shared = sp.csr_matrix(pairs @ others)
    shared.sort_indices()
    width = np.int64(edges.shape[1])
    of_shared = np.repeat(np.arange(len(counts)), np.diff(shared.indptr)) * width + shared.indices
    verdicts[has_pair] = ~np.isin(rows[has_pair] * width + edges.indices[has_pair], of_shared)
    return verdicts
