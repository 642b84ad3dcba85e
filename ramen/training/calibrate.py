"""Probabilities for the joint ranking's scores, counted on validation points."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ramen.scorers.calibration import Calibration

_BINS, _RIGHT = 40, 10  # bins at most, and right labels in each at least: fewer are chance
_DEPTH = 10  # labels of a text that precision counts
_KEPT = 20  # pairs below which a precision is chance
_STEPS = 200  # thresholds that are looked at


def calibrate(labels: np.ndarray, scores: np.ndarray, truth: sp.csr_matrix) -> Calibration | None:
    """Count how often labels of a score are right, in bins of equally many right ones, and let it rise with the score.

    Source: histogram binning (Zadrozny and Elkan, ICML 2001), made monotone by isotonic regression (the same, KDD
    2002).

    Args:
        labels: int64 (V, C), ranked, -1 for none.
        scores: float32 (V, C).
        truth: CSR (V, L).

    Returns:
        None where fewer than twice ten labels are right.
    """
    from sklearn.isotonic import isotonic_regression

    is_label = labels >= 0
    right = np.zeros(labels.shape, dtype=bool)
    rows = np.nonzero(is_label)[0]
    right[is_label] = np.asarray(truth[rows, labels[is_label]]).ravel() > 0
    n_bins = min(_BINS, int(right.sum()) // _RIGHT)
    if n_bins < 2:
        return None
    order = np.argsort(-scores[is_label], kind="stable")
    ordered, hits = scores[is_label][order].astype(np.float64), right[is_label][order]
    bins = np.minimum((np.cumsum(hits) - hits) * n_bins // hits.sum(), n_bins - 1)
    counts = np.bincount(bins)
    mean = np.bincount(bins, ordered) / counts
    share = (np.bincount(bins, hits) + 0.5) / (counts + 1.0)  # half a right and half a wrong one: never 0 or 1
    ascending = np.argsort(mean, kind="stable")
    rising = isotonic_regression(share[ascending], sample_weight=counts[ascending], y_min=0.0, y_max=1.0)
    known = Calibration(mean[ascending].tolist(), rising.tolist(), [], [])
    thresholds, precisions = _precisions(known.of(scores[:, :_DEPTH]), right[:, :_DEPTH])
    return Calibration(known.scores, known.probabilities, thresholds, precisions)


def _precisions(probabilities: np.ndarray, right: np.ndarray) -> tuple[list[float], list[float]]:
    """Thresholds and the share of right ones among pairs from there on."""
    order = np.argsort(-probabilities, axis=None, kind="stable")
    kept, hits = probabilities.ravel()[order], np.cumsum(right.ravel()[order])
    at = np.unique(np.geomspace(_KEPT, max(len(kept), _KEPT), _STEPS).astype(int))
    at = at[at <= len(kept)][::-1] - 1
    return np.round(kept[at], 6).tolist(), np.round(hits[at] / (at + 1), 6).tolist()
