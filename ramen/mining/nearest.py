"""Exact maximum inner product search, in blocks of scores to bound memory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from ramen.compiled import FAST, kernel
from ramen.mining.bfloat16 import as_float32, widened
from ramen.mining.heaps import best_first, no_rows, push
from ramen.threads import one_blas_thread, parallel_for

if TYPE_CHECKING:
    import torch

_QUERIES, _ROWS = 256, 2048  # of one block of scores: 2 MB, which fits in the cache
_FEW = 12  # queries up to which our kernel is faster: BLAS reads the matrix at half the speed of memory or less
_CHUNK = 32  # scores compared at once with the worst one in the heap
# A GPU pays from about these on. Sending a number takes about 4e-10 s (10 GB/s); in that time a CPU multiplies it with
# 200 queries (1e12 operations/s). 2^36 products take a CPU 0.1 s, about what the first use of a GPU costs.
_GPU_QUERIES, _GPU_PRODUCTS = 256, 1 << 36
_GPU_BYTES = 1 << 28  # of scratch memory: with less, the blocks would be too small to be fast


def nearest(
    queries: np.ndarray, matrix: np.ndarray, k: int, exclude: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows with the highest dot products, best first; ties by smaller row.

    A large search runs on the GPU, where torch is in use and sees one (:func:`device_for`). The scores are the same up
    to the rounding of float32 sums.

    Args:
        queries: float32 (B, d).
        matrix: float32 (n, d), or uint16 (n, d), the bits of bfloat16 numbers.
        k: rows per query, at least 1.
        exclude: int64 (B,), a row to exclude for each query (itself), or None.

    Returns:
        int64 rows and float32 products, (B, k) each; -1 and -inf if there are fewer than k rows.

    Example:
        >>> nearest(np.eye(2, dtype=np.float32), np.array([[1, 0], [0, 1], [1, 1]], np.float32), k=2)[0]
        array([[0, 2],
               [1, 2]])
    """
    device = device_for(len(queries), matrix.size)
    if device is not None:
        from ramen.mining.on_device import nearest_on

        return nearest_on(device, queries, matrix, k, exclude)
    rows, scores = no_rows(len(queries), k)
    exclude = np.full(len(queries), -1, dtype=np.int64) if exclude is None else exclude
    with one_blas_thread():
        for start in range(0, len(queries), _QUERIES):
            part = slice(start, start + _QUERIES)
            _nearest(queries[part], matrix, exclude[part], scores[part], rows[part])
    return rows, scores


def device_for(n_queries: int, size: int) -> torch.device | None:
    """Return the GPU if a search is large enough to pay and the GPU has memory to spare, else None.

    Never imports torch: who has not, has put nothing on a GPU and need not wait for it.

    Args:
        n_queries: B; a few queries at a time, as in serving, stay on the CPU.
        size: n * d, the numbers in the matrix.

    Example:
        >>> device_for(1, 1_300_000 * 768) is None
        True
    """
    torch = sys.modules.get("torch")
    if torch is None or n_queries < _GPU_QUERIES or n_queries * size < _GPU_PRODUCTS:
        return None
    if not torch.cuda.is_available():
        return None
    from ramen.mining.on_device import scratch_bytes

    device = torch.device("cuda", torch.cuda.current_device())
    return device if scratch_bytes(device) >= _GPU_BYTES else None


