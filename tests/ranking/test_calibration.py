"""Probabilities counted on validation hold for other points, rise with the score, and are none for too few."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from ramen.ranking.calibration import Calibration, reliability
from ramen.training.calibrate import calibrate


def ranked(rng, points, labels=200, columns=20, sharpness=4.0):
    """Random scores, and truth drawn with a chance that is a curve of the score."""
    found = np.argsort(rng.random((points, labels)), axis=1)[:, :columns]
    scores = -np.sort(-rng.normal(size=(points, columns)).astype(np.float32), axis=1)
    right = rng.random(scores.shape) < 1 / (1 + np.exp(-sharpness * (scores - 1.0)))
    rows = np.nonzero(right)[0]
    truth = sp.csr_matrix((np.ones(len(rows)), (rows, found[right])), shape=(points, labels))
    return found, scores, truth, right


@pytest.mark.parametrize("seed", range(3))
def test_probabilities_and_precision_hold_for_other_points(seed):
    rng = np.random.default_rng(seed)
    known = calibrate(*ranked(rng, 1000)[:3])
    _, scores, _, right = ranked(rng, 3000)
    error, _ = reliability(known.of(scores).ravel(), right.ravel())
    assert error < 0.02
    for wanted in (0.5, 0.8, 0.9):
        kept = known.of(scores) >= known.threshold(wanted)
        assert kept.any() and right[kept].mean() > wanted - 0.04


def test_probabilities_rise_with_the_score():
    known = calibrate(*ranked(np.random.default_rng(0), 300, sharpness=0.1)[:3])
    assert np.all(np.diff(known.scores) >= 0) and np.all(np.diff(known.probabilities) >= 0)
    assert 0 < min(known.probabilities) and max(known.probabilities) < 1
    assert known.thresholds == sorted(known.thresholds)
    assert known.of(np.array([-np.inf])).tolist() == [0.0]


def test_ties_and_missing_labels():
    labels = np.array([[0, -1], [0, 1]] * 40)
    scores = np.array([[1.0, -np.inf], [1.0, 1.0]] * 40, dtype=np.float32)
    truth = sp.csr_matrix(np.tile([[1, 0], [0, 1]], (40, 1)))
    known = calibrate(labels, scores, truth)
    assert known.of(np.array([1.0]))[0] == pytest.approx(80 / 120, abs=0.05)


def test_too_few_right_labels_give_none():
    labels, scores = np.arange(40).reshape(4, 10), np.ones((4, 10), np.float32)
    assert calibrate(labels, scores, sp.csr_matrix((4, 40))) is None
    assert calibrate(labels, scores, sp.csr_matrix(np.eye(4, 40))) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60))
def test_reliability_against_a_plain_reference(pairs):
    chances = np.array([chance for chance, _ in pairs])
    right = np.array([hit for _, hit in pairs], dtype=bool)
    expected = 0.0
    for low in range(10):
        held = [(c, r) for c, r in pairs if min(int(c * 10), 9) == low]
        if held:
            gap = abs(sum(c for c, _ in held) / len(held) - sum(r for _, r in held) / len(held))
            expected += len(held) / len(pairs) * gap
    error, bins = reliability(chances, right)
    assert error == pytest.approx(expected) and sum(one["pairs"] for one in bins) == len(pairs)


def test_what_is_kept_is_read():
    known = calibrate(*ranked(np.random.default_rng(0), 300)[:3])
    assert Calibration.read(known.facts()) == known and Calibration.read(None) is None
