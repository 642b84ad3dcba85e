"""How held-out points judge scorers: their weights on planted truths."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.scorers.base import Queries
from ramen.scorers.encoder import EncoderScorer
from ramen.training.held_out import METRICS, HeldOut
from ramen.training.judge import LOWEST, HeldOutJudge, search_weights

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


def held_out_of(truth, filtered=None):
    filtered = sp.csr_matrix(truth.shape, dtype=np.float32) if filtered is None else filtered
    return HeldOut(np.arange(truth.shape[0]), truth, filtered, np.ones(truth.shape[1]))


def find(held_out, queries, **vectors):
    scorers = {name: EncoderScorer(rows) for name, rows in vectors.items()}
    gathered = held_out.gather(scorers, Queries(queries))
    return search_weights(held_out, gathered, dict.fromkeys(scorers, 1.0)), gathered


def test_a_misleading_scorer_loses_its_weight(world):
    rng, good, queries, truth = world
    found, _ = find(held_out_of(truth), queries, good=good, bad=-2 * good, noise=3 * unit(rng, LABELS))
    assert found.figures["P@1"] > 99
    assert found.weights["good"] == 1.0 and found.weights["bad"] < 0.5


def test_what_held_out_points_cannot_tell_apart_stays_equal(world):
    _, good, queries, truth = world
    found, _ = find(held_out_of(truth), queries, good=good, same=good)
    assert found.weights == {"good": 1.0, "same": 1.0}


def test_a_scorer_that_only_harms_is_dropped(world):
    _, good, queries, truth = world
    found, _ = find(held_out_of(truth), queries, good=good, loud=-64 * good)
    assert found.weights["loud"] < 2 * LOWEST and found.figures["P@1"] > 99


def test_two_halves_are_joined(world):
    rng, good, queries, truth = world
    left, right = good.copy(), good.copy()
    left[::2], right[1::2] = 0.01 * unit(rng, LABELS // 2), 0.01 * unit(rng, LABELS // 2)
    found, gathered = find(held_out_of(truth), queries, left=left, right=right)
    assert min(found.weights.values()) > 0.2 and found.figures["P@1"] > 99
    only = held_out_of(truth).judge_weights(gathered, {"left": 1.0, "right": 0.0})
    assert only[0] < found.value


def test_the_result_is_the_best_of_its_own_neighbourhood(world):
    rng, good, queries, truth = world
    noisy = {f"s{i}": good + s * unit(rng, LABELS) for i, s in enumerate((1.0, 2.0, 4.0))}
    held_out = held_out_of(truth)
    found, gathered = find(held_out, queries, **noisy)
    assert found.value == pytest.approx(held_out.judge_weights(gathered, found.weights)[0])
    assert max(found.weights.values()) == 1.0
    for name in noisy:
        for factor in (0.5, 0.8, 1.25, 2.0):
            moved = {**found.weights, name: found.weights[name] * factor}
            assert held_out.judge_weights(gathered, moved)[0] <= found.value * 1.0101


def test_the_value_is_the_geometric_mean_of_the_metrics(world):
    _, good, queries, truth = world
    found, _ = find(held_out_of(truth), queries, good=good)
    assert set(found.figures) == set(METRICS)
    assert found.value == pytest.approx(np.prod(list(found.figures.values())) ** 0.25)


def test_filtered_labels_are_not_counted_as_mistakes(world):
    _, good, queries, truth = world
    decoy = (truth.indices + 1) % LABELS
    queries = good[decoy] + 0.5 * good[truth.indices]  # the decoy wins wherever it may be ranked
    filtered = sp.csr_matrix((np.ones(POINTS, np.float32), (range(POINTS), decoy)), shape=truth.shape)
    without, _ = find(held_out_of(truth), queries, good=good)
    with_filter, _ = find(held_out_of(truth, filtered), queries, good=good)
    assert without.figures["P@1"] < 20 and with_filter.figures["P@1"] > 80


class Asked:
    """Views of which a judge asks nothing but the queries."""

    def __init__(self, queries):
        self.vectors = queries

    def queries(self, rows, features):
        return Queries(self.vectors[rows])


def judge_of(truth, queries):
    return HeldOutJudge(held_out_of(truth), Asked(queries), lambda **figures: None)


def test_the_best_sum_is_of_those_that_it_is_better_with(world):
    rng, good, queries, truth = world
    left, right = good.copy(), good.copy()
    left[::2], right[1::2] = 0.01 * unit(rng, LABELS // 2), 0.01 * unit(rng, LABELS // 2)
    vectors = {"left": left, "right": right, "same": left, "bad": -good}
    scorers = {name: EncoderScorer(rows) for name, rows in vectors.items()}
    judge = judge_of(truth, queries)
    found = judge.best_sum(scorers)
    assert set(found.weights) == {"left", "right"}
    assert found == judge.weigh({name: scorers[name] for name in found.weights})
    assert found.value == judge.value(scorers, found.weights)[0]


def test_a_search_of_weights_starts_where_the_scorers_say(world, monkeypatch):
    _, good, queries, truth = world
    monkeypatch.setattr("ramen.training.judge._FACTORS", ())
    scorers = {"a": EncoderScorer(good), "b": EncoderScorer(good)}
    scorers["b"].start_weight = 2.0
    assert judge_of(truth, queries).weigh(scorers).weights == {"a": 0.5, "b": 1.0}