def _nearest(
    queries: np.ndarray, matrix: np.ndarray, exclude: np.ndarray, scores: np.ndarray, rows: np.ndarray
) -> None:
    """Write the result of :func:`nearest` for a block of queries."""
    (count, dim), k = queries.shape, scores.shape[1]
    has_bits, few = matrix.dtype == np.uint16, count <= _FEW
    factor = np.ascontiguousarray(queries if few else queries.T)
    heaps: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # one per thread

    def scratch() -> tuple:
        best, rows_of_heap = no_rows(count, k)[::-1]
        heaps.append((best, rows_of_heap, np.zeros(count, dtype=np.int64)))
        wide = np.empty((_ROWS if has_bits and not few else 0, dim), np.float32)
        return np.empty((_ROWS, count), np.float32), wide, np.full(count, -np.inf, np.float32), *heaps[-1]

    def search(first: int, last: int, room: np.ndarray, wide: np.ndarray, floor: np.ndarray, *heap: np.ndarray) -> None:
        for start in range(first * _ROWS, last * _ROWS, _ROWS):
            block = matrix[start : start + _ROWS]
            out = room[: len(block)]
            if few:
                _times(block, factor, out)
            else:
                np.matmul(widened(block, wide[: len(block)]) if has_bits else block, factor, out=out)
            _offer(out, start, exclude, floor, *heap)

    # A product of few queries is bound by memory, of many by arithmetic, which is about 16 times as fast.
    parallel_for(-(-len(matrix) // _ROWS), search, work=_ROWS * dim * (4 + count) / 16, scratch=scratch)
    sizes = np.zeros(count, dtype=np.int64)
    for heap in heaps:
        _merge(*heap, scores, rows, sizes)
    _sort(scores, rows, sizes)


@kernel(fastmath=FAST)
def _times(block: np.ndarray, queries: np.ndarray, out: np.ndarray) -> None:
    """Write the products of the rows of a block with a few queries, (n, B)."""
    count, dim = queries.shape
    for row in range(len(block)):
        for query in range(0, count - 1, 2):  # two at once share the loads of the row
            one, two = np.float32(0.0), np.float32(0.0)
            for j in range(dim):
                value = as_float32(block[row, j])
                one += value * queries[query, j]
                two += value * queries[query + 1, j]
            out[row, query], out[row, query + 1] = one, two
        if count % 2:
            one = np.float32(0.0)
            for j in range(dim):
                one += as_float32(block[row, j]) * queries[count - 1, j]
            out[row, count - 1] = one


@kernel
def _offer(
    block: np.ndarray, first: int, exclude: np.ndarray, floor: np.ndarray,
    scores: np.ndarray, rows: np.ndarray, sizes: np.ndarray,
) -> None:  # fmt: skip
    """Push the scores of the rows of a block (one per line) above ``floor``, the worst score of a full heap.

    Rows come in ascending order, so among ties the row already in the heap is the smaller one.
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
                if score > floor[query] and first + line != exclude[query]:
                    sizes[query] = push(scores[query], rows[query], sizes[query], score, first + line)
                    if sizes[query] == k:
                        floor[query] = scores[query, 0]


@kernel
def _merge(
    scores: np.ndarray, rows: np.ndarray, sizes: np.ndarray, to_scores: np.ndarray, to_rows: np.ndarray,
    to_sizes: np.ndarray,
) -> None:  # fmt: skip
    for query in range(len(sizes)):
        for at in range(sizes[query]):
            to_sizes[query] = push(
                to_scores[query], to_rows[query], to_sizes[query], scores[query, at], rows[query, at]
            )


@kernel
def _sort(scores: np.ndarray, rows: np.ndarray, sizes: np.ndarray) -> None:
    for query in range(len(sizes)):
        best_first(scores[query], rows[query], sizes[query])


def products(queries: np.ndarray, matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the dot products of each query with some rows, float32 (B, C).

    Args:
        queries: float32 (B, d).
        matrix: float32 (n, d), or uint16 (n, d), the bits of bfloat16 numbers.
        rows: int64 (B, C); the product of row -1 is 0.
    """
    out, work = np.zeros(rows.shape, dtype=np.float32), 1.0 + rows.shape[1] * matrix.shape[1]
    parallel_for(len(queries), _products, np.ascontiguousarray(queries), matrix, rows, out, work=work)
    return out


@kernel(fastmath=FAST)
def _products(
    first: int, last: int, queries: np.ndarray, matrix: np.ndarray, rows: np.ndarray, out: np.ndarray
) -> None:
    for query in range(first, last):
        for column in range(rows.shape[1]):
            row = rows[query, column]
            if row >= 0:
                total = np.float32(0.0)
                for j in range(queries.shape[1]):
                    total += queries[query, j] * as_float32(matrix[row, j])
                out[query, column] = total
