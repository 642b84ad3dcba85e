"""P, nDCG, R, PSP and PSnDCG at 1..k, with pyxclib's names and conventions.

Every function returns a float64 array of k entries, for 1..k, as fractions of 1. Rows without any true label stay in
the mean as 0. Where pyxclib leaves a choice open or differs:

* the truth is binarised: any stored value other than 0 counts once;
* equal scores rank by the smaller label index;
* a label predicted twice in a row counts once;
* with no true label at all a propensity-scored metric is 0, not NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.metrics.ranking import Predictions, binary_csr, hits, top_k


@dataclass
class Judged:
    """Ranked predictions held against the truth.

    Attributes:
        ranked: int64 (N, k) label indices, -1 for none.
        hits: bool (N, k), which of them are right.
        truth: N x L, 0/1.
        counts: int64 (N,), true labels per row.
    """

    ranked: np.ndarray
    hits: np.ndarray
    truth: sp.csr_matrix
    counts: np.ndarray


def judge(pred: Predictions, truth: sp.csr_matrix, k: int) -> Judged:
    """Rank ``pred``, cut it at ``k`` and hold it against ``truth``; every metric starts from this."""
    binary = binary_csr(truth, "truth")
    n_rows, n_labels = binary.shape
    if n_rows == 0 or n_labels == 0:
        raise InputError(f"truth: shape {binary.shape}, expected at least 1 row and 1 label")
    ranked = top_k(pred, n_rows, n_labels, k)
    return Judged(ranked, hits(ranked, binary), binary, np.diff(binary.indptr).astype(np.int64))


def precision(pred: Predictions, truth: sp.csr_matrix, k: int = 5) -> np.ndarray:
    """P@1..k: the share of the first k predictions that is right, averaged over rows.

    Args:
        pred: int (N, K) label indices in rank order, -1 for none (a miss), or sparse N x L scores.
        truth: sparse N x L.
        k: cut-off.

    Returns:
        float64 (k,), fractions.

    Raises:
        InputError: shapes, types or label indices that do not fit.

    Example:
        >>> truth = sp.csr_matrix([[1, 1, 0], [0, 0, 1]])
        >>> precision(np.array([[0, 2], [2, 1]]), truth, k=2)
        array([1. , 0.5])
    """
    return precision_of(judge(pred, truth, k))


def ndcg(pred: Predictions, truth: sp.csr_matrix, k: int = 5) -> np.ndarray:
    """nDCG@1..k: gain 1/log2(rank + 1), over the gain of a perfect ranking of min(k, true labels) hits.

    Arguments, result and errors as in :func:`precision`.

    Example:
        >>> ndcg(np.array([[2, 0]]), sp.csr_matrix([[1, 0, 0]]), k=2).round(3)
        array([0.   , 0.631])
    """
    return ndcg_of(judge(pred, truth, k))


def recall(pred: Predictions, truth: sp.csr_matrix, k: int = 5) -> np.ndarray:
    """R@1..k: the share of a row's true labels among its first k predictions, averaged over rows.

    Arguments, result and errors as in :func:`precision`.

    Example:
        >>> recall(np.array([[0, 2]]), sp.csr_matrix([[1, 1, 0]]), k=2)
        array([0.5, 0.5])
    """
    return recall_of(judge(pred, truth, k))


def psprecision(pred: Predictions, truth: sp.csr_matrix, inverse_propensity: np.ndarray, k: int = 5) -> np.ndarray:
    """PSP@1..k (Jain et al., KDD 2016): hits weighted by 1/propensity, over the best that is attainable.

    The quotient is mean / mean over all rows, not a mean of quotients.

    Args:
        pred: as in :func:`precision`.
        truth: sparse N x L.
        inverse_propensity: float (L,), positive; see :func:`ramen.metrics.inverse_propensity`.
        k: cut-off.

    Returns:
        float64 (k,), fractions.

    Raises:
        InputError: shapes, types or values that do not fit.

    Example:
        >>> truth = sp.csr_matrix([[1, 1, 0], [0, 0, 1]])
        >>> psprecision(np.array([[0], [2]]), truth, np.array([1.0, 3.0, 5.0]), k=1)
        array([0.75])
    """
    return psprecision_of(judge(pred, truth, k), inverse_propensity)


def psndcg(pred: Predictions, truth: sp.csr_matrix, inverse_propensity: np.ndarray, k: int = 5) -> np.ndarray:
    """PSnDCG@1..k (Jain et al., KDD 2016): as :func:`psprecision`, with gains discounted by 1/log2(rank + 1).

    Arguments, result and errors as in :func:`psprecision`.
    """
    return psndcg_of(judge(pred, truth, k), inverse_propensity)


def precision_of(judged: Judged) -> np.ndarray:
    """:func:`precision` of predictions that are judged already."""
    return _mean_per_rank(judged.hits)


def ndcg_of(judged: Judged) -> np.ndarray:
    """:func:`ndcg` of predictions that are judged already."""
    return _mean_discounted(judged.hits, judged.counts)


def recall_of(judged: Judged) -> np.ndarray:
    """:func:`recall` of predictions that are judged already."""
    return (np.cumsum(judged.hits, axis=1) / np.maximum(judged.counts, 1)[:, None]).mean(axis=0)


def psprecision_of(judged: Judged, inverse_propensity: np.ndarray) -> np.ndarray:
    """:func:`psprecision` of predictions that are judged already."""
    gains, best = _weighted_gains(judged, inverse_propensity)
    return _ratio(_mean_per_rank(gains), _mean_per_rank(best))


def psndcg_of(judged: Judged, inverse_propensity: np.ndarray) -> np.ndarray:
    """:func:`psndcg` of predictions that are judged already."""
    gains, best = _weighted_gains(judged, inverse_propensity)
    return _ratio(_mean_discounted(gains, judged.counts), _mean_discounted(best, judged.counts))


def _weighted_gains(judged: Judged, inverse_propensity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gains of the predictions and of the best ranking of the true labels, each float64 (N, k)."""
    n_rows, n_labels = judged.truth.shape
    weights = np.asarray(inverse_propensity, dtype=np.float64)
    if weights.shape != (n_labels,):
        raise InputError(f"inverse_propensity: shape {weights.shape}, expected ({n_labels},), one per label")
    if not (np.isfinite(weights) & (weights > 0)).all():
        at = int(np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))[0])
        raise InputError(f"inverse_propensity: label {at}: {weights[at]}, expected a positive number")
    # A ranked -1 reads the last weight, and is never a hit.
    gains = judged.hits * weights[judged.ranked]
    true_weights = sp.csr_matrix(
        (weights[judged.truth.indices], judged.truth.indices, judged.truth.indptr), shape=judged.truth.shape
    )
    k = judged.ranked.shape[1]
    ideal = top_k(true_weights, n_rows, n_labels, min(k, n_labels))
    best = np.zeros((n_rows, k))
    best[:, : ideal.shape[1]] = np.where(ideal >= 0, weights[ideal], 0.0)
    return gains, best


def _mean_per_rank(gains: np.ndarray) -> np.ndarray:
    return np.cumsum(gains, axis=1).mean(axis=0) / np.arange(1, gains.shape[1] + 1)


def _mean_discounted(gains: np.ndarray, counts: np.ndarray) -> np.ndarray:
    k = gains.shape[1]
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    # A row without true labels has no gain, so any divisor leaves its 0.
    attainable = np.clip(np.minimum(np.arange(1, k + 1), counts[:, None]), 1, None)
    return (np.cumsum(gains * discounts, axis=1) / np.cumsum(discounts)[attainable - 1]).mean(axis=0)


def _ratio(value: np.ndarray, best: np.ndarray) -> np.ndarray:
    return np.divide(value, best, out=np.zeros_like(value), where=best > 0)
