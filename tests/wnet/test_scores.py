"""Scores against scikit-learn's and by hand, and what their intervals do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from attention_wnet import scores as of_scores
from attention_wnet.scores import NAMES, Scored, best_threshold, scores


def _photograph(seed, size=4000, shift=1.0):
    rng = np.random.default_rng(seed)
    vessels = rng.random(size) < 0.15
    logits = rng.normal(size=size) + shift * (2.0 * vessels - 1)
    return Scored((1 / (1 + np.exp(-logits))).astype(np.float32), vessels)


@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([0.2, 0.5, 0.8]))
def test_as_scikit_learn_says(seed, count, threshold):
    of = [_photograph(seed + index, 300) for index in range(count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of_scores, "_DRAWS", 20)  # of the intervals, which are not looked at here
        found = scores(of, threshold)
    truth = np.concatenate([one.vessels for one in of])
    probabilities = np.concatenate([one.probabilities for one in of])
    marked = probabilities >= threshold
    expected = {
        "auc": metrics.roc_auc_score(truth, probabilities),
        "f1": metrics.f1_score(truth, marked),
        "sensitivity": metrics.recall_score(truth, marked),
        "specificity": metrics.recall_score(~truth, ~marked),
        "accuracy": metrics.accuracy_score(truth, marked),
    }
    assert list(found) == list(NAMES)
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-9), name


def test_the_interval_of_one_photograph_is_its_value():
    found = scores([_photograph(0)], 0.5)
    for score in found.values():
        assert score["low"] == pytest.approx(score["value"], abs=1e-5)
        assert score["high"] == pytest.approx(score["value"], abs=1e-5)


def test_intervals_hold_the_truth_about_as_often_as_they_say(monkeypatch):
    """Photographs differ by how clear they are; 60 sets of 12, with room for what so few photographs can tell."""
    monkeypatch.setattr(of_scores, "_DRAWS", 200)
    rng = np.random.default_rng(0)
    large = [_photograph(10_000 + index, 1500, shift) for index, shift in enumerate(rng.uniform(0.6, 1.4, 400))]
    truth = {name: score["value"] for name, score in scores(large, 0.5).items()}
    held = dict.fromkeys(NAMES, 0)
    for draw in range(60):
        shifts = rng.uniform(0.6, 1.4, 12)
        found = scores([_photograph(100 * draw + i, 1500, shift) for i, shift in enumerate(shifts)], 0.5)
        for name in NAMES:
            held[name] += found[name]["low"] <= truth[name] <= found[name]["high"]
    assert all(48 <= count <= 60 for count in held.values()), held


def test_a_drawing_has_no_auc():
    vessels = np.array([True, True, False, False, True])
    found = scores([Scored(np.array([1.0, 0.0, 0.0, 1.0, 1.0]), vessels)], 0.5)
    assert "auc" not in found and found["f1"]["value"] == pytest.approx(2 / 3)


def test_pixels_that_are_all_alike():
    flat = Scored(np.full(10, 0.3, dtype=np.float32), np.arange(10) < 4)
    found = scores([flat, flat], 0.5)
    assert found["auc"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert found["f1"]["value"] == 0 and found["specificity"]["value"] == 1


def test_the_best_threshold():
    vessels = np.arange(100) < 20
    of = [Scored(np.where(vessels, 0.33, 0.21).astype(np.float32), vessels)]
    assert 0.21 < best_threshold(of) <= 0.33
    assert scores(of, best_threshold(of))["f1"]["value"] == 1
