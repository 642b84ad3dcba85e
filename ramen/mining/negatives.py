"""Mined hard negatives: the nearest wrong labels of points, and the points near those of a label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from ramen.mining.nearest import nearest

_ROWS = 65_536  # points at once: bounds the memory of the products


def mined_negatives(nearest: Sequence[np.ndarray], targets: sp.csr_matrix) -> sp.csr_matrix:
    """Points among whose nearest points a label occurs, CSR (L, N) of ones; the label's own points are among them.

    Args:
        nearest: for each way of being near int64 (N, k), the nearest points of each, without itself; -1 for none.
        targets: CSR (N, L).

    Example:
        >>> targets = sp.csr_matrix([[1, 0], [0, 1], [0, 1]])
        >>> mined_negatives([np.array([[1], [2], [1]])], targets).toarray().tolist()
        [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    n = targets.shape[0]
    pattern = sp.csr_matrix(targets, dtype=np.float32)
    parts = []
    for start in range(0, n, _ROWS):
        rows = np.concatenate([near[start : start + _ROWS] for near in nearest], axis=1)
        at, place = np.nonzero(rows >= 0)
        shape = (len(rows), n)
        links = sp.csr_matrix((np.ones(len(at), np.float32), (at, rows[at, place])), shape=shape)
        parts.append(links @ pattern)
    found = sp.vstack(parts, format="csr").T.tocsr()
    found.data[:] = 1.0
    return found


def nearest_negatives(points: np.ndarray, labels: np.ndarray, not_negative: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """The nearest labels of each point that are negatives of it, CSR (n, L) of ones.

    Args:
        points: float32 (n, d).
        labels: float32 (L, d).
        not_negative: CSR (n, L), pairs that are no negatives: targets and filtered pairs.
        k: labels a point, at least, as long as it has so many negatives; points with few targets get more.

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> nearest_negatives(eye[:1], eye, sp.csr_matrix([[1, 0, 0]]), 1).toarray().tolist()
        [[0.0, 1.0, 0.0]]
    """
    spare = int(np.diff(not_negative.indptr).max(initial=0))
    found = nearest(points, labels, min(k + spare, len(labels)))[0]
    at, place = np.nonzero(found >= 0)
    near = sp.csr_matrix((np.ones(len(at), np.float32), (at, found[at, place])), shape=not_negative.shape)
    negatives = sp.csr_matrix(near - near.multiply(not_negative != 0))
    negatives.eliminate_zeros()
    return negatives
