"""All metrics of one system, and the filter applied to its predictions before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.metrics.ranking import PADDING, Predictions, check_ranked
from ramen.metrics.scores import judge, ndcg_of, precision_of, psndcg_of, psprecision_of, psrecall_of, recall_of

METRICS = {
    "P": precision_of,
    "nDCG": ndcg_of,
    "R": recall_of,
    "PSP": psprecision_of,
    "PSnDCG": psndcg_of,
    "PSR": psrecall_of,
}


def report(
    pred: Predictions, targets: sp.csr_matrix, inverse_propensity: np.ndarray, ks: Sequence[int] = (1, 3, 5, 10)
) -> dict[str, float]:
    """Return P, nDCG, R, PSP, PSnDCG and PSR at every k of ``ks``, in percent.

    Args:
        pred: labels in rank order or scores, as :func:`ramen.metrics.ranking.top_k` takes them.
        targets: sparse N x L.
        inverse_propensity: float (L,), from the training split.
        ks: cut-offs, each at least 1 and at most the columns of ``pred``.

    Returns:
        ``{"P@1": ..., "P@3": ..., ..., "nDCG@1": ..., "R@1": ..., "PSP@1": ..., "PSnDCG@1": ..., "PSR@1": ...}``.

    Raises:
        InputError: shapes, types, values or cut-offs are invalid.

    Example:
        >>> targets = sp.csr_matrix([[1, 1, 0], [0, 0, 1]])
        >>> figures = report(np.array([[0], [2]]), targets, np.array([1.0, 3.0, 5.0]), ks=[1])
        >>> {name: round(value, 1) for name, value in figures.items()}
        {'P@1': 100.0, 'nDCG@1': 100.0, 'R@1': 75.0, 'PSP@1': 75.0, 'PSnDCG@1': 75.0, 'PSR@1': 84.6}
    """
    if not ks or min(ks) < 1:
        raise InputError(f"ks is {list(ks)}, expected one or more cut-offs of at least 1")
    judged = judge(pred, targets, max(ks), inverse_propensity)
    values = {name: of(judged) for name, of in METRICS.items()}
    return {f"{name}@{k}": 100.0 * float(value[k - 1]) for name, value in values.items() for k in ks}


def drop_filtered(pred: np.ndarray, filter_pairs: np.ndarray, k: int) -> np.ndarray:
    """Return the first ``k`` predictions of every row after removing filtered labels.

    Filter pairs are neither right nor wrong, such as a label with the same text as the point. Rank as many more than
    ``k`` labels as a row has filter pairs, or rows may be short.

    Args:
        pred: int (N, K) label indices in rank order, -1 for none.
        filter_pairs: int (F, 2) of (row, label); F may be 0.
        k: cut-off, at most K.

    Returns:
        int64 (N, k); shorter rows end in -1.

    Raises:
        InputError: shapes, types, rows or cut-offs are invalid.

    Example:
        >>> drop_filtered(np.array([[4, 7, 2], [1, 3, 0]]), np.array([[0, 4]]), k=2)
        array([[7, 2],
               [1, 3]])
    """
    pairs = np.asarray(filter_pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.issubdtype(pairs.dtype, np.integer):
        raise InputError(f"filter_pairs: {pairs.dtype} {pairs.shape}, expected int (F, 2) of (row, label)")
    # The labels of a filter need not occur among the predictions, so both set the range.
    n_labels = 1 + max(int(np.max(pred, initial=0)), int(np.max(pairs[:, 1], initial=0)))
    ranked = check_ranked(pred, n_labels)
    n_rows, n_columns = ranked.shape
    if not 1 <= k <= n_columns:
        raise InputError(f"k is {k}, expected 1 to {n_columns}, the columns of the predictions")
    wrong = (pairs[:, 0] < 0) | (pairs[:, 0] >= n_rows) | (pairs[:, 1] < 0)
    if wrong.any():
        row, label = pairs[wrong][0]
        raise InputError(f"filter_pairs: (row {row}, label {label}), expected rows 0 to {n_rows - 1} and labels from 0")
    keys = np.arange(n_rows)[:, None] * n_labels + ranked
    dropped = (ranked != PADDING) & np.isin(keys, pairs[:, 0].astype(np.int64) * n_labels + pairs[:, 1])
    # A stable sort by "dropped" moves what stays to the front without changing its order.
    order = np.argsort(dropped, axis=1, kind="stable")
    remaining = np.where(dropped, PADDING, ranked)
    return np.take_along_axis(remaining, order, axis=1)[:, :k]
