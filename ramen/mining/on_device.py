"""Exact maximum inner product search on a GPU: candidates in bfloat16, a proof per query, scores in float32.

The products q · r of a block of rows are computed from vectors rounded to bfloat16, where the device multiplies them in
hardware. The best of them are candidates, whose products are computed again in float32. With q', r' the rounded
vectors, the Cauchy-Schwarz inequality bounds what rounding can hide::

    |q · r - q' · r'| <= |q - q'| |r| + |q'| |r - r'|

The norms of the rounding errors are measured, not estimated, so that rows which are bfloat16 already cost nothing. No
row outside the candidates scores above the worst candidate's rounded product plus this bound. A query whose k-th best
score is above that is certain; the others are searched again in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ramen.mining.heaps import no_rows

_ROWS = 131_072  # of a block at most: 400 MB of pinned memory at 768 dimensions
_SPARE = 64  # candidates of a block besides k: more make more queries certain
_HOST_BUDGET = 1 << 28  # bytes of scratch memory on a CPU
# Float32 sums of d products, two per certificate: tensor cores truncate, so each addition may lose 2^-23 of |q| |r|.
_SUM_ERROR = 2.0**-21
_SMALLEST = 2.0**-125  # a product below the normal float32 numbers may be flushed to zero
_LARGEST = 1e38  # |q| |r| above which float32 may overflow and nothing is certain


def nearest_on(
    device: torch.device, queries: np.ndarray, matrix: np.ndarray, k: int, exclude: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows with the highest dot products, best first; ties by smaller row.

    The result is that of :func:`ramen.mining.nearest.nearest` up to the rounding of float32 sums.

    Args:
        device: computes the products, "cuda" or "cpu".
        queries: float32 (B, d).
        matrix: float32 (n, d), or uint16 (n, d), the bits of bfloat16 numbers.
        k: rows per query, at least 1.
        exclude: int64 (B,), a row to exclude for each query (itself), or None.

    Returns:
        int64 rows and float32 products, (B, k) each; -1 and -inf if there are fewer than k rows.

    Example:
        >>> matrix = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
        >>> nearest_on(torch.device("cpu"), np.eye(2, dtype=np.float32), matrix, k=2)[0]
        array([[0, 2],
               [1, 2]])
    """
    rows, scores = no_rows(len(queries), k)
    exclude = np.full(len(queries), -1, dtype=np.int64) if exclude is None else exclude
    at_once = max(1, scratch_bytes(device) // (40 * max(1, matrix.shape[1])))
    with _full_precision(), torch.no_grad():
        for start in range(0, len(queries) if len(matrix) else 0, at_once):
            part = slice(start, start + at_once)
            certain = _search(device, queries[part], matrix, exclude[part], rows[part], scores[part], _rounds(device))
            left = start + np.flatnonzero(~certain)
            if len(left):
                again = no_rows(len(left), k)
                _search(device, queries[left], matrix, exclude[left], *again, rounds=False, ties=True)
                rows[left], scores[left] = again
    return rows, scores


def _rounds(device: torch.device) -> bool:
    """Return whether candidates are found in bfloat16."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def scratch_bytes(device: torch.device) -> int:
    """Return the bytes for the blocks of one search: a sixth of the free memory, torch's own cache included.

    With the queries, which take up to half as much, that makes a quarter.

    Example:
        >>> scratch_bytes(torch.device("cpu"))
        268435456
    """
    if device.type != "cuda":
        return _HOST_BUDGET
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return (torch.cuda.mem_get_info(device)[0] + cached) // 6


@contextmanager
def _full_precision() -> Iterator[None]:
    """Switch off TF32 and other short cuts of float32 products."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass(frozen=True)
class _Vectors:
    """Vectors on the device.

    Attributes:
        exact: float32 (n, d).
        rounded: bfloat16 (n, d), or ``exact`` itself.
        norms: float64 (n,), the lengths of ``exact``; float64 squares neither overflow nor vanish.
        errors: float64 (n,), the lengths of ``exact - rounded``.
    """

    exact: Tensor
    rounded: Tensor
    norms: Tensor
    errors: Tensor

    @classmethod
    def of(cls, values: Tensor, rounds: bool) -> _Vectors:
        exact = values.float()
        rounded = values.bfloat16() if rounds else exact
        norms = torch.linalg.vector_norm(exact, dim=1, dtype=torch.float64)
        errors = torch.linalg.vector_norm(exact - rounded, dim=1, dtype=torch.float64)
        return cls(exact, rounded, norms, errors)

    def __getitem__(self, part: slice) -> _Vectors:
        return _Vectors(self.exact[part], self.rounded[part], self.norms[part], self.errors[part])


@dataclass(frozen=True)
class _Best:
    """The best rows of each query so far, on the device.

    Attributes:
        scores: float32 (B, k), best first; -inf where there are fewer.
        rows: int64 (B, k); -1 where there are fewer.
        limit: float64 (B,), a bound on the score of every row that was no candidate; nan if there is none.
    """

    scores: Tensor
    rows: Tensor
    limit: Tensor

    @classmethod
    def none(cls, n: int, k: int, device: torch.device) -> _Best:
        scores = torch.full((n, k), -torch.inf, dtype=torch.float32, device=device)
        limit = torch.full((n,), -torch.inf, dtype=torch.float64, device=device)
        return cls(scores, torch.full((n, k), -1, dtype=torch.int64, device=device), limit)

    def __getitem__(self, part: slice) -> _Best:
        return _Best(self.scores[part], self.rows[part], self.limit[part])

    def certain(self) -> Tensor:
        """Return whether no other row can be among the best, bool (B,)."""
        return (self.scores[:, -1].double() > self.limit) | (self.limit == -torch.inf)


def _search(
    device: torch.device, queries: np.ndarray, matrix: np.ndarray, exclude: np.ndarray, rows: np.ndarray,
    scores: np.ndarray, rounds: bool, ties: bool = False,
) -> np.ndarray:  # fmt: skip
    """Write the best rows and their scores; return which queries are certain, bool (B,)."""
    (n, dim), (count, k) = matrix.shape, rows.shape
    budget = scratch_bytes(device) // 2
    rows_at_once = min(n, _ROWS, max(1, budget // (20 * max(1, dim))))
    # A number of the block takes up to 20 bytes: itself, rounded, its error, and a copy in float64 for the norms. A
    # score takes up to 40 with its key of 8, which is made in steps; a number of a candidate 12.
    queries_at_once = max(1, budget // (40 * rows_at_once + 12 * (k + _SPARE) * dim))
    vectors = _Vectors.of(torch.tensor(queries, dtype=torch.float32, device=device), rounds)
    excluded, best = torch.tensor(exclude, dtype=torch.int64, device=device), _Best.none(count, k, device)
    for first, values in _blocks(device, matrix, rows_at_once):
        block = _Vectors.of(values, rounds)
        for start in range(0, count, queries_at_once):
            part = slice(start, start + queries_at_once)
            _offer(vectors[part], block, first, excluded[part], best[part], ties)
    rows[:], scores[:] = best.rows.cpu().numpy(), best.scores.cpu().numpy()
    return best.certain().cpu().numpy()


def _blocks(device: torch.device, matrix: np.ndarray, size: int) -> Iterator[tuple[int, Tensor]]:
    """Yield the first row of each block and its rows on the device; the next is read while the device computes."""
    has_bits, is_cuda = matrix.dtype == np.uint16, device.type == "cuda"
    dtype = torch.int16 if has_bits else torch.float32
    staging = torch.empty((size, matrix.shape[1]), dtype=dtype, pin_memory=is_cuda)
    host, sent = staging.numpy(), None
    for first in range(0, len(matrix), size):
        rows = matrix[first : first + size]
        if sent is not None:
            sent.synchronize()  # the copy before has left the pinned memory
        np.copyto(host[: len(rows)], rows.view(np.int16) if has_bits else rows)
        block = staging[: len(rows)].to(device, non_blocking=is_cuda)
        if is_cuda:
            sent = torch.cuda.current_stream(device).record_event()
        yield first, block.view(torch.bfloat16) if has_bits else block


def _offer(queries: _Vectors, block: _Vectors, first: int, exclude: Tensor, best: _Best, ties: bool) -> None:
    """Merge the best rows of a block, whose first row is ``first``, into ``best`` in place.

    With ``ties``, candidates of equal products are the smaller rows; else any, and ``best.limit`` bounds the others.
    """
    n, k = len(block.exact), best.scores.shape[1]
    wanted = min(n, k + _SPARE)
    scores = _products(queries.rounded, block.rounded)
    column = (exclude - first).clamp(0, n - 1)[:, None]
    is_excluded = (exclude[:, None] - first) == column
    scores.scatter_(1, column, torch.where(is_excluded, -torch.inf, scores.gather(1, column)))
    if ties:
        candidates = _keys(scores).topk(wanted, dim=1).indices
    else:
        values, candidates = scores.topk(wanted, dim=1)
        if wanted < n:
            torch.maximum(best.limit, values[:, -1].double() + _bound(queries, block), out=best.limit)
    candidates = candidates.sort(dim=1).values
    # A sum of its own for each pair: equal rows get equal scores, whatever their place in the block.
    exact = block.exact[candidates].mul_(queries.exact[:, None]).sum(dim=2) + 0.0
    exact = torch.where((candidates == column) & is_excluded | exact.isnan(), -torch.inf, exact)
    rows = torch.where(exact == -torch.inf, -1, candidates + first)
    # Rows ascend among equal scores: those so far are smaller than the block's, and the sort is stable.
    both, order = torch.cat([best.scores, exact], dim=1).sort(dim=1, descending=True, stable=True)
    best.scores.copy_(both[:, :k])
    best.rows.copy_(torch.cat([best.rows, rows], dim=1).gather(1, order[:, :k]))


def _products(left: Tensor, right: Tensor) -> Tensor:
    """Return the dot products of all pairs of rows, float32, summed in float32 also where the rows are bfloat16."""
    if left.dtype == torch.bfloat16 and left.device.type != "cpu":
        return torch.mm(left, right.T, out_dtype=torch.float32)
    return left.float() @ right.float().T


def _bound(queries: _Vectors, block: _Vectors) -> Tensor:
    """Return how far a float32 score may lie above the rounded product, float64 (B,); inf where it may overflow."""
    longest, worst, dim = block.norms.max(), block.errors.max(), block.exact.shape[1]
    size = queries.norms * longest
    rounding = queries.errors * longest + (queries.norms + queries.errors) * worst
    return torch.where(size > _LARGEST, torch.inf, rounding + dim * (_SUM_ERROR * size + _SMALLEST))


def _keys(scores: Tensor) -> Tensor:
    """Return int64 keys that order the columns of each line by score, then the smaller column first; nan is last."""
    bits = torch.where(scores.isnan(), -torch.inf, scores + 0.0).view(torch.int32)  # + 0.0: no negative zero
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    return (ordered << 32) - torch.arange(scores.shape[1], device=scores.device)
