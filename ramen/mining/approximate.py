"""Nearly all of the k rows of a large matrix with the highest dot product: only the cells near a query are searched.

Cells are balanced clusters of the rows. Queries are taken in bulk: for each cell those that probe it are gathered, so
that the work stays a matrix product and no list of candidates is ever held.
"""

from __future__ import annotations

import numpy as np

from ramen.compiled import FAST, kernel
from ramen.mining.clusters import balanced_clusters
from ramen.mining.heaps import best_first, no_rows, push
from ramen.mining.nearest import nearest
from ramen.threads import one_blas_thread, parallel_for, thread_count

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
        rows, scores = no_rows(len(queries), k)
        own = np.full(len(queries), -1, dtype=np.int64) if own is None else own
        probes = min(probes, len(self.centres))
        probed = nearest(queries, self.centres, probes)[0] if probes else np.empty((len(queries), 0), np.int64)

        # Many queries at once make large products: as few parts as keep all threads busy.
        parts = np.array_split(np.arange(len(queries)), max(thread_count(), -(-len(queries) // _QUERIES)))

        def search(first: int, last: int) -> None:
            for some in parts[first:last]:
                if len(some):
                    part = slice(some[0], some[-1] + 1)
                    self._search(queries[part], probed[part], own[part], scores[part], rows[part])

        with one_blas_thread():
            parallel_for(len(parts), search, work=1e9)
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


@kernel
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


@kernel
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
        near, (rows, scores) = (rows, scores), no_rows(*rows.shape)
        parallel_for(
            len(matrix), _look_further, matrix, *near, rows, scores, work=float(rows.shape[1] ** 2 * matrix.shape[1]),
            scratch=lambda: (np.full(len(matrix), -1, dtype=np.int32),),
        )  # fmt: skip
    return rows[:, :k], scores[:, :k]


@kernel(fastmath=FAST)
def _look_further(
    first: int, last: int, matrix: np.ndarray, rows: np.ndarray, scores: np.ndarray, out_rows: np.ndarray,
    out_scores: np.ndarray, seen: np.ndarray,
) -> None:  # fmt: skip
    """Lists of each row from its own and those of the rows in it; ``seen`` int32 (n,) tells by which row last."""
    k = rows.shape[1]
    for row in range(first, last):
        size = np.int64(0)
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
                    size = push(out_scores[row], out_rows[row], size, score, other)
        best_first(out_scores[row], out_rows[row], size)
