"""Nearly all of the k rows of a large matrix with the highest dot product, for a query at a time: by a bit a weight.

The signs of a randomly turned row tell its products well enough to leave a few thousand rows of a million; who holds
the rows scores these exactly. Source: RaBitQ (Gao and Long, SIGMOD 2024), the estimator of section 3.2 with queries of
four bits as in 3.3, over all rows instead of over cells: rows of 384 weights are 48 bytes each, a million take
milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic

from ramen.compiled import FAST, kernel
from ramen.mining.heaps import best_first, no_rows, push
from ramen.threads import one_blas_thread, parallel_for, thread_count

_BITS = 64
_PLANES = 4  # bits of a query's weight: its rounding is then a fifth of the signs' error
_BLOCK = 65_536  # rows turned at once
_ROWS = 2048  # rows whose sums a thread holds: 16 KB
_FEWEST = 128  # candidates of a query that are scored exactly

Blocks = Callable[[int, int], np.ndarray]
Products = Callable[[np.ndarray, np.ndarray], np.ndarray]


class SignIndex:
    """Rows as the signs of their turned weights.

    Args:
        arrays: ``signs`` uint64 (W, n), 64 of a row's D signs in each; ``factors`` float32 (n,); ``counts`` uint16
            (n,), of the positive signs; ``turn`` float32 (D, d), orthonormal columns; ``mean`` float32 (d,), taken off
            the rows before.
        candidates: of a query, for exact scores.

    Example:
        >>> rows = np.eye(8, dtype=np.float32)
        >>> index = SignIndex.build(8, 8, lambda first, last: rows[first:last])
        >>> index.top(rows[:1], 1, lambda queries, found: queries @ rows[found[0]].T)[0]
        array([[0]])
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], candidates: int = _FEWEST) -> None:
        self.signs, self.factors, self.counts = arrays["signs"], arrays["factors"], arrays["counts"]
        self.turn, self.mean, self.candidates = arrays["turn"], arrays["mean"], candidates
        self.n_rows, self.dim = len(self.factors), self.turn.shape[1]

    @classmethod
    def build(cls, n: int, dim: int, block: Blocks, seed: int = 0) -> SignIndex:
        """Turn the rows and keep their signs.

        Args:
            n: rows of the matrix.
            dim: of a row.
            block: gives rows first to last, float32 (last - first, dim).
            seed: of the turn.
        """
        words = -(-dim // _BITS)
        drawn = np.random.default_rng(seed).standard_normal((words * _BITS, dim))
        turn = np.linalg.qr(drawn)[0].astype(np.float32)
        bounds = range(0, n, _BLOCK)
        total = np.zeros(dim)
        for first in bounds:
            total += block(first, min(first + _BLOCK, n)).sum(axis=0, dtype=np.float64)
        mean = (total / max(n, 1)).astype(np.float32)
        signs, factors = np.empty((words, n), dtype=np.uint64), np.empty(n, dtype=np.float32)
        for first in bounds:
            part = slice(first, min(first + _BLOCK, n))
            turned = (block(part.start, part.stop) - mean) @ turn.T
            signs[:, part] = np.packbits(turned > 0, axis=1, bitorder="little").view("<u8").T
            factors[part] = (turned**2).sum(1) / np.maximum(np.abs(turned).sum(1), 1e-30)
        counts = np.bitwise_count(signs).sum(axis=0, dtype=np.uint16) if n else np.empty(0, np.uint16)
        return cls({"signs": signs, "factors": factors, "counts": counts, "turn": turn, "mean": mean})

    def arrays(self) -> dict[str, np.ndarray]:
        """What a file keeps."""
        return {name: getattr(self, name) for name in ("signs", "factors", "counts", "turn", "mean")}

    def tune(self, queries: np.ndarray, exact: np.ndarray, products: Products, recall: float) -> float:
        """Set ``candidates`` to the fewest, of powers of two, whose recall of ``exact`` reaches ``recall``.

        Args:
            queries: float32 (B, d), like those to come.
            exact: int64 (B, k), rows with the highest products.
            products: see :meth:`top`.
            recall: 0 to 1.

        Returns:
            The recall with these candidates.
        """
        self.candidates = _FEWEST
        while True:
            rows = self.top(queries, exact.shape[1], products)[0]
            found = _recall(rows, exact)
            if found >= recall or self.candidates >= self.n_rows:
                return found
            self.candidates *= 2

    def top(self, queries: np.ndarray, k: int, products: Products) -> tuple[np.ndarray, np.ndarray]:
        """Rows with the highest products among the likeliest by signs, best first, of equal ones the smaller first.

        Args:
            queries: float32 (B, d).
            k: rows a query, at least 1.
            products: gives exact products of queries, float32 (B, d), with some rows, int64 (B, C), as float32 (B, C).

        Returns:
            int64 rows and float32 products, (B, k) each; -1 and -inf where there are fewer rows.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        wanted = min(max(self.candidates, 2 * k), max(1, self.n_rows))
        parts = max(1, thread_count() // max(1, len(queries)))
        near = self._near(queries, wanted, parts)
        return _again(near, products(queries, near), k)

    def _near(self, queries: np.ndarray, wanted: int, parts: int) -> np.ndarray:
        """The rows with the highest estimates, int64 (B, wanted), -1 for none, in no order.

        The rows are searched in ``parts``, each by a thread, where there are fewer queries than threads.
        """
        with one_blas_thread():
            asked = _in_planes(queries @ self.turn.T)
        rows, scores = no_rows(len(queries) * parts, wanted)
        sizes = np.zeros(len(rows), dtype=np.int64)
        kept = self.signs, self.factors, self.counts
        parallel_for(len(rows), _search, parts, *asked, *kept, rows, scores, sizes, work=1.0 + self.n_rows / parts)
        return _united(parts, rows, scores, sizes)


def _recall(found: np.ndarray, exact: np.ndarray) -> float:
    hits = [np.isin(mine[mine >= 0], true).sum() for mine, true in zip(found, exact, strict=True)]
    return float(np.sum(hits) / max(1, (exact >= 0).sum()))


def _in_planes(turned: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weights of queries rounded to four bits, by bit uint64 (B, 4, W); lowest weights, steps and sums, (B,) each."""
    lows = turned.min(axis=1)
    steps = np.maximum((turned.max(axis=1) - lows) / (2**_PLANES - 1), 1e-30)
    whole = np.rint((turned - lows[:, None]) / steps[:, None]).astype(np.uint8)
    bits = (whole[:, None, :] >> np.arange(_PLANES, dtype=np.uint8)[:, None]) & 1
    planes = np.packbits(bits, axis=2, bitorder="little").view("<u8")
    return planes, lows, steps, turned.sum(axis=1)


@intrinsic
def _count_bits(context: Any, word: Any = None) -> Any:  # noqa: ANN401 - numba's contract
    """The 1 bits of a uint64: numba has no such function, its compiler has."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.ctpop(arguments[0])

    return numba.types.uint64(numba.types.uint64), code


@kernel(fastmath=FAST)
def _search(
    first_task: int, last_task: int, parts: int, planes: np.ndarray, lows: np.ndarray, steps: np.ndarray,
    sums: np.ndarray, signs: np.ndarray, factors: np.ndarray, counts: np.ndarray, rows: np.ndarray,
    scores: np.ndarray, sizes: np.ndarray,
) -> None:  # fmt: skip
    """Write the k rows with the highest estimates to ``rows`` (B * parts, k), in no order: of a query and part each."""
    n, k = len(factors), rows.shape[1]
    share = -(-n // parts)
    sum_of = np.empty(_ROWS, dtype=np.uint64)
    for task in range(first_task, last_task):
        query, part = task // parts, task % parts
        heap, held, size = scores[task], rows[task], np.int64(0)
        last = min(n, (part + 1) * share)
        for first in range(part * share, last, _ROWS):
            count = min(_ROWS, last - first)
            sum_of[:] = 0
            for word in range(len(signs)):
                ones, twos = planes[query, 0, word], planes[query, 1, word]
                fours, eights = planes[query, 2, word], planes[query, 3, word]
                for at in range(count):
                    bits = signs[word, first + at]
                    low = _count_bits(bits & ones) + (_count_bits(bits & twos) << np.uint64(1))
                    high = _count_bits(bits & fours) + (_count_bits(bits & eights) << np.uint64(1))
                    sum_of[at] += low + (high << np.uint64(2))
            for at in range(count):
                row = first + at
                positive = lows[query] * np.float32(counts[row]) + steps[query] * np.float32(sum_of[at])
                score = factors[row] * (np.float32(2.0) * positive - sums[query])
                if size < k or score > heap[0]:
                    size = push(heap, held, size, score, row)
        sizes[task] = size


@kernel
def _united(parts: int, rows: np.ndarray, scores: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The k rows of each query from those of its parts, int64 (B, k), -1 for none, in no order."""
    for first in range(0, len(rows), parts):
        size = sizes[first]
        for task in range(first + 1, first + parts):
            for at in range(sizes[task]):
                size = push(scores[first], rows[first], size, scores[task, at], rows[task, at])
    return rows[::parts].copy()


@kernel
def _again(near: np.ndarray, exact: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of the candidates by exact scores."""
    rows = np.full((len(near), k), -1, dtype=np.int64)
    scores = np.full((len(near), k), -np.inf, dtype=np.float32)
    for query in range(len(near)):
        size = np.int64(0)
        for place in range(near.shape[1]):
            if near[query, place] >= 0:
                size = push(scores[query], rows[query], size, exact[query, place], near[query, place])
        best_first(scores[query], rows[query], size)
    return rows, scores
