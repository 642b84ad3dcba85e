"""The choice of fusion weights and head epochs, on planted truths."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.inference.ranking import Neighbours
from ramen.training.fusion import WATCHED, Validation, _pick, make_validation
from ramen.training.stage2 import choose

POINTS, DIM = 60, 48


def unit(rng, n):
    rows = rng.normal(size=(n, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def world(n_labels=50, seed=0):
    """Points whose vector is their label's, and vectors that say nothing."""
    rng = np.random.default_rng(seed)
    good, bad = unit(rng, n_labels), unit(rng, n_labels)
    label = rng.integers(0, n_labels, POINTS)
    queries = good[label] + 0.05 * unit(rng, POINTS)
    truth = sp.csr_matrix((np.ones(POINTS, np.float32), (range(POINTS), label)), shape=(POINTS, n_labels))
    return rng, good, bad, queries, truth


def validation(queries, labels, memory, memory_targets, truth, filtered=None):
    filtered = sp.csr_matrix(truth.shape, dtype=np.float32) if filtered is None else filtered
    neighbours = Neighbours(memory, memory_targets, 5)
    return Validation(queries, labels, neighbours, truth, filtered, np.ones(truth.shape[1]))


def shuffled(truth, rng):
    return truth[rng.permutation(truth.shape[0])]


def test_a_perfect_head_among_misleading_sources_gets_all_the_weight():
    rng, good, bad, queries, truth = world()
    memory = queries.copy(), shuffled(truth, rng)
    value, fusion, figures = validation(queries, -4 * good, *memory, truth).best(good)
    assert figures["P@1"] == figures["R@10"] == 100.0
    assert (fusion.head, fusion.encoder, fusion.neighbours) == (1.0, 0.0, 0.0)


def test_a_perfect_encoder_is_found():
    rng, good, bad, queries, truth = world()
    value, fusion, figures = validation(queries, good, unit(rng, POINTS), shuffled(truth, rng), truth).best(-good)
    assert figures["P@1"] == 100.0 and fusion.encoder > fusion.head


def test_perfect_neighbours_are_found():
    rng, good, bad, queries, truth = world()
    value, fusion, figures = validation(queries, bad, queries.copy(), truth, truth).best(-bad)
    assert figures["P@1"] > 90.0 and fusion.neighbours >= 1.0


def test_the_value_is_the_geometric_mean_of_the_watched():
    rng, good, bad, queries, truth = world()
    value, _, figures = validation(queries, bad, queries.copy(), truth, truth).best(good)
    assert set(figures) == set(WATCHED)
    assert value == pytest.approx(np.prod(list(figures.values())) ** 0.25)


def test_filtered_labels_are_not_counted_as_mistakes():
    rng, good, bad, queries, truth = world()
    decoy = (truth.indices + 1) % 50
    queries = good[decoy] + 0.5 * good[truth.indices]  # the decoy wins wherever it may be ranked
    filtered = sp.csr_matrix((np.ones(POINTS, np.float32), (range(POINTS), decoy)), shape=truth.shape)
    memory = unit(rng, POINTS), shuffled(truth, rng)
    _, _, without = validation(queries, good, *memory, truth).best(good)
    _, _, with_filter = validation(queries, good, *memory, truth, filtered).best(good)
    assert without["P@1"] < 20 and with_filter["P@1"] > 80


@pytest.mark.parametrize("n_labels", [1, 2, 7])
def test_fewer_than_ten_labels(n_labels):
    rng, good, bad, queries, truth = world(n_labels)
    _, _, figures = validation(queries, good, queries.copy(), truth, truth).best(good)
    assert figures["P@1"] == figures["R@10"] == 100.0


def test_candidates_are_distinct_and_padded(monkeypatch):
    monkeypatch.setattr("ramen.training.fusion._CANDIDATES", 3)
    rng, good, bad, queries, truth = world()
    found = validation(queries, bad, queries.copy(), truth, truth)
    candidates = found._candidates(good)
    assert candidates.shape == (POINTS, 9)
    for row, query in zip(candidates, queries, strict=True):
        real = row[row >= 0].tolist()
        assert len(real) == len(set(real)) and len(real) < 9  # a duplicate became -1
        for matrix in (good, bad):
            assert set(np.argsort(-(matrix @ query))[:3]) <= set(real)
    assert set((candidates == -1).sum(1)) - {0}


def test_padding_picks_zero():
    matrix = sp.csr_matrix([[5.0, 0, 7]])
    assert _pick(matrix, np.array([[2, -1, 1, 0]])).tolist() == [[7, 0, 0, 5]]


def test_propensities_are_those_of_the_rows_trained_on():
    rng, good, bad, queries, truth = world()
    memory_targets = sp.vstack([truth[:1]] * POINTS).tocsr()  # one label has every training point
    made = make_validation(queries, bad, Neighbours(queries, memory_targets, 5), truth, truth * 0, (0.55, 1.5))
    assert made.inverse_propensity.argmin() == truth.indices[0]


class FakeHead:
    def __init__(self, weights):
        self.weights = self
        self.array = weights

    def numpy(self):
        return self.array


def test_choose_takes_the_best_epoch_and_stops_at_the_first_that_loses():
    rng, good, bad, queries, truth = world()
    judge = validation(queries, bad, unit(rng, POINTS), shuffled(truth, rng), truth)
    half = good.copy()
    half[::2] = bad[::2]
    seen, logged = [], []

    def epochs():
        for number, weights in enumerate([bad, half, good, half, good]):
            seen.append(number)
            yield number, FakeHead(weights), float(number)

    epoch, fusion, figures = choose(epochs(), judge, lambda **line: logged.append(line))
    assert epoch == 2 and figures["P@1"] == 100.0
    assert seen == [0, 1, 2, 3]
    assert [line["epoch"] for line in logged] == seen
