"""The network over words: what it learns, that it repeats, and when it is left out."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.config import NetworkConfig, load_config
from ramen.errors import WorkError
from ramen.scorers.network import scorer
from ramen.scorers.network.scorer import NetworkScorer, frequent_columns
from ramen.scorers.network.train import epochs_of, train_network


def made(n=1500, n_words=40, n_labels=6, seed=0):
    """Texts of six words; a label is right where both of its two words occur."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(n), 6)
    words = sp.csr_matrix((np.ones(n * 6, np.float32), (rows, rng.integers(0, n_words, n * 6))), shape=(n, n_words))
    words.data[:] = 6**-0.5
    pairs = np.array([[2 * label, 2 * label + 1] for label in range(n_labels)])
    has = words.toarray() > 0
    return words, sp.csr_matrix((has[:, pairs[:, 0]] | has[:, pairs[:, 1]]).astype(np.float32))


def nothing(targets):
    return sp.csr_matrix(targets.shape, dtype=np.float32)


def logits(weights, words):
    hidden = np.maximum(words @ weights["words"] + weights["words_bias"], 0)
    return hidden @ weights["labels"].T + weights["labels_bias"]


def test_it_learns_which_words_make_a_label():
    words, targets = made()
    unseen, right = made(seed=1)
    weights = train_network(words, targets, nothing(targets), NetworkConfig(width=32), 0)
    found = logits(weights, unseen) > 0
    assert (found == (right.toarray() > 0)).mean() > 0.95
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}


def test_the_same_seed_gives_the_same_weights():
    words, targets = made(n=300)
    one, two = (train_network(words, targets, nothing(targets), NetworkConfig(width=8), 3) for _ in range(2))
    other = train_network(words, targets, nothing(targets), NetworkConfig(width=8), 4)
    assert all((one[name] == two[name]).all() for name in one)
    assert (one["labels"] != other["labels"]).any()


def test_filtered_pairs_are_neither_right_nor_wrong():
    words, targets = made(n=300)
    wrong = targets.tolil()
    wrong[:, 0] = 1 - targets[:, [0]].toarray()
    all_of_first = sp.csr_matrix(np.eye(6, dtype=np.float32)[[0] * 300])
    settings = NetworkConfig(width=8)
    one, two = (train_network(words, sp.csr_matrix(some), all_of_first, settings, 0) for some in (targets, wrong))
    other = train_network(words, sp.csr_matrix(wrong), nothing(targets), settings, 0)
    assert (one["words"] == two["words"]).all() and (one["labels"][1:] == two["labels"][1:]).all()
    assert (one["words"] != other["words"]).any()


def test_empty_texts_and_labels_of_all_points_or_none():
    words, targets = made(n=300)
    words = sp.vstack([words, sp.csr_matrix((2, words.shape[1]), dtype=np.float32)], format="csr")
    more = np.column_stack([targets.toarray(), np.ones(300), np.zeros(300)])
    targets = sp.csr_matrix(np.vstack([more, np.zeros((2, 8))]).astype(np.float32))
    weights = train_network(words, targets, nothing(targets), NetworkConfig(width=8), 0)
    assert all(np.isfinite(array).all() for array in weights.values())
    found = logits(weights, words[:300])
    assert (found[:, 6] > 0).all() and (found[:, 7] < 0).all()


def test_a_rate_that_blows_up_is_named():
    words, targets = made(n=300)
    with pytest.raises(WorkError, match=r"network\.lr"):
        train_network(words * np.float32(1e30), targets, nothing(targets), NetworkConfig(lr=1e30), 0)


@pytest.mark.parametrize(("n", "expected"), [(1, 20), (256, 20), (257, 20), (16_000, 6), (10**6, 2)])
def test_epochs(n, expected):
    assert epochs_of(n, 400) == expected


def test_many_labels_or_no_updates_switch_it_off():
    config = load_config("static")
    assert NetworkScorer.is_enabled(config, 5000) and not NetworkScorer.is_enabled(config, 5001)
    assert not NetworkScorer.is_enabled(load_config("static", ["network.updates=0"]), 10)
    assert not NetworkScorer.is_enabled(load_config("fast"), 10)


def test_frequent_columns_of_few():
    assert frequent_columns(sp.csr_matrix((3, 4), dtype=np.float32), 10).tolist() == [0, 1, 2, 3]


def test_hidden_layers_are_summed_in_blocks(monkeypatch):
    words, targets = made(n=50)
    rng = np.random.default_rng(2)
    vectors, bias = rng.normal(size=(40, 8)).astype(np.float32), rng.normal(size=8).astype(np.float32)
    hidden = np.column_stack([np.maximum(words @ vectors + bias, 0), np.ones(50)])
    for block in (7, 50, 8192):
        monkeypatch.setattr(scorer, "_BLOCK", block)
        found = scorer._hidden_sums(words, targets * 3, vectors, bias)
        np.testing.assert_allclose(found, targets.T @ hidden, rtol=1e-5)
