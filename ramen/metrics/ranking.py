"""Converts predictions of any format to ranked label indices, and targets to binary CSR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.metrics.kernels import NAN, UNORDERED, select, select_dense

PADDING = -1
FORMS = (
    "integers (N, K) are label indices in rank order, floats (N, L) or a sparse matrix are scores, "
    "booleans (N, L) mark what is predicted"
)

Predictions: TypeAlias = "np.ndarray | sp.csr_matrix | list[list[int]]"


def top_k(pred: Predictions, n_rows: int, n_labels: int, k: int) -> np.ndarray:
    """Return the first ``k`` labels of every row, best first.

    Args:
        pred: int (N, K) label indices in rank order, -1 for "nothing"; or a list of them per row; or
            sparse N x L scores, of which only the stored entries rank (a stored 0 ranks, an absent one does not); or
            float (N, L) scores, of which all rank but -inf; or bool (N, L), of which those that are True rank.
        n_rows: N, the rows of the targets.
        n_labels: L, the columns of the targets.
        k: cut-off, at least 1 and at most the columns of ``pred``.

    Returns:
        int64 (N, k). Ties go to the smaller label index; short rows end in -1.

    Raises:
        InputError: a shape, type or label index is invalid, a score is NaN, or integers with a column for each label
            are an indicator matrix or scores, as a label comes twice in a row.

    Example:
        >>> top_k(sp.csr_matrix([[0.5, 0.0, 0.5], [0.0, 0.2, 0.0]]), n_rows=2, n_labels=3, k=2)
        array([[ 0,  2],
               [ 1, -1]])
    """
    if isinstance(pred, list | tuple):
        pred = _padded(pred, n_labels, k)
    scored = sp.issparse(pred) or (isinstance(pred, np.ndarray) and pred.ndim == 2 and pred.dtype.kind in "fb")
    if scored:
        if pred.shape != (n_rows, n_labels):
            raise InputError(
                f"predictions: scores of shape {pred.shape}, expected {(n_rows, n_labels)} as in the targets: {FORMS}"
            )
        if pred.dtype == bool:
            pred = sp.csr_matrix(pred)
    else:
        refuse_indicator(pred, n_labels)
        pred = check_ranked(pred, n_labels)
        if len(pred) != n_rows:
            raise InputError(f"predictions: {len(pred)} rows, expected {n_rows} as in the targets")
    if not 1 <= k <= pred.shape[1]:
        raise InputError(f"k is {k}, expected 1 to {pred.shape[1]}, the columns of the predictions")
    if scored:
        return _rank_scores(pred, k)
    if pred.shape[1] == n_labels:  # as wide as scores
        _refuse_repeats(pred)
    return pred[:, :k]


def check_ranked(pred: np.ndarray, n_labels: int) -> np.ndarray:
    """Return ``pred`` as int64 (N, K); raise InputError unless every entry is -1 or a label below ``n_labels``."""
    if not isinstance(pred, np.ndarray) or pred.ndim != 2 or not np.issubdtype(pred.dtype, np.integer):
        raise InputError(f"predictions: {_described(pred)}, expected a NumPy array or a sparse matrix: {FORMS}")
    outside = (pred < PADDING) | (pred >= n_labels)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        label = pred[row, column]
        raise InputError(
            f"predictions: row {row}, column {column}: label {label}, expected 0 to {n_labels - 1} or {PADDING}"
        )
    return pred.astype(np.int64, copy=False)


def refuse_indicator(pred: Any, n_labels: int) -> None:
    """Raise InputError if integers are a 0/1 matrix (N, L), not label indices: a label comes twice in a row.

    No ranking is refused, as its rows name a label once. So 0s and 1s of a single label, or of two labels in rows that
    all differ within, pass as label indices.

    Example:
        >>> refuse_indicator(np.array([[1, 0], [0, 1]]), n_labels=2)
        >>> refuse_indicator(np.array([[1, 0, 1]]), n_labels=3)
        Traceback (most recent call last):
        ramen.errors.InputError: predictions: 0s and 1s, a column for each label: integers are label indices in rank \
