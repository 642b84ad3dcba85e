"""Approximate maximum inner product search over a large matrix: only the cells nearest to a query are searched.

Cells are balanced clusters of the rows. Queries are processed in bulk: each cell is scored against all queries that
probe it, so that the work is a matrix product and no candidate lists are stored.
"""

from __future__ import annotations

import numpy as np

from ramen.compiled import FAST, kernel
from ramen.mining.clusters import balanced_clusters
from ramen.mining.heaps import best_first, no_rows, push
from ramen.mining.nearest import nearest
from ramen.threads import one_blas_thread, parallel_for, thread_count

CELL = 256  # rows, at most
PROBES = 16  # cells per query
_FEWEST = 20  # minimum list length during NN-descent: shorter lists do not improve
_QUERIES = 65_536  # per batch: bounds the memory of probes


class Cells:
    """Rows of a matrix in balanced cells.

    Args:
        matrix: float32 (n, d), stored without a copy.
        size: maximum number of rows per cell.
        seed: of the clustering.

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
        self, queries: np.ndarray, k: int, exclude: np.ndarray | None = None, probes: int = PROBES
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows with the highest dot products within the cells with the nearest centres; see :func:`nearest`.

        Args:
            queries: float32 (B, d).
            k: rows per query, at least 1.
            exclude: int64 (B,), a row to exclude for each query (itself), or None.
            probes: cells searched per query; with all of them the result equals that of :func:`nearest`.

        Returns:
            int64 rows and float32 products, (B, k) each, best first, ties by smaller row; -1 and -inf if the cells
            hold fewer than k rows.
        """
        rows, scores = no_rows(len(queries), k)
        exclude = np.full(len(queries), -1, dtype=np.int64) if exclude is None else exclude
        probes = min(probes, len(self.centres))
        probed = nearest(queries, self.centres, probes)[0] if probes else np.empty((len(queries), 0), np.int64)

        # Few parts, as large matrix products are fast, but enough to keep all threads busy.
        parts = np.array_split(np.arange(len(queries)), max(thread_count(), -(-len(queries) // _QUERIES)))

        def search(first: int, last: int) -> None:
            for some in parts[first:last]:
                if len(some):
                    part = slice(some[0], some[-1] + 1)
                    self._search(queries[part], probed[part], exclude[part], scores[part], rows[part])

        with one_blas_thread():
            parallel_for(len(parts), search, work=1e9)
        return rows, scores

    def _search(
        self, queries: np.ndarray, probed: np.ndarray, exclude: np.ndarray, scores: np.ndarray, rows: np.ndarray
    ) -> None:
        sizes = np.zeros(len(queries), dtype=np.int64)
        order = np.argsort(probed, axis=None, kind="stable")
        bounds = np.searchsorted(probed.ravel()[order], np.arange(len(self.centres) + 1))
        for cell in np.flatnonzero(np.diff(bounds)):
            who = order[bounds[cell] : bounds[cell + 1]] // probed.shape[1]
            members = self._rows[self._starts[cell] : self._starts[cell + 1]]
            _offer(queries[who] @ self.matrix[members].T, who, members, exclude, scores, rows, sizes)
        _sort(scores, rows, sizes)


@kernel
def _offer(
    block: np.ndarray, who: np.ndarray, members: np.ndarray, exclude: np.ndarray, scores: np.ndarray, rows: np.ndarray,
    sizes: np.ndarray,
) -> None:  # fmt: skip
    k = scores.shape[1]
    for line in range(len(who)):
        query = who[line]
        for column in range(len(members)):
            score = block[line, column]
            if (sizes[query] < k or score >= scores[query, 0]) and members[column] != exclude[query]:
                sizes[query] = push(scores[query], rows[query], sizes[query], score, members[column])


@kernel
def _sort(scores: np.ndarray, rows: np.ndarray, sizes: np.ndarray) -> None:
    for query in range(len(sizes)):
        best_first(scores[query], rows[query], sizes[query])


def nearest_of_each(matrix: np.ndarray, k: int, seed: int = 0, rounds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return approximately the k nearest other rows of each row of a large matrix.

    Cells give initial lists, which NN-descent (Dong et al., WWW 2011, without its sampling) improves: each row is
    compared with the neighbours of its neighbours. docs/performance.md reports the recall.

    Args:
        matrix: float32 (n, d).
        k: neighbours per row, at least 1.
        seed: of the cells; the result does not depend on the number of threads.
        rounds: of NN-descent.

    Returns:
        int64 rows and float32 products, (n, k) each, as :func:`ramen.mining.nearest.nearest` with ``exclude``.
    """
    matrix = np.ascontiguousarray(matrix, dtype=np.float32)
    rows, scores = Cells(matrix, seed=seed).top(matrix, max(k, _FEWEST), np.arange(len(matrix)), PROBES)
    for _ in range(rounds):
        near, (rows, scores) = (rows, scores), no_rows(*rows.shape)
        parallel_for(
            len(matrix), _descend, matrix, *near, rows, scores, work=float(rows.shape[1] ** 2 * matrix.shape[1]),
            scratch=lambda: (np.full(len(matrix), -1, dtype=np.int32),),
        )  # fmt: skip
    return rows[:, :k], scores[:, :k]


@kernel(fastmath=FAST)
def _descend(
    first: int, last: int, matrix: np.ndarray, rows: np.ndarray, scores: np.ndarray, out_rows: np.ndarray,
    out_scores: np.ndarray, last_seen: np.ndarray,
) -> None:  # fmt: skip
    """Write the best k among the neighbours of each row and their neighbours.

    ``last_seen``, int32 (n,), has the row that visited a candidate last.
    """
    k = rows.shape[1]
    for row in range(first, last):
        size = np.int64(0)
        last_seen[row] = row
        for at in range(k):
            if rows[row, at] >= 0:
                last_seen[rows[row, at]] = row
                size = push(out_scores[row], out_rows[row], size, scores[row, at], rows[row, at])
        for at in range(k):
            near = rows[row, at]
            if near < 0:
                continue
            for other in rows[near]:
                if other < 0 or last_seen[other] == row:
                    continue
                last_seen[other] = row
                score = np.float32(0.0)
                for j in range(matrix.shape[1]):
                    score += matrix[row, j] * matrix[other, j]
                if size < k or score >= out_scores[row, 0]:
                    size = push(out_scores[row], out_rows[row], size, score, other)
        best_first(out_scores[row], out_rows[row], size)
