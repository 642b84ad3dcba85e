"""Links between rows and anchors in training: rows to sample, and edges left after pruning."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from ramen.losses import Pairs
from ramen.transfer import pinned


def sample_column(matrix: sp.csr_matrix, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sample one stored column of each row that has any.

    Returns:
        bool (len(rows),), which rows have columns, and the sampled columns of those, int64.
    """
    counts = matrix.indptr[rows + 1] - matrix.indptr[rows]
    has = counts > 0
    at = matrix.indptr[rows[has]] + (rng.random(int(has.sum())) * counts[has]).astype(np.int64)
    return has, matrix.indices[at].astype(np.int64)


def block(matrix: sp.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> torch.Tensor:
    """Return which entries are stored at some rows and columns, bool (len(rows), len(columns)); on the host."""
    return torch.from_numpy(_stored(matrix, rows, columns))


def _stored(matrix: sp.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    mask = np.zeros((len(rows), len(columns)), dtype=np.bool_)
    mask[matrix[rows][:, columns].nonzero()] = True
    return mask


def pairs_of(targets: sp.csr_matrix, not_negative: sp.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> Pairs:
    """The pairs stored at some rows and columns, places counted within these; on the host.

    Args:
        targets: CSR, the right pairs.
        not_negative: CSR, right pairs and others that are no negatives.
        rows: int64 (B,).
        columns: int64 (C,).
    """
    of_rows, of_columns = (pinned(at.astype(np.int64)) for at in targets[rows][:, columns].nonzero())
    return Pairs(of_rows, of_columns, pinned(_stored(not_negative, rows, columns)))


class BipartiteLinks:
    """Links of points, or of labels, to anchors.

    Args:
        full: CSR, rows x anchors; pruning always applies to all of these.
        allowed: int64, rows visible to training.

    Attributes:
        active: CSR, edges used in training; initially all.
        rows: int64, allowed rows with an active edge.
    """

    def __init__(self, full: sp.csr_matrix, allowed: np.ndarray) -> None:
        self.full, self.allowed = full, allowed
        self.keep(np.ones(full.nnz, dtype=np.bool_))

    def keep(self, mask: np.ndarray) -> None:
        """Use only the edges in ``mask`` of the full graph, bool (nnz,)."""
        self.mask = mask
        self.active = self.full
        if not mask.all():
            before = np.concatenate([[0], np.cumsum(mask)])
            indptr = before[self.full.indptr]
            self.active = sp.csr_matrix((self.full.data[mask], self.full.indices[mask], indptr), shape=self.full.shape)
        self.rows = self.allowed[np.diff(self.active.indptr)[self.allowed] > 0]

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Sample at most ``count`` rows, distinct and ascending."""
        if len(self.rows) <= count:
            return self.rows
        return np.unique(self.rows[rng.integers(0, len(self.rows), count)])
