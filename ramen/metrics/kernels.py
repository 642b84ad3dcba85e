"""Kernels of the metrics: top-k selection, and all sums in one pass over the predictions.

The tests have plain reference implementations.
"""

from __future__ import annotations

import numpy as np

from ramen.compiled import kernel
from ramen.threads import parallel_for

SUMS = ("hits", "ndcg", "recall", "gain", "best", "gain_ndcg", "best_ndcg", "gain_recall", "best_recall")
OK, UNORDERED, NAN = 0, 1, 2  # of a row
_PARTS = 64  # of the rows; fixed, so that sums do not depend on the number of threads


@kernel(inline="always")
def _insert(value: float, label: int, values: np.ndarray, labels: np.ndarray, filled: int) -> int:
    """Insert a value into a descending list, stable for ties; return the number of filled slots."""
    place = filled if filled < len(values) else filled - 1
    while place > 0 and value > values[place - 1]:
        values[place] = values[place - 1]
        labels[place] = labels[place - 1]
        place -= 1
    values[place] = value
    labels[place] = label
    return min(filled + 1, len(values))


def select(indptr: np.ndarray, indices: np.ndarray, scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best stored entries of each CSR row, best first, ties by smaller label.

    Returns:
        labels int64 (N, k), -1 if a row has fewer; state uint8 (N,): OK, UNORDERED if the labels of a row do not
        ascend (do not use its result), NAN if a score is NaN.
    """
    ranked, state = _room(len(indptr) - 1, k)
    parallel_for(len(ranked), _select, indptr, indices, scores, ranked, state, work=10 + len(indices) / len(ranked))
    return ranked, state


def select_dense(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best columns of each row of a float (N, L) array, like :func:`select`."""
    ranked, state = _room(len(scores), k)
    parallel_for(len(ranked), _select_dense, scores, ranked, state, work=10.0 + scores.shape[1])
    return ranked, state


def _room(n_rows: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((n_rows, k), -1, dtype=np.int64), np.zeros(n_rows, dtype=np.uint8)


@kernel
def _select(
    first: int, last: int, indptr: np.ndarray, indices: np.ndarray, scores: np.ndarray, ranked: np.ndarray,
    state: np.ndarray,
) -> None:  # fmt: skip
    k = ranked.shape[1]
    values = np.empty(k, dtype=scores.dtype)
    for row in range(first, last):
        labels, filled, before = ranked[row], 0, -1
        for at in range(indptr[row], indptr[row + 1]):
            label, score = indices[at], scores[at]
            if label <= before:
                state[row] |= UNORDERED
            before = label
            if score != score:
                state[row] |= NAN
            elif filled < k or score > values[k - 1]:
                filled = _insert(score, label, values, labels, filled)


@kernel
def _select_dense(first: int, last: int, scores: np.ndarray, ranked: np.ndarray, state: np.ndarray) -> None:
    k = ranked.shape[1]
    values = np.empty(k, dtype=scores.dtype)
    for row in range(first, last):
        labels, filled = ranked[row], 0
        for label in range(scores.shape[1]):
            score = scores[row, label]
            if score != score:
                state[row] = NAN
            elif score == -np.inf:
                continue
            elif filled < k or score > values[k - 1]:
                filled = _insert(score, label, values, labels, filled)


@kernel
def _judge(
    ranked: np.ndarray,
    true: np.ndarray,
    weights: np.ndarray,
    discounts: np.ndarray,
    ideal: np.ndarray,
    best: np.ndarray,
    none: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add the values of a row at 1..k to ``out``, float64 (SUMS, k); nothing for a row without true labels."""
    k, count, filled = len(ranked), len(true), 0
    if count == 0:
        return
    for label in true:
        if filled < k or weights[label] > best[k - 1]:
            filled = _insert(weights[label], label, best, none, filled)
    hits = gain = gain_discounted = hits_discounted = most = most_discounted = 0.0
    for place in range(k):
        label = ranked[place]
        if label >= 0:
            at = np.searchsorted(true, label)
            if at < count and true[at] == label and not np.any(ranked[:place] == label):
                hits += 1.0
                hits_discounted += discounts[place]
                gain += weights[label]
                gain_discounted += weights[label] * discounts[place]
        if place < filled:
            most += best[place]
            most_discounted += best[place] * discounts[place]
        attainable = ideal[min(place + 1, count) - 1]
        out[0, place] += hits
        out[1, place] += hits_discounted / attainable
        out[2, place] += hits / count
        out[3, place] += gain
        out[4, place] += most
        out[5, place] += gain_discounted / attainable
        out[6, place] += most_discounted / attainable
        out[7, place] += gain / count
        out[8, place] += most / count


def tally(ranked: np.ndarray, indptr: np.ndarray, indices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sums over all rows from which the metrics are computed.

    Args:
        ranked: int64 (N, k) labels, -1 for none; only the first occurrence of a label counts.
        indptr: int64 (N + 1) of the true labels.
        indices: of the true labels, ascending and without repeats in a row.
        weights: float64 (L,), of the labels; all 1 without propensities.

    Returns:
        float64 (len(SUMS), k), at 1..k: hits, discounted hits over the attainable, hits over the true labels; the
        same three with weights, of the predictions (gain) and of the best ranking of the true labels (best).
    """
    sums = np.zeros((_PARTS, len(SUMS), ranked.shape[1]))
    work = 10.0 * len(ranked) * ranked.shape[1] / _PARTS
    parallel_for(_PARTS, _tally, ranked, indptr, indices, weights, sums, False, work=1 + work)
    return sums.sum(axis=0)


def tally_rows(ranked: np.ndarray, indptr: np.ndarray, indices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the terms of :func:`tally` by row, float64 (N, len(SUMS), k)."""
    rows = np.zeros((len(ranked), len(SUMS), ranked.shape[1]))
    work = 10.0 * len(ranked) * ranked.shape[1] / _PARTS
    parallel_for(_PARTS, _tally, ranked, indptr, indices, weights, rows, True, work=1 + work)
    return rows


@kernel
def _tally(
    first: int, last: int, ranked: np.ndarray, indptr: np.ndarray, indices: np.ndarray, weights: np.ndarray,
    sums: np.ndarray, by_row: bool,
) -> None:  # fmt: skip
    """Add the values of the rows of some parts to ``sums[part]``, or to ``sums[row]``."""
    n_rows, k = ranked.shape
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)
    best, none = np.empty(k), np.empty(k, dtype=np.int64)
    for part in range(first, last):
        for row in range(part * n_rows // _PARTS, (part + 1) * n_rows // _PARTS):
            true = indices[indptr[row] : indptr[row + 1]]
            _judge(ranked[row], true, weights, discounts, ideal, best, none, sums[row if by_row else part])


def true_places(ranked: np.ndarray, indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return which of ranked labels are true, bool (N, k); see :func:`tally` for the arguments."""
    right = np.zeros(ranked.shape, dtype=np.bool_)
    parallel_for(len(ranked), _true_places, ranked, indptr, indices, right, work=10.0 * ranked.shape[1])
    return right


@kernel
def _true_places(
    first: int, last: int, ranked: np.ndarray, indptr: np.ndarray, indices: np.ndarray, right: np.ndarray
) -> None:
    for row in range(first, last):
        true = indices[indptr[row] : indptr[row + 1]]
        for place in range(ranked.shape[1]):
            at = np.searchsorted(true, ranked[row, place])
            right[row, place] = at < len(true) and true[at] == ranked[row, place]
