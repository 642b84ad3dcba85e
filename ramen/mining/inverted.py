"""An inverted index: lists the rows of each feature, so that a query only visits rows that share one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from ramen.compiled import kernel
from ramen.mining.heaps import best_first, no_rows, push
from ramen.threads import parallel_for

_Arrays = tuple[np.ndarray, ...]
_FEW, _MANY = 100, 5000  # a feature of at most _FEW rows is never too common, of more than _MANY always


class InvertedIndex:
    """Sparse rows, scored by query · row + bias.

    Args:
        rows: sparse (n, F), as float32; a CSC matrix is shared, not copied.
        bias: float32 (n,), or None.
        max_share: ignore features that a larger share of the rows has: words of most texts cost most of the time and
            are least informative. Below 1, features of more than 5,000 rows are ignored too.
    """

    def __init__(self, rows: sp.spmatrix, bias: np.ndarray | None = None, max_share: float = 1.0) -> None:
        columns = sp.csc_matrix(rows, dtype=np.float32)
        if max_share < 1.0:
            is_rare = np.diff(columns.indptr) <= min(max(_FEW, max_share * rows.shape[0]), _MANY)
            columns = (columns @ sp.diags(is_rare.astype(np.float32))).tocsc()
            columns.eliminate_zeros()
        self.n_rows = rows.shape[0]
        # No copies: the weights of a million labels take most of the memory.
        self._starts, self._rows = columns.indptr.astype(np.int64), columns.indices.astype(np.int32, copy=False)
        self._weights = columns.data
        self._bias = np.zeros(self.n_rows, dtype=np.float32) if bias is None else bias.astype(np.float32, copy=False)

    def top(self, queries: sp.csr_matrix, k: int, exclude: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the best rows that share a feature with the query; ties by smaller row.

        Args:
            queries: CSR (B, F) float32.
            k: rows per query.
            exclude: int64 (B,), a row to exclude for each query (itself), or None.

        Returns:
            int64 rows and float32 scores, (B, k) each, best first; -1 and -inf if fewer than k rows share a feature.
        """
        exclude = np.full(queries.shape[0], -1, dtype=np.int64) if exclude is None else exclude
        rows, scores = no_rows(queries.shape[0], k)
        self._run(_top, queries, exclude, rows, scores)
        return rows, scores

    def scores(self, queries: sp.csr_matrix, rows: np.ndarray) -> np.ndarray:
        """Return the scores of some rows for each query, float32 (B, C).

        Args:
            queries: CSR (B, F) float32.
            rows: int64 (B, C); the score of row -1 is 0.
        """
        out = np.zeros(rows.shape, dtype=np.float32)
        self._run(_scores, queries, rows, out)
        return out

    def largest_terms(self, query: sp.csr_matrix, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k features that count most in the score of each of some rows, and their terms of the score.

        Args:
            query: CSR (1, F) float32.
            rows: int64 (C,), distinct.
            k: features per row.

        Returns:
            int64 features and float32 terms, (C, k) each, of the largest absolute value first, ties by smaller feature;
            -1 and 0 if a row has fewer features of the query.
        """
        query = query.sorted_indices()
        places = np.full(self.n_rows, -1, dtype=np.int32)
        places[rows] = np.arange(len(rows))
        entries, sizes = no_rows(len(rows), k)
        words, values = query.indices.astype(np.int64), query.data.astype(np.float32)
        _largest_terms(words, values, self._starts, self._rows, self._weights, places, entries, sizes)
        features, terms = np.full(entries.shape, -1, dtype=np.int64), np.zeros(entries.shape, dtype=np.float32)
        found = entries >= 0
        features[found] = np.searchsorted(self._starts, entries[found], side="right") - 1
        terms[found] = values[np.searchsorted(words, features[found])] * self._weights[entries[found]]
        return features, terms

    def _run(self, kernel: Callable, queries: sp.csr_matrix, *arrays: np.ndarray) -> None:
        csr = queries.indptr.astype(np.int64), queries.indices.astype(np.int64), queries.data.astype(np.float32)
        index = self._starts, self._rows, self._weights, self._bias
        n, work = queries.shape[0], 1.0
        if n > 1:
            work = 100 + 2 * int((self._starts[csr[1] + 1] - self._starts[csr[1]]).sum()) / n
        parallel_for(n, kernel, csr, index, *arrays, work=work, scratch=self._scratch)

    def _scratch(self) -> _Arrays:
        """Return scratch arrays: a running total per row, the query it belongs to, and the rows visited.

        Untouched zeroed memory costs nothing, so this is cheap even for one query.
        """
        n = self.n_rows
        return np.zeros(n, dtype=np.float32), np.zeros(n, dtype=np.int32), np.empty(n, dtype=np.int32)


@kernel
def _accumulate(
    features: np.ndarray, values: np.ndarray, starts: np.ndarray, rows: np.ndarray, weights: np.ndarray,
    totals: np.ndarray, stamps: np.ndarray, stamp: int, touched: np.ndarray,
) -> int:  # fmt: skip
    """Sum the products of a query by row; write visited rows to ``touched`` and return their number."""
    count = 0
    for place in range(len(features)):
        value = values[place]
        for at in range(starts[features[place]], starts[features[place] + 1]):
            row = rows[at]
            if stamps[row] != stamp:
                stamps[row] = stamp
                totals[row] = 0.0
                touched[count] = row
                count += 1
            totals[row] += value * weights[at]
    return count


@kernel
def _top(
    first: int, last: int, queries: _Arrays, index: _Arrays, exclude: np.ndarray, out_rows: np.ndarray,
    out_scores: np.ndarray, totals: np.ndarray, stamps: np.ndarray, touched: np.ndarray,
) -> None:  # fmt: skip
    q_starts, q_features, q_values = queries
    starts, rows, weights, bias = index
    for query in range(first, last):
        part = slice(q_starts[query], q_starts[query + 1])
        count = _accumulate(q_features[part], q_values[part], starts, rows, weights, totals, stamps, query + 1, touched)
        size = np.int64(0)
        for place in range(count):
            row = np.int64(touched[place])
            if row != exclude[query]:
                size = push(out_scores[query], out_rows[query], size, totals[row] + bias[row], row)
        best_first(out_scores[query], out_rows[query], size)


@kernel
def _scores(
    first: int, last: int, queries: _Arrays, index: _Arrays, wanted: np.ndarray, out: np.ndarray, totals: np.ndarray,
    stamps: np.ndarray, touched: np.ndarray,
) -> None:  # fmt: skip
    q_starts, q_features, q_values = queries
    starts, rows, weights, bias = index
    for query in range(first, last):
        part = slice(q_starts[query], q_starts[query + 1])
        _accumulate(q_features[part], q_values[part], starts, rows, weights, totals, stamps, query + 1, touched)
        for column in range(wanted.shape[1]):
            row = wanted[query, column]
            if row >= 0:
                met = stamps[row] == query + 1
                out[query, column] = bias[row] + (totals[row] if met else np.float32(0.0))


@kernel
def _largest_terms(
    features: np.ndarray, values: np.ndarray, starts: np.ndarray, rows: np.ndarray, weights: np.ndarray,
    places: np.ndarray, out_entries: np.ndarray, out_sizes: np.ndarray,
) -> None:  # fmt: skip
    """Push the entries of the index, by absolute term, to the heap of their row, if it has a place."""
    counts = np.zeros(len(out_entries), dtype=np.int64)
    for at in range(len(features)):
        value = values[at]
        for entry in range(starts[features[at]], starts[features[at] + 1]):
            place = places[rows[entry]]
            if place >= 0:
                size = np.abs(value * weights[entry])
                counts[place] = push(out_sizes[place], out_entries[place], counts[place], size, np.int64(entry))
    for place in range(len(counts)):
        best_first(out_sizes[place], out_entries[place], counts[place])
