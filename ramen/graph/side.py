"""One side of a graph in training: which rows may be drawn, and which of their edges are kept."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch


def sample_column(matrix: sp.csr_matrix, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One random stored column for each row that has any.

    Returns:
        bool (len(rows),) which rows have one, and the int64 columns of those.
    """
    counts = matrix.indptr[rows + 1] - matrix.indptr[rows]
    has = counts > 0
    at = matrix.indptr[rows[has]] + (rng.random(int(has.sum())) * counts[has]).astype(np.int64)
    return has, matrix.indices[at].astype(np.int64)


def block(matrix: sp.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> torch.Tensor:
    """The stored entries among some rows and columns, bool (len(rows), len(columns))."""
    return torch.from_numpy(matrix[rows][:, columns].toarray() != 0)


class Side:
    """Points or labels and their anchors.

    Args:
        full: CSR, rows x anchors; what pruning starts from every time.
        allowed: int64, rows that training may see.

    Attributes:
        kept: CSR, the edges that are trained on; at first all.
        rows: int64, allowed rows with a kept edge.
    """

    def __init__(self, full: sp.csr_matrix, allowed: np.ndarray) -> None:
        self.full, self.allowed = full, allowed
        self.keep(np.ones(full.nnz, dtype=np.bool_))

    def keep(self, mask: np.ndarray) -> None:
        """Train on these of the full graph's edges from now on, bool (nnz,)."""
        self.mask = mask
        self.kept = self.full
        if not mask.all():
            before = np.concatenate([[0], np.cumsum(mask)])
            indptr = before[self.full.indptr]
            self.kept = sp.csr_matrix((self.full.data[mask], self.full.indices[mask], indptr), shape=self.full.shape)
        self.rows = self.allowed[np.diff(self.kept.indptr)[self.allowed] > 0]

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """At most ``count`` of the rows, distinct and ascending."""
        if len(self.rows) <= count:
            return self.rows
        return np.unique(self.rows[rng.integers(0, len(self.rows), count)])
