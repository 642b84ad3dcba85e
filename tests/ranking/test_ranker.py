"""The joint ranking against brute force over all labels."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.ranking.candidates import gather
from ramen.ranking.ranker import Ranker

LABELS = 40


@pytest.fixture
def scorers(makers):
    rng = np.random.default_rng(5)
    return {name: makers[name](rng, LABELS) for name in WEIGHTS[0]}


@pytest.fixture
def ask(queries):
    return queries


WEIGHTS = [
    {"encoder": 1.0, "dense": 0.5, "neighbours": 2.0, "sparse": 0.7},
    {"encoder": 0.0, "dense": 0.0, "neighbours": 0.0, "sparse": 1.0},
    {"encoder": 0.0, "dense": 0.0, "neighbours": 1.0, "sparse": 0.0},
]


def by_brute_force(scorers, weights, queries):
    """Scores of all labels; -inf where no scorer with a weight has anything to say."""
    everything = np.tile(np.arange(LABELS), (len(queries), 1))
    total = sum(weight * scorers[name].score(queries, everything) for name, weight in weights.items())
    offered = np.zeros(total.shape, bool)
    for name, weight in weights.items():
        if weight:
            labels = scorers[name].propose(queries, LABELS)[0]
            for row, found in enumerate(labels):
                offered[row, found[found >= 0]] = True
    return np.where(offered, total, -np.inf)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("batch", [1, 4, 1000])
def test_rank_equals_brute_force(scorers, ask, weights, batch, monkeypatch):
    monkeypatch.setattr("ramen.ranking.ranker._BATCH", batch)
    queries = ask(np.random.default_rng(0))
    expected = by_brute_force(scorers, weights, queries)
    used = {name: scorer for name, scorer in scorers.items() if weights[name]}
    labels, values = Ranker(used, weights).rank(queries, 6)
    assert labels.shape == values.shape == (len(queries), 6)
    best = -np.sort(-expected, axis=1)[:, :6]
    np.testing.assert_allclose(values, best, atol=1e-5)
    for row in range(len(queries)):
        kept = labels[row][labels[row] >= 0]
        assert len(kept) == np.isfinite(best[row]).sum() == len(set(kept.tolist()))
        np.testing.assert_allclose(expected[row, kept], values[row, : len(kept)], atol=1e-5)


def test_larger_batches_on_a_gpu_change_nothing(scorers, ask, monkeypatch):
    queries, ranker = ask(np.random.default_rng(0)), Ranker(scorers, WEIGHTS[0])
    sizes = []
    monkeypatch.setattr("ramen.ranking.ranker._BATCH", 2)
    monkeypatch.setattr("ramen.ranking.ranker.gather", lambda *args: sizes.append(len(args[1])) or gather(*args))
    expected = ranker.rank(queries, 6)
    assert set(sizes) <= {1, 2}
    sizes.clear()
    monkeypatch.setattr("ramen.ranking.ranker.device_for", lambda n_queries, size: "cuda")
    labels, values = ranker.rank(queries, 6)
    assert sizes[0] == len(queries)
    np.testing.assert_array_equal(labels, expected[0])
    np.testing.assert_allclose(values, expected[1], atol=1e-5)


def test_filtered_labels_never_come_back(scorers, ask):
    queries = ask(np.random.default_rng(0))
    ranker = Ranker(scorers, WEIGHTS[0])
    plain = ranker.rank(queries, LABELS)[0]
    banned = plain[:, :3]
    pairs = (np.ones(banned.size, np.float32), (np.repeat(np.arange(len(queries)), 3), banned.ravel()))
    filtered = sp.csr_matrix(pairs, shape=(len(queries), LABELS))
    labels = ranker.rank(queries, LABELS, filtered)[0]
    np.testing.assert_array_equal(labels[:, :-3], plain[:, 3:])
    assert (labels[:, -3:] == -1).all()


def test_filtered_labels_leave_room_for_others(scorers, ask, monkeypatch):
    monkeypatch.setattr("ramen.ranking.ranker.CANDIDATES", 2)
    queries = ask(np.random.default_rng(0))
    ranker = Ranker({"encoder": scorers["encoder"]}, {"encoder": 1.0})
    best = ranker.rank(queries, 4)[0]
    filtered = sp.csr_matrix(
        (np.ones(len(queries)), (np.arange(len(queries)), best[:, 0])), shape=(len(queries), LABELS)
    )
    np.testing.assert_array_equal(ranker.rank(queries, 3, filtered)[0], best[:, 1:])


def test_each_is_what_rank_gives_alone(scorers, ask):
    queries = ask(np.random.default_rng(0))
    weights = {**WEIGHTS[0], "dense": 0.0}
    found = Ranker(scorers, weights).rank_each(queries, 5)[0]
    assert set(found) == {"", *scorers}
    np.testing.assert_array_equal(found[""], Ranker(scorers, weights).rank(queries, 5)[0])
    for name in scorers:
        np.testing.assert_array_equal(found[name], Ranker({name: scorers[name]}, {name: 1.0}).rank(queries, 5)[0])


def test_more_labels_than_there_are_and_no_queries(scorers, ask):
    queries = ask(np.random.default_rng(0))
    ranker = Ranker(scorers, WEIGHTS[0])
    labels, values = ranker.rank(queries, 1000)
    assert labels.shape == values.shape == (len(queries), LABELS)
    assert (np.sort(labels, axis=1) == np.arange(LABELS)).all()
    assert ranker.rank(queries[:0], 3)[0].shape == (0, 3)


def test_candidates_are_distinct_and_know_who_proposed_them(scorers, ask):
    queries = ask(np.random.default_rng(0))
    gathered = gather(scorers, queries, 3)
    for row, labels in enumerate(gathered.labels):
        kept = labels[labels >= 0]
        assert (np.diff(kept) > 0).all() and (labels[len(kept) :] == -1).all()
        for name, scorer in scorers.items():
            own = scorer.propose(queries, 3)[0][row]
            assert labels[gathered.proposed[name][row]].tolist() == sorted(own[own >= 0].tolist())


def test_labels_that_only_a_scorer_of_weight_0_knows_fill_up(scorers, ask):
    queries = ask(np.random.default_rng(0))
    sparse = {"encoder": scorers["encoder"], "sparse": scorers["sparse"]}
    labels, values = Ranker(sparse, {"encoder": 0.0, "sparse": 1.0}).rank(queries, LABELS)
    assert (np.sort(labels, axis=1) == np.arange(LABELS)).all()
    known = Ranker({"sparse": scorers["sparse"]}, {"sparse": 1.0}).rank(queries, 5)
    full = known[0][:, -1] >= 0
    np.testing.assert_array_equal(
        Ranker(sparse, {"encoder": 0.0, "sparse": 1.0}).rank(queries, 5)[0][full], known[0][full]
    )
    assert full.any() and not full.all()
