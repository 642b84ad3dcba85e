"""Hard negative mining: the nearest wrong labels of points, and points near those of a label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from ramen.mining.nearest import nearest

_ROWS = 65_536  # points per batch: bounds the memory of the products


def mined_negatives(nearest: Sequence[np.ndarray], targets: sp.csr_matrix) -> sp.csr_matrix:
    """Return, for each label, the points with that label among their nearest points, CSR (L, N) of ones.

    These include the points of the label itself.

    Args:
        nearest: for each similarity, int64 (N, k), the nearest other points of each point; -1 for none.
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
    points_by_label = sp.vstack(parts, format="csr").T.tocsr()
    points_by_label.data[:] = 1.0
    return points_by_label


def nearest_negatives(points: np.ndarray, labels: np.ndarray, not_negative: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """Return the nearest negative labels of each point, CSR (n, L) of ones.

    Args:
        points: float32 (n, d).
        labels: float32 (L, d).
        not_negative: CSR (n, L), targets and filtered pairs.
        k: minimum number of labels per point, if it has that many negatives; points with few targets get more.

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> nearest_negatives(eye[:1], eye, sp.csr_matrix([[1, 0, 0]]), 1).toarray().tolist()
        [[0.0, 1.0, 0.0]]
    """
    spare = int(np.diff(not_negative.indptr).max(initial=0))
    nearest_labels = nearest(points, labels, min(k + spare, len(labels)))[0]
    at, place = np.nonzero(nearest_labels >= 0)
    near = sp.csr_matrix((np.ones(len(at), np.float32), (at, nearest_labels[at, place])), shape=not_negative.shape)
    negatives = sp.csr_matrix(near - near.multiply(not_negative != 0))
    negatives.eliminate_zeros()
    return negatives
