"""Bounded heaps for kernels: keep the k best of a stream of (score, row)."""

from __future__ import annotations

import numpy as np

from ramen.compiled import kernel
from ramen.threads import parallel_for


def no_rows(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return empty heaps: rows int64 -1 and scores float32 -inf, (n, k) each."""
    return np.full((n, k), -1, dtype=np.int64), np.full((n, k), -np.inf, dtype=np.float32)


@kernel(inline="always")
def _worse(score: float, row: int, other_score: float, other_row: int) -> bool:
    """Return whether the first ranks behind the second: a lower score, or an equal score and a larger row."""
    return score < other_score or (score == other_score and row > other_row)


@kernel
def _sink(scores: np.ndarray, rows: np.ndarray, size: int, at: int) -> None:
    score, row = scores[at], rows[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _worse(scores[child + 1], rows[child + 1], scores[child], rows[child]):
            child += 1
        if not _worse(scores[child], rows[child], score, row):
            break
        scores[at], rows[at] = scores[child], rows[child]
        at = child
    scores[at], rows[at] = score, row


@kernel
def push(scores: np.ndarray, rows: np.ndarray, size: int, score: float, row: int) -> int:
    """Push (score, row) to a heap whose worst entry is first; return the new size, at most ``len(scores)``.

    Ties go to the smaller row, independent of order. Start with size ``np.int64(0)`` and pass rows as int64: numba
    compiles another version for a literal 0 or an int32.
    """
    if size < len(scores):
        at = size
        while at > 0:
            parent = (at - 1) // 2
            if not _worse(score, row, scores[parent], rows[parent]):
                break
            scores[at], rows[at] = scores[parent], rows[parent]
            at = parent
        scores[at], rows[at] = score, row
        return size + 1
    if size and _worse(scores[0], rows[0], score, row):
        scores[0], rows[0] = score, row
        _sink(scores, rows, size, 0)
    return size


@kernel
def best_first(scores: np.ndarray, rows: np.ndarray, size: int) -> None:
    """Sort a heap in place, best first."""
    for end in range(size - 1, 0, -1):
        scores[0], scores[end] = scores[end], scores[0]
        rows[0], rows[end] = rows[end], rows[0]
        _sink(scores, rows, end, 0)


def best(labels: np.ndarray, scores: np.ndarray, offered: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels with the k highest offered scores of each row, and the scores; ties by smaller label."""
    best_labels, values = no_rows(len(labels), k)
    parallel_for(len(labels), _best, labels, scores, offered, best_labels, values, work=1.0 + 10 * labels.shape[1])
    return best_labels, values


@kernel
def _best(
    first: int, last: int, labels: np.ndarray, scores: np.ndarray, offered: np.ndarray, best_labels: np.ndarray,
    values: np.ndarray,
) -> None:  # fmt: skip
    for row in range(first, last):
        size = np.int64(0)
        for column in range(labels.shape[1]):
            if offered[row, column]:
                size = push(values[row], best_labels[row], size, scores[row, column], labels[row, column])
        best_first(values[row], best_labels[row], size)
