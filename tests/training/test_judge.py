"""Weights of scorers on planted truths."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.scorers.base import Queries
from ramen.scorers.vectors import LabelVectors
from ramen.training.held_out import WATCHED, Validation
from ramen.training.judge import LOWEST, weigh

POINTS, LABELS, DIM = 200, 50, 48


def unit(rng, n):
    rows = rng.normal(size=(n, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def world():
    """Points whose vector is their label's, and the truth."""
    rng = np.random.default_rng(0)
    good, label = unit(rng, LABELS), rng.integers(0, LABELS, POINTS)
    truth = sp.csr_matrix((np.ones(POINTS, np.float32), (range(POINTS), label)), shape=(POINTS, LABELS))
    return rng, good, good[label] + 0.05 * unit(rng, POINTS), truth


def validation_of(truth, filtered=None):
    filtered = sp.csr_matrix(truth.shape, dtype=np.float32) if filtered is None else filtered
    return Validation(truth, filtered, np.ones(truth.shape[1]))


def find(validation, queries, **vectors):
    scorers = {name: LabelVectors(rows) for name, rows in vectors.items()}
    gathered = validation.gather(scorers, Queries(queries))
    return weigh(validation, gathered), gathered


def test_a_misleading_scorer_loses_its_weight(world):
    rng, good, queries, truth = world
    found, _ = find(validation_of(truth), queries, good=good, bad=-2 * good, noise=3 * unit(rng, LABELS))
    assert found.figures["P@1"] > 99
    assert found.weights["good"] == 1.0 and found.weights["bad"] < 0.5


def test_what_validation_cannot_tell_apart_stays_equal(world):
    _, good, queries, truth = world
    found, _ = find(validation_of(truth), queries, good=good, same=good)
    assert found.weights == {"good": 1.0, "same": 1.0}


def test_a_scorer_that_only_harms_is_dropped(world):
    _, good, queries, truth = world
    found, _ = find(validation_of(truth), queries, good=good, loud=-64 * good)
    assert found.weights["loud"] < 2 * LOWEST and found.figures["P@1"] > 99


def test_two_halves_are_joined(world):
    rng, good, queries, truth = world
    left, right = good.copy(), good.copy()
    left[::2], right[1::2] = 0.01 * unit(rng, LABELS // 2), 0.01 * unit(rng, LABELS // 2)
    found, gathered = find(validation_of(truth), queries, left=left, right=right)
    assert min(found.weights.values()) > 0.2 and found.figures["P@1"] > 99
    only = validation_of(truth).judge_weights(gathered, {"left": 1.0, "right": 0.0})
    assert only[0] < found.value


def test_the_result_is_the_best_of_its_own_neighbourhood(world):
    rng, good, queries, truth = world
    noisy = {f"s{i}": good + s * unit(rng, LABELS) for i, s in enumerate((1.0, 2.0, 4.0))}
    validation = validation_of(truth)
    found, gathered = find(validation, queries, **noisy)
    assert found.value == pytest.approx(validation.judge_weights(gathered, found.weights)[0])
    assert max(found.weights.values()) == 1.0
    for name in noisy:
        for factor in (0.5, 0.8, 1.25, 2.0):
            moved = {**found.weights, name: found.weights[name] * factor}
            assert validation.judge_weights(gathered, moved)[0] <= found.value * 1.0101
    assert found.on_edge == [name for name, weight in found.weights.items() if 0 < weight <= LOWEST * 1.001]


def test_the_value_is_the_geometric_mean_of_the_watched(world):
    _, good, queries, truth = world
    found, _ = find(validation_of(truth), queries, good=good)
    assert set(found.figures) == set(WATCHED)
    assert found.value == pytest.approx(np.prod(list(found.figures.values())) ** 0.25)


def test_filtered_labels_are_not_counted_as_mistakes(world):
    _, good, queries, truth = world
    decoy = (truth.indices + 1) % LABELS
    queries = good[decoy] + 0.5 * good[truth.indices]  # the decoy wins wherever it may be ranked
    filtered = sp.csr_matrix((np.ones(POINTS, np.float32), (range(POINTS), decoy)), shape=truth.shape)
    without, _ = find(validation_of(truth), queries, good=good)
    with_filter, _ = find(validation_of(truth, filtered), queries, good=good)
    assert without.figures["P@1"] < 20 and with_filter.figures["P@1"] > 80
