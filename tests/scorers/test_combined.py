"""Scorers with labels more and labels less, against the same scorer made of all labels at once."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.scorers.combined import ConcatenatedScorer, MaskedScorer
from ramen.scorers.encoder import EncoderScorer
from ramen.scorers.neighbours import NeighbourScorer
from ramen.scorers.sparse.classifier import SparseClassifier
from ramen.scorers.sparse.scorer import SparseScorer


def vectors_in_two(whole, first):
    rows = whole.weights.vectors
    return ConcatenatedScorer(EncoderScorer(rows[:first]), EncoderScorer(rows[first:]))


def sparse_in_two(whole, first):
    weights, bias = whole.classifier.weights.tocsr(), whole.classifier.bias
    parts = [SparseClassifier(weights[:first], bias[:first]), SparseClassifier(weights[first:], bias[first:])]
    return ConcatenatedScorer(*(SparseScorer(part, whole.params) for part in parts))


@pytest.mark.parametrize(("kind", "split"), [("encoder", vectors_in_two), ("sparse", sparse_in_two)])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_two_parts_are_the_whole(makers, queries, kind, split, k):
    rng = np.random.default_rng(3)
    whole = makers[kind](rng, 30)
    both, asked = split(whole, 19), queries(rng)
    labels, scores = both.propose(asked, k)
    expected, expected_scores = whole.propose(asked, k)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
    wanted = rng.integers(-1, 30, (len(asked), 12))
    np.testing.assert_allclose(both.score(asked, wanted), whole.score(asked, wanted), atol=1e-6)


def test_more_points_vote_as_points_do(makers, queries):
    rng = np.random.default_rng(4)
    base = makers["neighbours"](rng, 20)
    more, of = queries(rng, 6).vectors, np.array([0, 1, 1, 2, 0, 2])
    targets = sp.block_diag([base.targets, sp.csr_matrix(np.eye(3)[of])], format="csr").astype(np.float32)
    whole = NeighbourScorer(np.concatenate([base.vectors, more]), targets, base.k, base.temperature)
    extended, asked = base.with_points(more, of, 3, list("abcdef")), queries(rng)
    assert extended.n_labels == 23 and extended.names[len(base.vectors)] == "a"
    for ours, theirs in zip(extended.propose(asked, 9), whole.propose(asked, 9), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("kind", ["encoder", "neighbours", "sparse"])
@pytest.mark.parametrize("share", [0.1, 0.9, 1.0])
def test_removed_labels_are_never_proposed_and_others_move_up(makers, queries, kind, share):
    rng = np.random.default_rng(5)
    whole, asked = makers[kind](rng, 40), queries(rng)
    removed = rng.random(40) < share
    labels, scores = MaskedScorer(whole, removed).propose(asked, 6)
    every = whole.propose(asked, 40)
    for row in range(len(asked)):
        kept = [label for label in every[0][row] if label >= 0 and not removed[label]][:6]
        assert labels[row].tolist() == kept + [-1] * (6 - len(kept))
        assert np.all(np.isneginf(scores[row, len(kept) :]))
