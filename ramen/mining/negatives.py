"""Mined negatives: the points that a label is most easily given to by mistake."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

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
