"""Probabilities for the joint ranking's scores, counted on validation points."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ramen.metrics import best_threshold, f1_report
from ramen.ranking.calibration import Calibration
from ramen.ranking.level import TextLevel, level_features

_BINS, _RIGHT = 40, 10  # parts with equally many right ones at most, and these in each at least: fewer are chance
_SLICES = 50  # parts with equally many pairs
_DEPTH = 10  # labels of a text that precision counts
_KEPT = 20  # pairs below which a precision is chance
_STEPS = 200  # thresholds that are looked at
_LOOSE = 1e4  # of the logistic regression: as good as no penalty


def fit_level(labels: np.ndarray, scores: np.ndarray, targets: sp.csr_matrix) -> TextLevel | None:
    """Find what to add to the scores of each text so that one threshold fits all texts.

    Logistic regression of being right on the score and on three features of the text's scores; the weights of these,
    relative to that of the score, are the level's.

    Args:
        labels: int64 (V, C), ranked, -1 for none.
        scores: float32 (V, C).
        targets: CSR (V, L).

    Returns:
        None where all or none of the labels are right, or the highest micro-F1 of one threshold is lower with it.
    """
    from sklearn.linear_model import LogisticRegression

    is_label = labels >= 0
    right = _right(labels, targets)[is_label]
    if not right.any() or right.all():
        return None
    of_text = np.repeat(level_features(scores), is_label.sum(axis=1), axis=0)
    features = np.column_stack([scores[is_label], of_text])
    spread = np.maximum(features.std(axis=0), 1e-9)
    weights = LogisticRegression(C=_LOOSE, max_iter=500).fit(features / spread, right).coef_[0] / spread
    if weights[0] <= 0:
        return None
    level = TextLevel(*(round(float(weight / weights[0]), 6) for weight in weights[1:]))
    before, after = (_micro_f1(labels, some, targets) for some in (scores, scores + level.of(scores)[:, None]))
    return level if after >= before else None


def _micro_f1(labels: np.ndarray, scores: np.ndarray, targets: sp.csr_matrix) -> float:
    return f1_report(labels, scores, best_threshold(labels, scores, targets), targets)["micro-F1"]


def _right(labels: np.ndarray, targets: sp.csr_matrix) -> np.ndarray:
    """Which of ranked labels (V, C) are right, bool; False for -1."""
    is_label = labels >= 0
    right = np.zeros(labels.shape, dtype=bool)
    right[is_label] = np.asarray(targets[np.nonzero(is_label)[0], labels[is_label]]).ravel() > 0
    return right


def calibrate(labels: np.ndarray, scores: np.ndarray, targets: sp.csr_matrix) -> Calibration | None:
    """Count how often labels of a score are right, in bins of like scores, and let it rise with the score.

    Source: histogram binning (Zadrozny and Elkan, ICML 2001), made monotone by isotonic regression (the same, KDD
    2002).

    Args:
        labels: int64 (V, C), ranked, -1 for none.
        scores: float32 (V, C).
        targets: CSR (V, L).

    Returns:
        None where fewer than twice ten labels are right.
    """
    from sklearn.isotonic import isotonic_regression

    is_label = labels >= 0
    right = _right(labels, targets)
    n_bins = min(_BINS, int(right.sum()) // _RIGHT)
    if n_bins < 2:
        return None
    order = np.argsort(-scores[is_label], kind="stable")
    ordered, hits = scores[is_label][order].astype(np.float64), right[is_label][order]
    # Cut where so many are right, and where so many pairs are: below, nearly all are wrong, but not equally nearly.
    by_hits = np.minimum((np.cumsum(hits) - hits) * n_bins // hits.sum(), n_bins - 1)
    by_pairs = np.arange(len(hits)) * _SLICES // len(hits)
    is_new = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    first = np.maximum.accumulate(np.where(is_new, np.arange(len(hits)), 0))  # equal scores share a part
    bins = np.unique((by_hits * _SLICES + by_pairs)[first], return_inverse=True)[1]
    counts = np.bincount(bins)
    mean = np.bincount(bins, ordered) / counts
    ascending = np.argsort(mean, kind="stable")
    share = np.bincount(bins, hits)[ascending] / counts[ascending]
    rising = isotonic_regression(share, sample_weight=counts[ascending])
    lowest, highest = 1.0 / (len(hits) + 2), 1.0 - 1.0 / (hits.sum() + 2)  # never 0 or 1
    calibration = Calibration(mean[ascending].tolist(), np.clip(rising, lowest, highest).tolist(), [], [])
    thresholds, precisions = _precisions(calibration.of(scores[:, :_DEPTH]), right[:, :_DEPTH])
    return Calibration(calibration.scores, calibration.probabilities, thresholds, precisions)


def _precisions(probabilities: np.ndarray, right: np.ndarray) -> tuple[list[float], list[float]]:
    """Thresholds and the share of right ones among pairs from there on, less what may be chance.

    That is the lower end of Wilson's interval at one standard error: a precision that is asked for is to be reached.
    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    order = np.argsort(-probabilities, axis=None, kind="stable")
    descending, hits = probabilities.ravel()[order], np.cumsum(right.ravel()[order])
    at = np.unique(np.geomspace(_KEPT, max(len(descending), _KEPT), _STEPS).astype(int))
    at = at[at <= len(descending)][::-1] - 1
    n = at + 1.0
    share = hits[at] / n
    lower = (share + 0.5 / n - np.sqrt(share * (1.0 - share) / n + 0.25 / n**2)) / (1.0 + 1.0 / n)
    return np.round(descending[at], 6).tolist(), np.round(np.maximum(lower, 0.0), 6).tolist()
