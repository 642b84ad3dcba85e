"""Predictions of either shape as ranked label indices, and which of them are right."""

from __future__ import annotations

from typing import TypeAlias

import numba
import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError

PADDING = -1

Predictions: TypeAlias = np.ndarray | sp.csr_matrix


def top_k(pred: Predictions, n_rows: int, n_labels: int, k: int) -> np.ndarray:
    """The first ``k`` labels of every row, best first.

    Args:
        pred: int (N, K) label indices in rank order, -1 for "nothing"; or sparse N x L scores, of which only the
            stored entries rank (a stored 0 ranks, an absent one does not).
        n_rows: N, the rows of the truth.
        n_labels: L, the columns of the truth.
        k: how many; at least 1 and at most the columns of ``pred``.

    Returns:
        int64 (N, k). Ties between scores go to the smaller label index; short rows end in -1.

    Raises:
        InputError: a shape, type or label index that does not fit, or a NaN score.

    Example:
        >>> top_k(sp.csr_matrix([[0.5, 0.0, 0.5], [0.0, 0.2, 0.0]]), n_rows=2, n_labels=3, k=2)
        array([[ 0,  2],
               [ 1, -1]])
    """
    if sp.issparse(pred):
        if pred.shape != (n_rows, n_labels):
            raise InputError(
                f"predictions: scores of shape {pred.shape}, expected {(n_rows, n_labels)} as in the truth"
            )
    else:
        pred = check_ranked(pred, n_labels)
        if len(pred) != n_rows:
            raise InputError(f"predictions: {len(pred)} rows, expected {n_rows} as in the truth")
    if not 1 <= k <= pred.shape[1]:
        raise InputError(f"k is {k}, expected 1 to {pred.shape[1]}, the columns of the predictions")
    return _rank_scores(pred, k) if sp.issparse(pred) else pred[:, :k]


def check_ranked(pred: np.ndarray, n_labels: int) -> np.ndarray:
    """``pred`` as int64 (N, K), every entry -1 or a label index below ``n_labels``; else InputError."""
    if not isinstance(pred, np.ndarray) or pred.ndim != 2 or not np.issubdtype(pred.dtype, np.integer):
        found = f"{pred.dtype} {pred.shape}" if isinstance(pred, np.ndarray) else type(pred).__name__
        raise InputError(f"predictions: {found}, expected an int (N, K) array of label indices or sparse scores")
    outside = (pred < PADDING) | (pred >= n_labels)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        found = pred[row, column]
        raise InputError(
            f"predictions: row {row}, column {column}: label {found}, expected 0 to {n_labels - 1} or {PADDING}"
        )
    return pred.astype(np.int64, copy=False)


def binary_csr(matrix: sp.csr_matrix, what: str) -> sp.csr_matrix:
    """A float64 0/1 CSR copy with sorted indices: any stored value other than 0 counts as 1."""
    if not sp.issparse(matrix):
        raise InputError(f"{what}: {type(matrix).__name__}, expected a scipy sparse matrix of rows x labels")
    binary = sp.csr_matrix(matrix, copy=True)
    binary.sum_duplicates()
    binary.eliminate_zeros()
    binary.data = np.ones(binary.nnz, dtype=np.float64)
    return binary


def hits(ranked: np.ndarray, truth: sp.csr_matrix) -> np.ndarray:
    """Which ranked labels are right: bool (N, k).

    A label that occurs twice in a row counts where it stands first; its second place is a miss.

    Args:
        ranked: int64 (N, k), as from :func:`top_k`.
        truth: N x L, as from :func:`binary_csr`.
    """
    return _hits(np.ascontiguousarray(ranked), truth.indptr.astype(np.int64), truth.indices.astype(np.int64))


def _rank_scores(scores: sp.csr_matrix, k: int) -> np.ndarray:
    csr = sp.csr_matrix(scores, copy=True)
    csr.sum_duplicates()
    if np.isnan(csr.data).any():
        row = np.searchsorted(csr.indptr, np.flatnonzero(np.isnan(csr.data))[0], side="right") - 1
        raise InputError(f"predictions: row {row}: a score is NaN, expected numbers")
    lengths = np.diff(csr.indptr)
    rows = np.repeat(np.arange(csr.shape[0]), lengths)
    # Entries stand in label order and lexsort is stable, so equal scores keep the smaller label first.
    order = np.lexsort((-csr.data.astype(np.float64, copy=False), rows))
    places = np.arange(csr.nnz) - np.repeat(csr.indptr[:-1], lengths)
    kept = places < k
    ranked = np.full((csr.shape[0], k), PADDING, dtype=np.int64)
    ranked[rows[kept], places[kept]] = csr.indices[order][kept]
    return ranked


@numba.njit(cache=True)
def _hits(ranked: np.ndarray, indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
    n_rows, k = ranked.shape
    found = np.zeros((n_rows, k), dtype=np.bool_)
    for row in range(n_rows):
        true_labels = indices[indptr[row] : indptr[row + 1]]
        for place in range(k):
            label = ranked[row, place]
            at = np.searchsorted(true_labels, label)
            if at < len(true_labels) and true_labels[at] == label:
                found[row, place] = not np.any(ranked[row, :place] == label)
    return found
