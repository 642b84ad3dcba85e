"""Nearly all of the k rows of a large matrix with the highest dot product: only the cells near a query are searched.

Cells are balanced clusters of the rows. Queries are taken in bulk: for each cell those that probe it are gathered, so
that the work stays a matrix product and no list of candidates is ever held.
"""

from __future__ import annotations

import numba
import numpy as np

from ramen.mining.clusters import balanced_clusters
from ramen.mining.heaps import best_first, push
from ramen.mining.nearest import nearest
from ramen.mining.threads import on_threads

CELL = 256  # rows, at most
PROBES = 16  # cells a query
_FEWEST = 20  # nearest kept while looking further: shorter lists lead nowhere
_QUERIES = 65_536  # at once: bounds the memory of who probes what


class Cells:
    """Rows of a matrix in balanced cells.

    Args:
        matrix: float32 (n, d), kept, not copied.
        size: rows of the largest cell.
        seed: of the clusters.

    Example:
        >>> rows = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], dtype=np.float32)
        >>> Cells(rows, size=2).top(np.array([[1, 0]], dtype=np.float32), k=2, probes=1)[0]
        array([[0, 1]])
    """

    def __init__(self, matrix: np.ndarray, size: int = CELL, seed: int = 0) -> None:
        self.matrix = matrix
        cells = balanced_clusters(matrix, size, seed)
        self._rows = np.argsort(cells, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(cells))])
        sums = np.add.reduceat(matrix[self._rows], self._starts[:-1]) if len(matrix) else matrix
        self.centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)

    def top(
        self, queries: np.ndarray, k: int, own: np.ndarray | None = None, probes: int = PROBES
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows with the highest dot products among the cells whose centres have the highest; see :func:`nearest`.

        Args:
            queries: float32 (B, d).
            k: rows a query, at least 1.
            own: int64 (B,), a row that each query is not to find (itself), or None.
            probes: cells searched for a query; all of them find what :func:`nearest` does.

        Returns:
            int64 rows and float32 products, (B, k) each, best first, of equal ones the smaller row first; -1 and -inf
            where the cells hold fewer than k.
        """
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        own = np.full(len(queries), -1, dtype=np.int64) if own is None else own
        probes = min(probes, len(self.centres))
        probed = nearest(queries, self.centres, probes)[0] if probes else np.empty((len(queries), 0), np.int64)

        def search(thread: int, threads: int) -> None:
            size = max(1, min(_QUERIES, -(-len(queries) // threads)))
            for start in range(thread * size, len(queries), threads * size):
                part = slice(start, start + size)
                self._search(queries[part], probed[part], own[part], scores[part], rows[part])

        on_threads(search)
        return rows, scores

    def _search(
        self, queries: np.ndarray, probed: np.ndarray, own: np.ndarray, scores: np.ndarray, rows: np.ndarray
    ) -> None:
        sizes = np.zeros(len(queries), dtype=np.int64)
        asked = np.argsort(probed, axis=None, kind="stable")
        bounds = np.searchsorted(probed.ravel()[asked], np.arange(len(self.centres) + 1))
        for cell in np.flatnonzero(np.diff(bounds)):
            who = asked[bounds[cell] : bounds[cell + 1]] // probed.shape[1]
            members = self._rows[self._starts[cell] : self._starts[cell + 1]]
            _offer(queries[who] @ self.matrix[members].T, who, members, own, scores, rows, sizes)
        _sort(scores, rows, sizes)


@numba.njit(cache=True, nogil=True)
def _offer(
    block: np.ndarray, who: np.ndarray, members: np.ndarray, own: np.ndarray, scores: np.ndarray, rows: np.ndarray,
    sizes: np.ndarray,
) -> None:  # fmt: skip
    k = scores.shape[1]
    for line in range(len(who)):
        query = who[line]
        for column in range(len(members)):
            score = block[line, column]
            if (sizes[query] < k or score >= scores[query, 0]) and members[column] != own[query]:
                sizes[query] = push(scores[query], rows[query], sizes[query], score, members[column])


@numba.njit(cache=True, nogil=True)
def _sort(scores: np.ndarray, rows: np.ndarray, sizes: np.ndarray) -> None:
    for query in range(len(sizes)):
        best_first(scores[query], rows[query], sizes[query])


def nearest_of_each(matrix: np.ndarray, k: int, seed: int = 0, rounds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """For each row of a large matrix nearly all of its k nearest other rows.

    Cells give a first list; then each row also looks at the nearest of its nearest, some rounds long (NN-descent: Dong
    et al., WWW 2011, without its sampling). Measured recall stands in docs/performance.md.

    Args:
        matrix: float32 (n, d).
        k: rows a row, at least 1.
        seed: of the cells; the same seed gives the same rows on any number of threads.
        rounds: of looking further.

    Returns:
        int64 rows and float32 products, (n, k) each, as :func:`ramen.mining.nearest.nearest` with ``own``.
    """
    matrix = np.ascontiguousarray(matrix, dtype=np.float32)
    rows, scores = Cells(matrix, seed=seed).top(matrix, max(k, _FEWEST), np.arange(len(matrix)), PROBES)
    for _ in range(rounds):
        rows, scores = _look_further(matrix, rows, scores, numba.get_num_threads())
    return rows[:, :k], scores[:, :k]


@numba.njit(cache=True, parallel=True, fastmath={"reassoc", "contract", "nsz"})
def _look_further(
    matrix: np.ndarray, rows: np.ndarray, scores: np.ndarray, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    n, k = rows.shape
    out_rows, out_scores = rows.copy(), scores.copy()
    for thread in numba.prange(threads):
        seen = np.full(n, -1, dtype=np.int32)  # by which row last
        for row in range(thread, n, threads):
            size = 0
            out_rows[row, :], out_scores[row, :] = -1, -np.inf
            seen[row] = row
            for at in range(k):
                if rows[row, at] >= 0:
                    seen[rows[row, at]] = row
                    size = push(out_scores[row], out_rows[row], size, scores[row, at], rows[row, at])
            for at in range(k):
                near = rows[row, at]
                if near < 0:
                    continue
                for other in rows[near]:
                    if other < 0 or seen[other] == row:
                        continue
                    seen[other] = row
                    score = np.float32(0.0)
                    for j in range(matrix.shape[1]):
                        score += matrix[row, j] * matrix[other, j]
                    if size < k or score >= out_scores[row, 0]:
                        size = push(out_scores[row], out_rows[row], size, score, other)  # type: ignore[arg-type]
            best_first(out_scores[row], out_rows[row], size)
    return out_rows, out_scores
