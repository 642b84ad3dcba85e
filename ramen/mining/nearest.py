"""The k rows of a matrix with the highest dot product, exact, without a score of every row held at once."""

from __future__ import annotations

import numba
import numpy as np

from ramen.mining.heaps import best_first, push

_QUERIES, _ROWS = 512, 16_384  # of one block of scores: 32 MB


def nearest(
    queries: np.ndarray, matrix: np.ndarray, k: int, own: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows with the highest dot products, best first; of equal ones the smaller row first.

    Args:
        queries: float32 (B, d).
        matrix: float32 (n, d).
        k: rows a query, at least 1.
        own: int64 (B,), a row that each query is not to find (itself), or None.

    Returns:
        int64 rows and float32 products, (B, k) each; -1 and -inf where there are fewer than k.

    Example:
        >>> nearest(np.eye(2, dtype=np.float32), np.array([[1, 0], [0, 1], [1, 1]], np.float32), k=2)[0]
        array([[0, 2],
               [1, 2]])
    """
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    own = np.full(len(queries), -1, dtype=np.int64) if own is None else own
    for start in range(0, len(queries), _QUERIES):
        part = slice(start, start + _QUERIES)
        sizes = np.zeros(len(rows[part]), dtype=np.int64)
        for first in range(0, len(matrix), _ROWS):
            block = queries[part] @ matrix[first : first + _ROWS].T
            _offer(block, first, own[part], scores[part], rows[part], sizes)
        _sort(scores[part], rows[part], sizes)
    return rows, scores


@numba.njit(cache=True, parallel=True)
def _offer(
    block: np.ndarray, first: int, own: np.ndarray, scores: np.ndarray, rows: np.ndarray, sizes: np.ndarray
) -> None:
    for query in numba.prange(len(block)):
        size, k = sizes[query], scores.shape[1]
        for column in range(block.shape[1]):
            score = block[query, column]
            if (size < k or score > scores[query, 0]) and first + column != own[query]:
                size = push(scores[query], rows[query], size, score, first + column)
        sizes[query] = size


@numba.njit(cache=True, parallel=True)
def _sort(scores: np.ndarray, rows: np.ndarray, sizes: np.ndarray) -> None:
    for query in numba.prange(len(sizes)):
        best_first(scores[query], rows[query], sizes[query])


def products(queries: np.ndarray, matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Dot products of each query with some rows, float32 (B, C).

    Args:
        queries: float32 (B, d).
        matrix: float32 (n, d).
        rows: int64 (B, C); the product is 0 where a row is -1.
    """
    return _products(np.ascontiguousarray(queries), matrix, rows)


@numba.njit(cache=True, parallel=True, fastmath={"reassoc", "contract", "nsz"})
def _products(queries: np.ndarray, matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
    out = np.zeros(rows.shape, dtype=np.float32)
    for query in numba.prange(len(queries)):
        for column in range(rows.shape[1]):
            row = rows[query, column]
            if row >= 0:
                total = np.float32(0.0)
                for j in range(queries.shape[1]):
                    total += queries[query, j] * matrix[row, j]
                out[query, column] = total
    return out
