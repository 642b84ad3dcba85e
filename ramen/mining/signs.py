"""Approximate maximum inner product search with random rotation and sign bits (RaBitQ).

The signs of a randomly rotated row estimate its dot products well enough to select a few thousand of a million rows,
which the caller then scores exactly. Source: RaBitQ (Gao and Long, SIGMOD 2024), the estimator of section 3.2 with
four-bit queries as in 3.3, over all rows instead of cells: a row of 384 weights takes 48 bytes, and scanning a million
rows takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic

from ramen.compiled import FAST, kernel
from ramen.mining.heaps import best_first, push
from ramen.mining.selection import keep_largest, key_of, row_of, score_of
from ramen.threads import one_blas_thread, parallel_for, thread_count

WORD = 64  # bits of a word of signs
_PLANES = 4  # bits per query weight: the rounding error is then a fifth of the error of the signs
_BLOCK = 65_536  # rows rotated at once
_ROWS = 2048  # rows summed at once by a thread: 16 KB
_FEWEST = 128  # candidates of a query that are scored exactly

Blocks = Callable[[int, int], np.ndarray]
Products = Callable[[np.ndarray, np.ndarray], np.ndarray]


class SignIndex:
    """The signs of randomly rotated rows.

    Args:
        arrays: ``signs`` uint64 (W, n), 64 of the D signs of a row in each; ``factors`` float32 (n,); ``counts`` uint16
            (n,), number of positive signs; ``rotation`` float32 (D, d), orthonormal columns; ``mean`` float32 (d,),
            subtracted from the rows first.
        candidates: number of rows per query that are scored exactly.

    Example:
        >>> rows = np.eye(8, dtype=np.float32)
        >>> index = SignIndex.build(8, 8, lambda first, last: rows[first:last])
        >>> index.top(rows[:1], 1, lambda queries, found: queries @ rows[found[0]].T)[0]
        array([[0]])
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], candidates: int = _FEWEST) -> None:
        self.signs, self.factors, self.counts = arrays["signs"], arrays["factors"], arrays["counts"]
        self.rotation, self.mean, self.candidates = arrays["rotation"], arrays["mean"], candidates
        self.n_rows, self.dim = len(self.factors), self.rotation.shape[1]

    @classmethod
    def build(cls, n: int, dim: int, block: Blocks, seed: int = 0) -> SignIndex:
        """Rotate the rows and store their signs.

        Args:
            n: rows of the matrix.
            dim: of a row.
            block: returns rows first to last, float32 (last - first, dim).
            seed: of the rotation.
        """
        words = -(-dim // WORD)
        drawn = np.random.default_rng(seed).standard_normal((words * WORD, dim))
        rotation = np.linalg.qr(drawn)[0].astype(np.float32)
        bounds = range(0, n, _BLOCK)
        total = np.zeros(dim)
        for first in bounds:
            total += block(first, min(first + _BLOCK, n)).sum(axis=0, dtype=np.float64)
        mean = (total / max(n, 1)).astype(np.float32)
        signs, factors = np.empty((words, n), dtype=np.uint64), np.empty(n, dtype=np.float32)
        for first in bounds:
            part = slice(first, min(first + _BLOCK, n))
            rotated = (block(part.start, part.stop) - mean) @ rotation.T
            signs[:, part] = np.packbits(rotated > 0, axis=1, bitorder="little").view("<u8").T
            factors[part] = (rotated**2).sum(1) / np.maximum(np.abs(rotated).sum(1), 1e-30)
        counts = np.bitwise_count(signs).sum(axis=0, dtype=np.uint16) if n else np.empty(0, np.uint16)
        return cls({"signs": signs, "factors": factors, "counts": counts, "rotation": rotation, "mean": mean})

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to save."""
        return {name: getattr(self, name) for name in ("signs", "factors", "counts", "rotation", "mean")}

    def tune(self, queries: np.ndarray, exact: np.ndarray, products: Products, recall: float) -> float:
        """Double ``candidates`` until the recall of ``exact`` reaches ``recall``; return that recall.

        Args:
            queries: float32 (B, d), representative ones.
            exact: int64 (B, k), rows with the highest products.
            products: see :meth:`top`.
            recall: 0 to 1.

        Returns:
            The recall with these candidates.
        """
        self.candidates = _FEWEST
        while True:
            rows = self.top(queries, exact.shape[1], products)[0]
            reached = _recall(rows, exact)
            if reached >= recall or self.candidates >= self.n_rows:
                return reached
            self.candidates *= 2

    def top(self, queries: np.ndarray, k: int, products: Products) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows with the highest products among the candidates, best first; ties by smaller row.

        Args:
            queries: float32 (B, d).
            k: rows per query, at least 1.
            products: returns the exact products, float32 (B, C), of queries, float32 (B, d), with rows, int64 (B, C).

        Returns:
            int64 rows and float32 products, (B, k) each; -1 and -inf if there are fewer rows.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        wanted = min(max(self.candidates, 2 * k), max(1, self.n_rows))
        parts = max(1, thread_count() // max(1, len(queries)))
        near = self._near(queries, wanted, parts)
        return _rerank(near, products(queries, near), k)

    def _near(self, queries: np.ndarray, wanted: int, parts: int) -> np.ndarray:
        """Return the rows with the highest estimates, int64 (B, wanted), -1 for none, unordered.

        If there are fewer queries than threads, each thread searches one of ``parts`` of the rows.
        """
        with one_blas_thread():
            planes = _in_planes(queries @ self.rotation.T)
        tasks = len(queries) * parts
        keys, sizes = np.empty((tasks, wanted), dtype=np.int64), np.zeros(tasks, dtype=np.int64)
        arrays = self.signs, self.factors, self.counts
        parallel_for(tasks, _search, parts, *planes, *arrays, keys, sizes, work=1.0 + self.n_rows / parts)
        return _merge(parts, keys, sizes)


def _recall(rows: np.ndarray, exact: np.ndarray) -> float:
    hits = [np.isin(mine[mine >= 0], true).sum() for mine, true in zip(rows, exact, strict=True)]
    return float(np.sum(hits) / max(1, (exact >= 0).sum()))


def _in_planes(rotated: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return query weights as four bit planes, uint64 (B, 4, W); minima, step sizes and sums, (B,) each."""
    lows = rotated.min(axis=1)
    steps = np.maximum((rotated.max(axis=1) - lows) / (2**_PLANES - 1), 1e-30)
    whole = np.rint((rotated - lows[:, None]) / steps[:, None]).astype(np.uint8)
    bits = (whole[:, None, :] >> np.arange(_PLANES, dtype=np.uint8)[:, None]) & 1
    planes = np.packbits(bits, axis=2, bitorder="little").view("<u8")
    return planes, lows, steps, rotated.sum(axis=1)


@intrinsic
def _count_bits(context: Any, word: Any = None) -> Any:  # noqa: ANN401 - numba's contract
    """Return the number of set bits of a uint64 (an LLVM intrinsic that numba does not expose)."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.ctpop(arguments[0])

    return numba.types.uint64(numba.types.uint64), code


@kernel
def _search(
    first_task: int, last_task: int, parts: int, planes: np.ndarray, lows: np.ndarray, steps: np.ndarray,
    sums: np.ndarray, signs: np.ndarray, factors: np.ndarray, counts: np.ndarray, keys: np.ndarray, sizes: np.ndarray,
) -> None:  # fmt: skip
    """Write keys of the k rows with the highest estimates of each query and part to ``keys`` (B * parts, k)."""
    n, k = len(factors), keys.shape[1]
    share = -(-n // parts)
    weighted, estimates = np.empty(_ROWS, dtype=np.uint64), np.empty(_ROWS, dtype=np.float32)
    buffer = np.empty(2 * k, dtype=np.int64)
    for task in range(first_task, last_task):
        query, part = task // parts, task % parts
        size, floor = np.int64(0), np.float32(-np.inf)
        last = min(n, (part + 1) * share)
        for first in range(part * share, last, _ROWS):
            rows = slice(first, min(first + _ROWS, last))
            _sum_weights(planes[query], signs, rows.start, rows.stop, weighted)
            _estimate(lows[query], steps[query], sums[query], factors[rows], counts[rows], weighted, estimates)
            size, floor = _collect(estimates[: rows.stop - first], first, buffer, size, floor)
        sizes[task] = keep_largest(buffer, size, k)
        keys[task, : sizes[task]] = buffer[: sizes[task]]


@kernel
def _sum_weights(planes: np.ndarray, signs: np.ndarray, first: int, last: int, weighted: np.ndarray) -> None:
    """Write the sum of the whole query weights where a row's sign is positive."""
    weighted[:] = 0
    for word in range(len(signs)):
        ones, twos, fours, eights = planes[0, word], planes[1, word], planes[2, word], planes[3, word]
        for at in range(last - first):
            bits = signs[word, first + at]
            low = _count_bits(bits & ones) + (_count_bits(bits & twos) << np.uint64(1))
            high = _count_bits(bits & fours) + (_count_bits(bits & eights) << np.uint64(1))
            weighted[at] += low + (high << np.uint64(2))


@kernel(fastmath=FAST)
def _estimate(
    low: float, step: float, total: float, factors: np.ndarray, counts: np.ndarray, weighted: np.ndarray,
    estimates: np.ndarray,
) -> None:  # fmt: skip
    """Write the estimated dot products of rows; the query weights are ``low`` + ``step`` * whole ones."""
    for at in range(len(factors)):
        # By way of int64, which converts to floats faster.
        positive = low * np.float32(counts[at]) + step * np.float32(np.int64(weighted[at]))
        estimates[at] = factors[at] * (np.float32(2.0) * positive - total)


@kernel
def _collect(estimates: np.ndarray, first: int, buffer: np.ndarray, size: int, floor: float) -> tuple[int, float]:
    """Append the rows of a block above ``floor`` to a buffer of 2 k keys; return its size and the new floor.

    Whenever the buffer is full, its k largest stay and the smallest of them is the floor. Rows come in ascending order,
    so a later row of the same score ranks behind those k.
    """
    k, bits = len(buffer) // 2, estimates.view(np.int32)
    for at in range(len(estimates)):
        if size < k or estimates[at] > floor:
            buffer[size] = key_of(bits[at], first + at)
            size += 1
            if size == len(buffer):
                size = keep_largest(buffer, size, k)
                floor = score_of(buffer[:k].min())
    return size, floor


@kernel
def _merge(parts: int, keys: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Merge the keys of the parts of each query; return their rows, int64 (B, k), -1 for none, unordered."""
    k = keys.shape[1]
    rows = np.full((len(keys) // parts, k), -1, dtype=np.int64)
    buffer = np.empty(parts * k, dtype=np.int64)
    for query in range(len(rows)):
        size = np.int64(0)
        for task in range(query * parts, (query + 1) * parts):
            buffer[size : size + sizes[task]] = keys[task, : sizes[task]]
            size += sizes[task]
        for at in range(keep_largest(buffer, size, k)):
            rows[query, at] = row_of(buffer[at])
    return rows


@kernel
def _rerank(near: np.ndarray, exact: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best candidates by exact scores."""
    rows = np.full((len(near), k), -1, dtype=np.int64)
    scores = np.full((len(near), k), -np.inf, dtype=np.float32)
    for query in range(len(near)):
        size = np.int64(0)
        for place in range(near.shape[1]):
            if near[query, place] >= 0:
                size = push(scores[query], rows[query], size, exact[query, place], near[query, place])
        best_first(scores[query], rows[query], size)
    return rows, scores
