"""Rows with a fixed number of weights each over the encoder's vector: fixed fan-in, for scoring without torch."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ramen.compiled import FAST, kernel
from ramen.errors import InputError
from ramen.heads.atoms import make_atoms, sparse_codes
from ramen.heads.rows import Arrays, LabelRows
from ramen.mining.heaps import best_first, no_rows, push
from ramen.threads import parallel_for

_LANES = 16  # queries that one weight meets at once
_LARGEST = 65_504.0  # of float16
_LABELS = 2048  # scored before their scores are looked at


class FanInRows(LabelRows):
    """w_l is a sum of k atoms, of those that all labels share.

    A query meets every atom once, which costs as much as a few hundred labels, and each label with k products then.

    Args:
        values: float32 (L, k), weights of the atoms; they are rounded to float16, in which a file keeps them.
        columns: uint16 (L, k), which atoms, ascending in each row.
        atoms: float32 (M, d), exact in float16; see :func:`ramen.heads.atoms.make_atoms`.
    """

    def __init__(self, values: np.ndarray, columns: np.ndarray, atoms: np.ndarray) -> None:
        self.atoms = np.ascontiguousarray(atoms, dtype=np.float32)
        self.values = np.clip(values, -_LARGEST, _LARGEST).astype(np.float16).astype(np.float32)
        self.columns = np.ascontiguousarray(columns, dtype=np.uint16)
        self.n_labels, self.dim = len(values), self.atoms.shape[1]

    def top(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`LabelRows`."""
        labels, scores = no_rows(len(queries), k)
        blocks, work = -(-len(queries) // _LANES), 2.0 * self.values.size * _LANES
        parallel_for(blocks, _top, queries @ self.atoms.T, self.values, self.columns, labels, scores, work=work)
        return labels, scores

    def products(self, queries: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See :class:`LabelRows`."""
        out = np.zeros(labels.shape, dtype=np.float32)
        work = 1.0 + labels.shape[1] * self.values.shape[1]
        parallel_for(len(queries), _products, queries @ self.atoms.T, self.values, self.columns, labels, out, work=work)
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """See :class:`LabelRows`."""
        return {
            "fan_in": self.values.astype(np.float16),
            "columns": self.columns,
            "atoms": self.atoms.astype(np.float16),
        }

    @classmethod
    def of(cls, arrays: Arrays) -> FanInRows:
        """See :class:`LabelRows`."""
        return cls(arrays["fan_in"], arrays["columns"], arrays["atoms"])

    def block(self, first: int, last: int) -> np.ndarray:
        """See :class:`LabelRows`."""
        values, columns = self.values[first:last], self.columns[first:last].astype(np.int64)
        starts = np.arange(0, values.size + 1, values.shape[1])
        parts = (values.ravel(), columns.ravel(), starts)
        return sp.csr_matrix(parts, shape=(len(values), len(self.atoms))) @ self.atoms

    def dense(self) -> np.ndarray:
        """The vectors w_l, float32 (L, d)."""
        return self.block(0, self.n_labels)


def pruned(vectors: np.ndarray, k: int) -> FanInRows:
    """The sums of k atoms that are nearest to the rows of a float32 (L, d) matrix.

    Raises:
        InputError: k is above d.

    Example:
        >>> pruned(np.array([[3, 1], [6, 2]], dtype=np.float32), k=1).dense().round(2).tolist()
        [[3.0, 1.0], [6.0, 2.0]]
    """
    if not 0 < k <= vectors.shape[1]:
        raise InputError(f"{k} weights a label: expected 1 to {vectors.shape[1]}, the dimension of the vectors")
    atoms = make_atoms(vectors)
    return FanInRows(*sparse_codes(vectors, atoms, k), atoms)


@kernel(fastmath=FAST)
def _top(
    first_block: int, last_block: int, queries: np.ndarray, values: np.ndarray, columns: np.ndarray,
    out_labels: np.ndarray, out_scores: np.ndarray,
) -> None:  # fmt: skip
    (n, dim), k = queries.shape, out_labels.shape[1]
    for first in range(first_block * _LANES, min(n, last_block * _LANES), _LANES):
        count = min(_LANES, n - first)
        lanes = np.zeros((dim, _LANES), dtype=np.float32)
        for lane in range(count):
            for j in range(dim):
                lanes[j, lane] = queries[first + lane, j]
        scores = np.empty((_LABELS, _LANES), dtype=np.float32)
        sizes = np.zeros(_LANES, dtype=np.int64)
        for start in range(0, len(values), _LABELS):
            labels = min(_LABELS, len(values) - start)
            for label in range(labels):
                total = np.zeros(_LANES, dtype=np.float32)
                for at in range(values.shape[1]):
                    weight, column = values[start + label, at], columns[start + label, at]
                    for lane in range(_LANES):
                        total[lane] += weight * lanes[column, lane]
                scores[label] = total
            for lane in range(count):
                query = first + lane
                for label in range(labels):
                    score = scores[label, lane]
                    if sizes[lane] < k or score > out_scores[query, 0]:
                        sizes[lane] = push(out_scores[query], out_labels[query], sizes[lane], score, start + label)
        for lane in range(count):
            best_first(out_scores[first + lane], out_labels[first + lane], sizes[lane])


@kernel(fastmath=FAST)
def _products(
    first: int, last: int, queries: np.ndarray, values: np.ndarray, columns: np.ndarray, labels: np.ndarray,
    out: np.ndarray,
) -> None:  # fmt: skip
    for query in range(first, last):
        for place in range(labels.shape[1]):
            label = labels[query, place]
            if label >= 0:
                total = np.float32(0.0)
                for at in range(values.shape[1]):
                    total += values[label, at] * queries[query, columns[label, at]]
                out[query, place] = total
