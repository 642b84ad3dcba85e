"""F1 of labels that reach a threshold, and the thresholds that maximise it on held-out points.

Conventions are those of scikit-learn with ``zero_division=0``:

* a label is predicted where its score is at least the threshold; a label that comes twice in a row counts once;
* true labels that are not among the ranked ones are misses;
* micro averages count all pairs; macro averages are over the labels with at least one true pair, as
  ``f1_score(..., labels=those, average="macro")``; macro F1 is the mean of the labels' F1;
* example-based F1 is ``average="samples"``: a row without true or without predicted labels is 0.

Everything takes ranked lists: time and memory grow with N x K and L, never with N x L.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.metrics.kernels import true_places
from ramen.metrics.ranking import PADDING, binary_csr, check_ranked, starts_and_labels

LEAST_POSITIVES = 5  # held-out points of a label below which its own best threshold is mostly chance
SHRINKAGE = 5.0  # held-out points that the common threshold counts as


@dataclass(frozen=True)
class _Pairs:
    """Ranked pairs of a row and a label, each once, and how many true pairs there are.

    Attributes:
        rows, labels: int64 (P,).
        scores: float64 (P,).
        right: bool (P,).
        support: int64 (L,), true pairs of each label, ranked or not.
        true: int64 (N,), true labels of each row, ranked or not.
    """

    rows: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    right: np.ndarray
    support: np.ndarray
    true: np.ndarray

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        scores: np.ndarray,
        targets: sp.csr_matrix | np.ndarray,
        threshold: float | np.ndarray = -np.inf,
    ) -> _Pairs:
        """Return the pairs that reach a threshold for all labels, or one for each."""
        binary = binary_csr(targets, "targets")
        n_rows, n_labels = binary.shape
        ranked = check_ranked(labels, n_labels)
        if len(ranked) != n_rows:
            raise InputError(f"labels: {len(ranked)} rows, expected {n_rows} as in the targets")
        values = _checked_scores(scores, ranked)
        lowest = _checked_threshold(threshold, n_labels)
        passes = (ranked != PADDING) & (values != -np.inf)
        passes &= values >= (lowest if lowest.ndim == 0 else lowest[ranked])  # -1 is the last label's, and no matter
        ranked = _without_repeats(np.where(passes, ranked, PADDING), values)
        rows, places = np.nonzero(ranked != PADDING)
        right = true_places(ranked, *starts_and_labels(binary))[rows, places]
        support, true = np.bincount(binary.indices, minlength=n_labels), np.diff(binary.indptr).astype(np.int64)
        return cls(rows, ranked[rows, places], values[rows, places], right, support, true)


def best_threshold(labels: np.ndarray, scores: np.ndarray, targets: sp.csr_matrix | np.ndarray) -> float:
    """Return the score threshold that maximises micro-F1; of equally good ones the highest.

    It lies half way between the lowest score that it lets pass and the next one below.

    Args:
        labels: int (N, K), label indices of each row, -1 for none.
        scores: float (N, K), of these labels; a label of -inf is not ranked.
        targets: sparse or dense N x L.

    Returns:
        The threshold; infinite if no ranked label is right, as nothing is then worth predicting.

    Raises:
        InputError: shapes, types or label indices are invalid, or a score is NaN.

    Example:
        >>> targets = sp.csr_matrix([[1, 0, 1], [0, 1, 0]])
        >>> best_threshold(np.array([[0, 2], [1, 0]]), np.array([[0.9, 0.6], [0.8, 0.2]]), targets)
        0.4
    """
    pairs = _Pairs.of(labels, scores, targets)
    everything = np.zeros(len(pairs.labels), dtype=np.int64)
    return float(_best(everything, pairs.scores, pairs.right, np.array([pairs.support.sum()]))[0])


def best_thresholds(
    labels: np.ndarray,
    scores: np.ndarray,
    targets: sp.csr_matrix | np.ndarray,
    default: float,
    least: int = LEAST_POSITIVES,
    shrinkage: float = SHRINKAGE,
) -> np.ndarray:
    """Return a threshold for each label, for macro-F1: its own best one, pulled towards the common one.

    The F1 of a label is maximised by itself, as macro-F1 is their mean. A threshold tuned on few positives is too high
    or too low by chance, and a bad one costs more than it gains (Fan and Lin, "A study on threshold selection for
    multi-label classification", 2007, whose FBR heuristic guards against it). So a label with fewer than ``least``
    true pairs, or without a right one among the ranked, takes ``default``, and any other
    ``(n own + shrinkage default) / (n + shrinkage)`` of its n true pairs.

    Args:
        labels: int (N, K), label indices of each row, -1 for none.
        scores: float (N, K), of these labels; a label of -inf is not ranked.
        targets: sparse or dense N x L.
        default: the common threshold, of :func:`best_threshold`.
        least: true pairs that a label needs for a threshold of its own, at least 1.
        shrinkage: true pairs that ``default`` counts as, at least 0.

    Returns:
        float32 (L,).

    Raises:
        InputError: shapes, types, label indices or options are invalid, or a score is NaN.

    Example:
        >>> targets = sp.csr_matrix([[1, 0], [1, 1], [0, 0]])
        >>> labels, scores = np.array([[0, 1], [0, 1], [0, 1]]), np.array([[0.9, 0.1], [0.5, 0.3], [0.25, 0.2]])
        >>> best_thresholds(labels, scores, targets, default=0.75, least=2, shrinkage=1)
        array([0.5 , 0.75], dtype=float32)
    """
    if least < 1:
        raise InputError(f"least is {least}, expected at least 1")
    if not shrinkage >= 0:
        raise InputError(f"shrinkage is {shrinkage}, expected at least 0")
    pairs = _Pairs.of(labels, scores, targets)
    n = pairs.support
    own = _best(pairs.labels, pairs.scores, pairs.right, n)
    learned = (n >= least) & np.isfinite(own)
    thresholds = np.full(len(n), default, dtype=np.float64)
    thresholds[learned] = (n[learned] * own[learned] + shrinkage * default) / (n[learned] + shrinkage)
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)  # a tie still passes


def f1_report(
    labels: np.ndarray, scores: np.ndarray, threshold: float | np.ndarray, targets: sp.csr_matrix | np.ndarray
) -> dict[str, float]:
    """Return precision, recall and F1 of the labels that reach a threshold.

    Args:
        labels: int (N, K), label indices of each row, -1 for none.
        scores: float (N, K), of these labels; a label of -inf is not ranked.
        threshold: one for all labels, or float (L,), one for each.
        targets: sparse or dense N x L.

    Returns:
        In percent ``micro-precision``, ``micro-recall``, ``micro-F1``, ``macro-precision``, ``macro-recall``,
        ``macro-F1`` and ``example-F1``; and ``labels per text``, the mean number of predicted labels.

    Raises:
        InputError: shapes, types or label indices are invalid, or a score or threshold is NaN.

    Example:
        >>> targets = sp.csr_matrix([[1, 0, 1], [0, 1, 0]])
        >>> found = f1_report(np.array([[0, 2], [0, 1]]), np.array([[0.9, 0.6], [0.8, 0.2]]), 0.5, targets)
        >>> {name: round(value, 1) for name, value in found.items() if name.startswith("m")}
        {'micro-precision': 66.7, 'micro-recall': 66.7, 'micro-F1': 66.7, 'macro-precision': 50.0, \
'macro-recall': 66.7, 'macro-F1': 55.6}
    """
    pairs = _Pairs.of(labels, scores, targets, threshold)
    table, has_true = _table(pairs), pairs.support > 0
    micro = _rates(*(table[name].sum(keepdims=True) for name in ("right", "predicted", "support")))
    return {
        **{f"micro-{name}": float(value[0]) for name, value in zip(_RATES, micro, strict=True)},
        **{f"macro-{name}": _mean(table[name][has_true]) for name in _RATES},
        "example-F1": _mean(_example_f1(pairs)),
        "labels per text": len(pairs.labels) / max(1, len(pairs.true)),
    }


def example_f1(
    labels: np.ndarray, scores: np.ndarray, threshold: float | np.ndarray, targets: sp.csr_matrix | np.ndarray
) -> np.ndarray:
    """Return the F1 of each row in percent, float64 (N,), 0 for one without true or without predicted labels.

    Arguments and errors as in :func:`f1_report`, whose ``example-F1`` is the mean.

    Example:
        >>> example_f1(np.array([[0, 1]]), np.array([[0.9, 0.6]]), 0.5, sp.csr_matrix([[1, 0]])).round(1)
        array([66.7])
    """
    return _example_f1(_Pairs.of(labels, scores, targets, threshold))


def label_table(
    labels: np.ndarray, scores: np.ndarray, threshold: float | np.ndarray, targets: sp.csr_matrix | np.ndarray
) -> dict[str, np.ndarray]:
    """Return the figures of each label at a threshold; see :func:`f1_report` for arguments and errors.

    Returns:
        By name an array (L,): int64 ``support`` (true pairs), ``predicted`` and ``right``; float64 ``precision``,
        ``recall`` and ``F1`` in percent, 0 where nothing is predicted or nothing is true.

    Example:
        >>> targets = sp.csr_matrix([[1, 0], [1, 1]])
        >>> table = label_table(np.array([[0, 1], [1, 0]]), np.array([[0.9, 0.6], [0.8, 0.2]]), 0.5, targets)
        >>> table["support"], table["F1"].round(1)
        (array([2, 1]), array([66.7, 66.7]))
    """
    return _table(_Pairs.of(labels, scores, targets, threshold))


_RATES = ("precision", "recall", "F1")


def _table(pairs: _Pairs) -> dict[str, np.ndarray]:
    right, predicted = _counts(pairs.labels, pairs.right, len(pairs.support))
    rates = dict(zip(_RATES, _rates(right, predicted, pairs.support), strict=True))
    return {"support": pairs.support, "predicted": predicted, "right": right, **rates}


def _example_f1(pairs: _Pairs) -> np.ndarray:
    return _rates(*_counts(pairs.rows, pairs.right, len(pairs.true)), pairs.true)[2]


def _counts(groups: np.ndarray, right: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how many pairs of each group are right, and how many there are."""
    return np.bincount(groups[right], minlength=n), np.bincount(groups, minlength=n)


def _rates(right: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and F1 in percent, 0 where they are not defined."""
    return (
        100.0 * right / np.maximum(predicted, 1),
        100.0 * right / np.maximum(true, 1),
        200.0 * right / np.maximum(predicted + true, 1),
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _best(groups: np.ndarray, scores: np.ndarray, right: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Return for each group of pairs the threshold of highest F1, float64 (G,); inf for one without a right pair.

    Args:
        groups: int64 (P,), 0 to G - 1.
        scores: float64 (P,).
        right: bool (P,).
        support: int64 (G,), true pairs of each group.
    """
    best = np.full(len(support), np.inf)
    if not len(groups):
        return best
    order = np.lexsort((-scores, groups)) if len(support) > 1 else np.argsort(-scores, kind="stable")
    groups, scores, right = groups[order], scores[order], right[order]
    is_first = np.append(True, groups[1:] != groups[:-1])
    starts = np.flatnonzero(is_first)
    start = starts[np.cumsum(is_first) - 1]  # of each pair's group
    hits = np.cumsum(right)
    hits = hits - (hits - right)[start]
    f1 = 2.0 * hits / (np.arange(len(groups)) - start + 1 + support[groups])
    has_next = np.append(groups[1:] == groups[:-1], False)
    below = np.append(scores[1:], 0.0)
    f1[has_next & (below == scores)] = -1.0  # equal scores pass together
    most = np.maximum.reduceat(f1, starts)[np.cumsum(is_first) - 1]
    at = np.flatnonzero((f1 == most) & (most > 0))
    chosen, first = np.unique(groups[at], return_index=True)  # the first is the highest
    at = at[first]
    middle = scores[at] / 2 + below[at] / 2
    best[chosen] = np.where(has_next[at] & (middle > below[at]), middle, scores[at])
    return best


def _without_repeats(ranked: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Replace a label that comes again in its row by padding, except where its score is highest."""
    ordered = np.sort(ranked, axis=1)
    rows = np.flatnonzero(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PADDING)).any(axis=1))
    if not len(rows):
        return ranked
    labels = ranked[rows]
    order = np.lexsort((-scores[rows], labels), axis=1)
    ordered = np.take_along_axis(labels, order, axis=1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = PADDING
    np.put_along_axis(labels, order, ordered, axis=1)
    ranked = ranked.copy()
    ranked[rows] = labels
    return ranked


def _checked_threshold(threshold: float | np.ndarray, n_labels: int) -> np.ndarray:
    """Return one threshold, float64 (), or one for each label, (L,); raise InputError for anything else."""
    lowest = np.asarray(threshold, dtype=np.float64)
    if lowest.shape not in ((), (n_labels,)):
        raise InputError(f"threshold: shape {lowest.shape}, expected a number or one for each label: ({n_labels},)")
    if np.isnan(lowest).any():
        raise InputError("threshold: found NaN, expected numbers")
    return lowest


def _checked_scores(scores: Any, ranked: np.ndarray) -> np.ndarray:
    """Return scores as float64; raise InputError unless they are numbers, one for each label."""
    if not isinstance(scores, np.ndarray) or scores.dtype.kind != "f" or scores.shape != ranked.shape:
        found = f"{scores.dtype} {scores.shape}" if isinstance(scores, np.ndarray) else type(scores).__name__
        raise InputError(f"scores: {found}, expected floats of shape {ranked.shape}, as the labels")
    values = scores.astype(np.float64)
    bad = np.isnan(values) & (ranked != PADDING)
    if bad.any():
        raise InputError(f"scores: row {np.argwhere(bad)[0][0]}: a score is NaN, expected numbers")
    return values
