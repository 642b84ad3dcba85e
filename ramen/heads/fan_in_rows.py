"""Rows with a fixed number of weights each over the encoder's vector: fixed fan-in, for scoring without torch."""

from __future__ import annotations

import numba
import numpy as np

from ramen.errors import InputError
from ramen.heads.rows import Arrays, LabelRows
from ramen.mining.heaps import best_first, push

_LANES = 16  # queries that one weight meets at once
_LABELS = 2048  # scored before their scores are looked at
_FAST = {"reassoc", "contract", "nsz"}


class FanInRows(LabelRows):
    """w_l has k entries that are not 0.

    Args:
        values: float32 (L, k).
        columns: uint16 (L, k), ascending in each row.
        dim: d.

    Example:
        >>> rows = pruned(np.array([[3, 1, -2], [0, 1, 0]], dtype=np.float32), k=2)
        >>> rows.values.tolist(), rows.columns.tolist()
        ([[3.0, -2.0], [0.0, 1.0]], [[0, 2], [0, 1]])
    """

    def __init__(self, values: np.ndarray, columns: np.ndarray, dim: int) -> None:
        self.values = np.ascontiguousarray(values, dtype=np.float32)
        self.columns = np.ascontiguousarray(columns, dtype=np.uint16)
        self.n_labels, self.dim = len(values), dim

    def top(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`LabelRows`."""
        return _top(np.ascontiguousarray(queries, dtype=np.float32), self.values, self.columns, k)

    def products(self, queries: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See :class:`LabelRows`."""
        return _products(np.ascontiguousarray(queries, dtype=np.float32), self.values, self.columns, labels)

    def arrays(self) -> dict[str, np.ndarray]:
        """See :class:`LabelRows`."""
        return {"fan_in": self.values, "columns": self.columns, "dim": np.array([self.dim])}

    @classmethod
    def of(cls, arrays: Arrays) -> FanInRows:
        """See :class:`LabelRows`."""
        return cls(arrays["fan_in"], arrays["columns"], int(arrays["dim"][0]))

    def dense(self) -> np.ndarray:
        """The rows with their zeros, float32 (L, d)."""
        rows = np.zeros((self.n_labels, self.dim), dtype=np.float32)
        np.put_along_axis(rows, self.columns.astype(np.int64), self.values, axis=1)
        return rows


def pruned(vectors: np.ndarray, k: int) -> FanInRows:
    """The k largest weights of each row of a float32 (L, d) matrix; of equal ones the earlier columns.

    Raises:
        InputError: k is above d.
    """
    if not 0 < k <= vectors.shape[1]:
        raise InputError(f"{k} weights a label: expected 1 to {vectors.shape[1]}, the dimension of the vectors")
    columns = np.sort(np.argsort(-np.abs(vectors), axis=1, kind="stable")[:, :k], axis=1)
    return FanInRows(np.take_along_axis(vectors, columns, axis=1), columns, vectors.shape[1])


@numba.njit(cache=True, parallel=True, fastmath=_FAST)
def _top(queries: np.ndarray, values: np.ndarray, columns: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    n, dim = queries.shape
    out_labels = np.full((n, k), -1, dtype=np.int64)
    out_scores = np.full((n, k), -np.inf, dtype=np.float32)
    for block in numba.prange(-(-n // _LANES)):
        first = block * _LANES
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
    return out_labels, out_scores


@numba.njit(cache=True, parallel=True, fastmath=_FAST)
def _products(queries: np.ndarray, values: np.ndarray, columns: np.ndarray, labels: np.ndarray) -> np.ndarray:
    out = np.zeros(labels.shape, dtype=np.float32)
    for query in numba.prange(len(queries)):
        for place in range(labels.shape[1]):
            label = labels[query, place]
            if label >= 0:
                total = np.float32(0.0)
                for at in range(values.shape[1]):
                    total += values[label, at] * queries[query, columns[label, at]]
                out[query, place] = total
    return out
