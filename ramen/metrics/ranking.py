"""Converts predictions of any format to ranked label indices, and targets to binary CSR."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.metrics.kernels import NAN, UNORDERED, select, select_dense

PADDING = -1

Predictions: TypeAlias = "np.ndarray | sp.csr_matrix | list[list[int]]"


def top_k(pred: Predictions, n_rows: int, n_labels: int, k: int) -> np.ndarray:
    """Return the first ``k`` labels of every row, best first.

    Args:
        pred: int (N, K) label indices in rank order, -1 for "nothing"; or a list of them per row; or
            sparse N x L scores, of which only the stored entries rank (a stored 0 ranks, an absent one does not); or
            float (N, L) scores, of which all rank but -inf.
        n_rows: N, the rows of the targets.
        n_labels: L, the columns of the targets.
        k: cut-off, at least 1 and at most the columns of ``pred``.

    Returns:
        int64 (N, k). Ties go to the smaller label index; short rows end in -1.

    Raises:
        InputError: a shape, type or label index is invalid, or a score is NaN.

    Example:
        >>> top_k(sp.csr_matrix([[0.5, 0.0, 0.5], [0.0, 0.2, 0.0]]), n_rows=2, n_labels=3, k=2)
        array([[ 0,  2],
               [ 1, -1]])
    """
    if isinstance(pred, list):
        pred = _padded(pred, k)
    scored = sp.issparse(pred) or (isinstance(pred, np.ndarray) and pred.ndim == 2 and pred.dtype.kind == "f")
    if scored:
        if pred.shape != (n_rows, n_labels):
            raise InputError(
                f"predictions: scores of shape {pred.shape}, expected {(n_rows, n_labels)} as in the targets"
            )
    else:
        pred = check_ranked(pred, n_labels)
        if len(pred) != n_rows:
            raise InputError(f"predictions: {len(pred)} rows, expected {n_rows} as in the targets")
    if not 1 <= k <= pred.shape[1]:
        raise InputError(f"k is {k}, expected 1 to {pred.shape[1]}, the columns of the predictions")
    return _rank_scores(pred, k) if scored else pred[:, :k]


def check_ranked(pred: np.ndarray, n_labels: int) -> np.ndarray:
    """Return ``pred`` as int64 (N, K); raise InputError unless every entry is -1 or a label below ``n_labels``."""
    if not isinstance(pred, np.ndarray) or pred.ndim != 2 or not np.issubdtype(pred.dtype, np.integer):
        described = f"{pred.dtype} {pred.shape}" if isinstance(pred, np.ndarray) else type(pred).__name__
        raise InputError(f"predictions: {described}, expected an int (N, K) array of label indices or sparse scores")
    outside = (pred < PADDING) | (pred >= n_labels)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        label = pred[row, column]
        raise InputError(
            f"predictions: row {row}, column {column}: label {label}, expected 0 to {n_labels - 1} or {PADDING}"
        )
    return pred.astype(np.int64, copy=False)


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
        raise InputError(f"{what}: {type(matrix).__name__}, expected a sparse or dense matrix of rows x labels")
    binary = sp.csr_matrix(matrix)
    if binary.nnz and np.isnan(binary.data).any():
        raise InputError(f"{what}: a value is NaN, expected numbers")
    if binary.has_canonical_format and binary.data.all():
        return binary
    binary = sp.csr_matrix(matrix, copy=True)
    binary.sum_duplicates()
    binary.eliminate_zeros()
    return binary


def _padded(rows: list[list[int]], k: int) -> np.ndarray:
    """Return lists of any lengths as an int array of at least ``k`` columns; raise InputError if invalid."""
    try:
        width = max([k, *(len(row) for row in rows)])
        padded = np.array([[*row, *[PADDING] * (width - len(row))] for row in rows])
    except (TypeError, ValueError):
        padded = np.empty(0)
    if padded.ndim != 2 or padded.dtype.kind not in "iu":
        raise InputError("predictions: a list, expected for each row a list of label indices in rank order")
    return padded


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
