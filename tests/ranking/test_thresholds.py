import numpy as np
import pytest
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.metrics import best_threshold, best_thresholds
from ramen.ranking.thresholds import Thresholds


def test_chosen_thresholds_are_those_of_the_metrics():
    rng = np.random.default_rng(0)
    labels = np.argsort(rng.random((300, 12)), axis=1)[:, :8]
    probabilities = rng.random(labels.shape)
    right = rng.random(labels.shape) < probabilities * (labels < 9)  # the last labels have no right pair
    rows = np.nonzero(right)[0]
    targets = sp.csr_matrix((np.ones(len(rows)), (rows, labels[right])), (300, 12))
    chosen = Thresholds.choose(labels, probabilities, targets)
    assert chosen.common == pytest.approx(best_threshold(labels, probabilities, targets), abs=1e-6)
    expected = best_thresholds(labels, probabilities, targets, chosen.common)
    np.testing.assert_allclose(chosen.by_label(12), expected, atol=1e-6)
    assert max(chosen.labels) < 9 and len(chosen.labels) > 3
    assert chosen.by_label(14)[12:].tolist() == [np.float32(chosen.common)] * 2  # labels added later
    assert Thresholds.read(chosen.facts(), 12) == chosen


@pytest.mark.parametrize("seed", range(8))  # which float32 is nearest to the common threshold differs
def test_only_labels_with_a_threshold_of_their_own_are_kept(seed):
    rng = np.random.default_rng(seed)
    labels = np.argsort(rng.random((300, 400)), axis=1)[:, :5]
    labels[:, 0] = np.arange(300) % 6
    probabilities = -np.sort(-rng.random(labels.shape), axis=1)
    right = rng.random(300) < probabilities[:, 0] / 2
    targets = sp.csr_matrix((np.ones(right.sum()), (np.flatnonzero(right), labels[right, 0])), (300, 400))
    chosen = Thresholds.choose(labels, probabilities, targets)
    assert 0 < len(chosen.labels) <= 6 and max(chosen.labels) < 6
    expected = best_thresholds(labels, probabilities, targets, chosen.common)
    np.testing.assert_allclose(chosen.by_label(400), expected, atol=1e-6)


def test_nothing_is_chosen_where_nothing_is_right():
    assert Thresholds.choose(np.array([[0]]), np.array([[0.5]]), sp.csr_matrix([[0, 1]])) is None
    assert Thresholds.read(None, 2) is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"common": "a"}, "common"),
        ({"common": 1.5}, "expected numbers of 0 to 1"),
        ({"values": [0.5]}, "found 1 values, expected one for each of 2 labels"),
        ({"values": [0.5, -0.1]}, "expected numbers of 0 to 1"),
        ({"labels": [1, 3]}, "labels: expected whole numbers from 0 to 2"),
        ({"labels": [0.0, 1.5]}, "labels: expected whole numbers from 0 to 2"),
        ({"labels": [1, 1]}, "labels: found numbers that do not ascend"),
        ({"more": 1}, "more"),
    ],
)
def test_wrong_facts_are_named(wrong, message):
    sound = {"common": 0.5, "labels": [0, 2], "values": [0.1, 0.2]}
    assert Thresholds.read(sound, 3).values == [0.1, 0.2]
    with pytest.raises(InputError, match=message):
        Thresholds.read(sound | wrong, 3)
