"""The k rows of a matrix with the highest dot product, exact, without a score of every row held at once."""

from __future__ import annotations

import numba
import numpy as np

from ramen.mining.heaps import best_first, push
from ramen.mining.threads import on_threads

_QUERIES, _ROWS = 256, 2048  # of one block of scores: 2 MB, which stays in the cache until it is read
_CHUNK = 32  # scores compared at once with the worst that is kept
_SMALL = 1 << 24  # multiply-adds below which threads are not worth starting


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
        columns = np.ascontiguousarray(queries[part].T)
        kept: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

        def search(
            thread: int, threads: int, columns: np.ndarray = columns, own: np.ndarray = own[part], kept: dict = kept
        ) -> None:
            count = columns.shape[1]
            mine = np.full((count, k), -np.inf, np.float32), np.full((count, k), -1), np.zeros(count, np.int64)
            floor = np.full(count, -np.inf, dtype=np.float32)
            room = np.empty((_ROWS, count), dtype=np.float32)
            for first in range(thread * _ROWS, len(matrix), threads * _ROWS):
                block = matrix[first : first + _ROWS]
                _offer(np.matmul(block, columns, out=room[: len(block)]), first, own, floor, *mine)
            kept[thread] = mine

        if columns.size * len(matrix) < _SMALL:
            search(0, 1)
        else:
            on_threads(search)
        sizes = np.zeros(columns.shape[1], dtype=np.int64)
        for thread in sorted(kept):
            _merge(*kept[thread], scores[part], rows[part], sizes)
        _sort(scores[part], rows[part], sizes)
    return rows, scores


@numba.njit(cache=True, nogil=True)
def _offer(
    block: np.ndarray, first: int, own: np.ndarray, floor: np.ndarray,
    scores: np.ndarray, rows: np.ndarray, sizes: np.ndarray,
) -> None:  # fmt: skip
    """Push the scores of the block's rows (one a line) that beat ``floor``, the worst score that a full heap keeps.

    Rows come in ascending order, so of equal scores the one that is kept already is the smaller row.
    """
    queries, k = block.shape[1], scores.shape[1]
    for line in range(len(block)):
        for start in range(0, queries, _CHUNK):
            end = min(start + _CHUNK, queries)
            beaten = 0
            for query in range(start, end):  # without a branch: vectorised
                beaten += int(block[line, query] > floor[query])
            if beaten == 0:
                continue
            for query in range(start, end):
                score = block[line, query]
                if score > floor[query] and first + line != own[query]:
                    sizes[query] = push(scores[query], rows[query], sizes[query], score, first + line)
                    if sizes[query] == k:
                        floor[query] = scores[query, 0]


@numba.njit(cache=True)
def _merge(
    scores: np.ndarray, rows: np.ndarray, sizes: np.ndarray, to_scores: np.ndarray, to_rows: np.ndarray,
    to_sizes: np.ndarray,
) -> None:  # fmt: skip
    for query in range(len(sizes)):
        for at in range(sizes[query]):
            to_sizes[query] = push(
                to_scores[query], to_rows[query], to_sizes[query], scores[query, at], rows[query, at]
            )


@numba.njit(cache=True, nogil=True, parallel=True)
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


@numba.njit(cache=True, nogil=True, parallel=True, fastmath={"reassoc", "contract", "nsz"})
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
