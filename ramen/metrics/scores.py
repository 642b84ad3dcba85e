"""P, nDCG, R, PSP, PSnDCG and PSR at 1..k, with pyxclib's names and conventions.

Every function returns a float64 array of k entries, for 1..k, as fractions of 1. Rows without true labels count
as 0 in the mean. Where pyxclib leaves a choice open or differs:

* the targets are binarised: any stored value other than 0 counts once;
* equal scores rank by the smaller label index;
* a label predicted twice in a row counts once;
* with no true label at all a propensity-scored metric is 0, not NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.metrics.kernels import SUMS, tally
from ramen.metrics.ranking import Predictions, binary_csr, starts_and_labels, top_k


@dataclass
class Judged:
    """Sums of ranked predictions compared with the targets, for all metrics.

    Attributes:
        sums: by the names of :data:`ramen.metrics.kernels.SUMS`, float64 (k,), over all rows.
        n_rows: of them.
    """

    sums: dict[str, np.ndarray]
    n_rows: int


def judge(
    pred: Predictions, targets: sp.csr_matrix | np.ndarray, k: int, inverse_propensity: np.ndarray | None = None
) -> Judged:
    """Rank ``pred``, cut it at ``k``, and compare it with ``targets``; the basis of every metric.

    Raises:
        InputError: shapes, types or values are invalid.
    """
    binary = binary_csr(targets, "targets")
    n_rows, n_labels = binary.shape
    if n_rows == 0 or n_labels == 0:
        raise InputError(f"targets: shape {binary.shape}, expected at least 1 row and 1 label")
    weights = np.ones(n_labels) if inverse_propensity is None else checked_weights(inverse_propensity, n_labels)
    ranked = np.ascontiguousarray(top_k(pred, n_rows, n_labels, k))
    sums = tally(ranked, *starts_and_labels(binary), weights)
    return Judged(dict(zip(SUMS, sums, strict=True)), n_rows)


def precision(pred: Predictions, targets: sp.csr_matrix, k: int = 5) -> np.ndarray:
    """P@1..k: the share of correct labels among the first k predictions, averaged over rows.

    Args:
        pred: labels in rank order or scores, as :func:`ramen.metrics.ranking.top_k` takes them.
        targets: sparse or dense N x L.
        k: cut-off.

    Returns:
        float64 (k,), fractions.

    Raises:
        InputError: shapes, types or label indices are invalid.

    Example:
        >>> targets = sp.csr_matrix([[1, 1, 0], [0, 0, 1]])
        >>> precision(np.array([[0, 2], [2, 1]]), targets, k=2)
        array([1. , 0.5])
    """
    return precision_of(judge(pred, targets, k))


def ndcg(pred: Predictions, targets: sp.csr_matrix, k: int = 5) -> np.ndarray:
    """nDCG@1..k: gain 1/log2(rank + 1), over the gain of a perfect ranking of min(k, true labels) hits.

    Arguments, result and errors as in :func:`precision`.

    Example:
        >>> ndcg(np.array([[2, 0]]), sp.csr_matrix([[1, 0, 0]]), k=2).round(3)
        array([0.   , 0.631])
    """
    return ndcg_of(judge(pred, targets, k))


def recall(pred: Predictions, targets: sp.csr_matrix, k: int = 5) -> np.ndarray:
    """R@1..k: the share of a row's true labels among its first k predictions, averaged over rows.

    Arguments, result and errors as in :func:`precision`.

    Example:
        >>> recall(np.array([[0, 2]]), sp.csr_matrix([[1, 1, 0]]), k=2)
        array([0.5, 0.5])
    """
    return recall_of(judge(pred, targets, k))


def psprecision(pred: Predictions, targets: sp.csr_matrix, inverse_propensity: np.ndarray, k: int = 5) -> np.ndarray:
    """PSP@1..k (Jain et al., KDD 2016): hits weighted by 1/propensity, over the best attainable value.

    The quotient is mean / mean over all rows, not a mean of quotients.

    Args:
        pred: as in :func:`precision`.
        targets: sparse N x L.
        inverse_propensity: float (L,), positive; see :func:`ramen.metrics.inverse_propensity`.
        k: cut-off.

    Returns:
        float64 (k,), fractions.

    Raises:
        InputError: shapes, types or values are invalid.

    Example:
        >>> targets = sp.csr_matrix([[1, 1, 0], [0, 0, 1]])
        >>> psprecision(np.array([[0], [2]]), targets, np.array([1.0, 3.0, 5.0]), k=1)
        array([0.75])
    """
    return psprecision_of(judge(pred, targets, k, inverse_propensity))


def psndcg(pred: Predictions, targets: sp.csr_matrix, inverse_propensity: np.ndarray, k: int = 5) -> np.ndarray:
    """PSnDCG@1..k (Jain et al., KDD 2016): as :func:`psprecision`, with gains discounted by 1/log2(rank + 1).

    Arguments, result and errors as in :func:`psprecision`.
    """
    return psndcg_of(judge(pred, targets, k, inverse_propensity))


def psrecall(pred: Predictions, targets: sp.csr_matrix, inverse_propensity: np.ndarray, k: int = 5) -> np.ndarray:
    """PSR@1..k: weights 1/propensity of the hits over a row's number of true labels, over the best attainable value.

    The quotient is mean / mean over all rows, as pyxclib's. Arguments, result and errors as in :func:`psprecision`.

    Example:
        >>> targets = sp.csr_matrix([[1, 1, 0], [0, 0, 1]])
        >>> psrecall(np.array([[0], [2]]), targets, np.array([1.0, 3.0, 5.0]), k=1).round(3)
        array([0.846])
    """
    return psrecall_of(judge(pred, targets, k, inverse_propensity))


def precision_of(judged: Judged) -> np.ndarray:
    """:func:`precision` of judged predictions."""
    hits = judged.sums["hits"]
    return hits / judged.n_rows / np.arange(1, len(hits) + 1)


def ndcg_of(judged: Judged) -> np.ndarray:
    """:func:`ndcg` of judged predictions."""
    return judged.sums["ndcg"] / judged.n_rows


def recall_of(judged: Judged) -> np.ndarray:
    """:func:`recall` of judged predictions."""
    return judged.sums["recall"] / judged.n_rows


def psprecision_of(judged: Judged) -> np.ndarray:
    """:func:`psprecision` of judged predictions, with weights."""
    return _ratio(judged.sums["gain"], judged.sums["best"])


def psndcg_of(judged: Judged) -> np.ndarray:
    """:func:`psndcg` of judged predictions, with weights."""
    return _ratio(judged.sums["gain_ndcg"], judged.sums["best_ndcg"])


def psrecall_of(judged: Judged) -> np.ndarray:
    """:func:`psrecall` of judged predictions, with weights."""
    return _ratio(judged.sums["gain_recall"], judged.sums["best_recall"])


def checked_weights(inverse_propensity: np.ndarray, n_labels: int) -> np.ndarray:
    """Return the propensities as float64 (L,); raise InputError if their number is wrong or one is not positive."""
    weights = np.asarray(inverse_propensity, dtype=np.float64)
    if weights.shape != (n_labels,):
        raise InputError(f"inverse_propensity: shape {weights.shape}, expected ({n_labels},), one per label")
    if not (np.isfinite(weights) & (weights > 0)).all():
        at = int(np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))[0])
        raise InputError(f"inverse_propensity: label {at}: {weights[at]}, expected a positive number")
    return np.ascontiguousarray(weights)


def _ratio(value: np.ndarray, best: np.ndarray) -> np.ndarray:
    return np.divide(value, best, out=np.zeros_like(value), where=best > 0)