order; pass pred.astype(bool) to predict the 1s, or scores as floats or as a sparse matrix
    """
    if not isinstance(pred, np.ndarray) or pred.dtype.kind not in "iu" or pred.ndim != 2 or pred.shape[1] != n_labels:
        return
    if not len(pred) or pred.min() < 0 or pred.max() > 1:
        return
    if pred.any() if n_labels == 1 else n_labels > 2 or (pred.sum(1) != 1).any():
        raise InputError(
            "predictions: 0s and 1s, a column for each label: integers are label indices in rank order; "
            "pass pred.astype(bool) to predict the 1s, or scores as floats or as a sparse matrix"
        )


def _refuse_repeats(ranked: np.ndarray) -> None:
    """Raise InputError if a label comes twice in a row of as many columns as labels: the integers are scores."""
    ordered = np.sort(ranked, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PADDING)
    if repeated.any():
        row, column = np.argwhere(repeated)[0]
        raise InputError(f"predictions: row {row}: label {ordered[row, column]} comes twice, expected once: {FORMS}")


def binary_csr(matrix: Any, what: str) -> sp.csr_matrix:
    """Return the nonzero pattern of a matrix as CSR with ascending labels in each row; ignore its values.

    Args:
        matrix: sparse, or a dense (N, L) array; not changed.
        what: its name for the error message.

    Raises:
        InputError: it is no such matrix, or has a NaN.
    """
    if isinstance(matrix, np.ndarray) and matrix.ndim == 2 and matrix.dtype.kind in "biuf":
        matrix = sp.csr_matrix(matrix)
    if not sp.issparse(matrix):
        raise InputError(
            f"{what}: {_described(matrix)}, expected a matrix of rows x labels: of scipy.sparse, or a NumPy array "
            "of numbers"
        )
    binary = sp.csr_matrix(matrix)
    if binary.nnz and np.isnan(binary.data).any():
        raise InputError(f"{what}: a value is NaN, expected numbers")
    if binary.has_canonical_format and binary.data.all():
        return binary
    binary = sp.csr_matrix(matrix, copy=True)
    binary.sum_duplicates()
    binary.eliminate_zeros()
    return binary


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}".removeprefix("builtins.")


def _padded(rows: Sequence[Sequence[int]], n_labels: int, k: int) -> np.ndarray:
    """Return lists of any lengths as an int array of at least ``k`` columns; raise InputError if invalid."""
    padded = np.empty(0)
    try:
        width = max((len(row) for row in rows), default=0)
        # Padding would make integers of a list of booleans.
        if not any(isinstance(row[0], bool | np.bool_) for row in rows if len(row)):
            padded = np.array([[*row, *[PADDING] * (width - len(row))] for row in rows])
    except (TypeError, ValueError, LookupError):
        pass
    if padded.ndim != 2 or (padded.dtype.kind not in "iu" and padded.size):
        raise InputError(
            f"predictions: a {type(rows).__name__}, expected for each row a list of label indices in rank order; "
            "scores and indicators as an array or a sparse matrix"
        )
    refuse_indicator(padded, n_labels)
    return np.pad(padded.astype(np.int64), ((0, 0), (0, max(0, k - width))), constant_values=PADDING)


def _rank_scores(scores: sp.csr_matrix | np.ndarray, k: int) -> np.ndarray:
    if isinstance(scores, np.ndarray):
        ranked, state = select_dense(np.ascontiguousarray(_of_kernel(scores)), k)
    else:
        csr = sp.csr_matrix(scores)
        ranked, state = select(*starts_and_labels(csr), _of_kernel(csr.data), k)
        if (state & UNORDERED).any():
            csr = sp.csr_matrix(scores, copy=True)
            csr.sum_duplicates()
            ranked, state = select(*starts_and_labels(csr), _of_kernel(csr.data), k)
    if (state & NAN).any():
        raise InputError(f"predictions: row {np.flatnonzero(state & NAN)[0]}: a score is NaN, expected numbers")
    return ranked


def starts_and_labels(matrix: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return indptr (int64) and indices (int32 if possible) of a CSR, so that each kernel compiles once."""
    wide = matrix.shape[1] > np.iinfo(np.int32).max
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64 if wide else np.int32, copy=False)


def _of_kernel(scores: np.ndarray) -> np.ndarray:
    return scores if scores.dtype in (np.float32, np.float64) else scores.astype(np.float64)
