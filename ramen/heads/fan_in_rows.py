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
    """R' w_l has k entries that are not 0, with a rotation R that all labels share.

    A few coordinates say more of a vector when the axes are the directions in which the vectors vary most; to rotate a
    query costs d² products, as much as a few hundred labels.

    Args:
        values: float32 (L, k).
        columns: uint16 (L, k), ascending in each row.
        rotation: float32 (d, d), orthogonal; see :func:`main_directions`.
    """

    def __init__(self, values: np.ndarray, columns: np.ndarray, rotation: np.ndarray) -> None:
        self.rotation = np.ascontiguousarray(rotation, dtype=np.float32)
        self.values = np.ascontiguousarray(values, dtype=np.float32)
        self.columns = np.ascontiguousarray(columns, dtype=np.uint16)
        self.n_labels, self.dim = len(values), len(rotation)

    def top(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`LabelRows`."""
        return _top(queries @ self.rotation, self.values, self.columns, k)

    def products(self, queries: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See :class:`LabelRows`."""
        return _products(queries @ self.rotation, self.values, self.columns, labels)

    def arrays(self) -> dict[str, np.ndarray]:
        """See :class:`LabelRows`."""
        return {"fan_in": self.values, "columns": self.columns, "rotation": self.rotation}

    @classmethod
    def of(cls, arrays: Arrays) -> FanInRows:
        """See :class:`LabelRows`."""
        return cls(arrays["fan_in"], arrays["columns"], arrays["rotation"])

    def dense(self) -> np.ndarray:
        """The vectors w_l, float32 (L, d)."""
        rows = np.zeros((self.n_labels, self.dim), dtype=np.float32)
        np.put_along_axis(rows, self.columns.astype(np.int64), self.values, axis=1)
        return rows @ self.rotation.T


def main_directions(vectors: np.ndarray) -> np.ndarray:
    """The rotation to the directions in which vectors vary most, float32 (d, d): the eigenvectors of their products."""
    return np.ascontiguousarray(np.linalg.eigh(vectors.T @ vectors)[1][:, ::-1], dtype=np.float32)


def pruned(vectors: np.ndarray, k: int) -> FanInRows:
    """The k largest coordinates of each row of a float32 (L, d) matrix, along its main directions.

    Raises:
        InputError: k is above d.

    Example:
        >>> pruned(np.array([[3, 1], [6, 2]], dtype=np.float32), k=1).dense().round(3).tolist()
        [[3.0, 1.0], [6.0, 2.0]]
    """
    if not 0 < k <= vectors.shape[1]:
        raise InputError(f"{k} weights a label: expected 1 to {vectors.shape[1]}, the dimension of the vectors")
    rotation = main_directions(vectors)
    rotated = vectors @ rotation
    columns = np.sort(np.argsort(-np.abs(rotated), axis=1, kind="stable")[:, :k], axis=1)
    return FanInRows(np.take_along_axis(rotated, columns, axis=1), columns, rotation)


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
