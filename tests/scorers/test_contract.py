"""What every scorer must do."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.scorers.base import Queries
from ramen.scorers.neighbours import Neighbours
from ramen.scorers.registry import SCORERS
from ramen.scorers.sparse.classifier import SparseClassifier
from ramen.scorers.sparse.scorer import SparseWords
from ramen.scorers.vectors import LabelVectors

DIM, FEATURES = 6, 15


@pytest.fixture(params=[1, 2, 40], ids="{} labels".format)
def n_labels(request):
    return request.param


@pytest.fixture(params=sorted(SCORERS))
def scorer(request, n_labels, makers):
    return makers[request.param](np.random.default_rng(3), n_labels)


@pytest.fixture
def ask(queries):
    return queries


def test_proposals_are_the_best_of_what_scoring_says(scorer, n_labels, ask):
    queries = ask(np.random.default_rng(0))
    everything = np.tile(np.arange(n_labels), (len(queries), 1))
    scores = scorer.score(queries, everything)
    for k in (1, 5, 100):
        labels, values = scorer.propose(queries, k)
        assert labels.shape == values.shape == (len(queries), k)
        assert labels.dtype == np.int64 and values.dtype == scores.dtype == np.float32
        for row in range(len(queries)):
            found = labels[row][labels[row] >= 0]
            assert len(set(found.tolist())) == len(found)
            np.testing.assert_allclose(values[row, : len(found)], scores[row, found], atol=1e-5)
            assert np.isneginf(values[row, len(found) :]).all() and (labels[row, len(found) :] == -1).all()
            assert (np.diff(values[row, : len(found)]) <= 0).all()
            left = np.setdiff1d(np.arange(n_labels), found)
            if len(found) == k and type(scorer) is not SparseWords:  # it offers labels that share a word, only
                assert (scores[row, left] <= values[row, k - 1] + 1e-5).all()


def test_scores_do_not_depend_on_what_else_is_asked(scorer, n_labels, ask):
    rng = np.random.default_rng(1)
    queries = ask(rng)
    wanted = rng.integers(-1, n_labels, (len(queries), 12))
    scores = scorer.score(queries, wanted)
    assert (scores[wanted < 0] == 0).all()
    everything = scorer.score(queries, np.tile(np.arange(n_labels), (len(queries), 1)))
    np.testing.assert_allclose(
        scores, np.where(wanted < 0, 0, np.take_along_axis(everything, np.maximum(wanted, 0), 1)), atol=1e-6
    )
    np.testing.assert_allclose(scorer.score(queries[2:4], wanted[2:4]), scores[2:4], atol=1e-6)


def test_equal_scores_go_to_the_smaller_label(n_labels):
    vectors = LabelVectors(np.ones((n_labels, DIM), np.float32))
    votes = Neighbours(np.eye(DIM, dtype=np.float32), sp.csr_matrix(np.ones((DIM, n_labels), np.float32)), 3, 0.1)
    words = SparseWords(SparseClassifier(sp.csr_matrix(np.ones((n_labels, FEATURES), np.float32)), np.zeros(n_labels)))
    queries = Queries(np.ones((1, DIM), np.float32), sp.csr_matrix(np.ones((1, FEATURES), np.float32)))
    for scorer in (vectors, votes, words):
        assert scorer.propose(queries, 3)[0][0].tolist() == [*range(min(3, n_labels)), *[-1] * (3 - n_labels)]


def test_no_queries(scorer, ask):
    queries = ask(np.random.default_rng(0))[:0]
    labels, values = scorer.propose(queries, 4)
    assert labels.shape == values.shape == (0, 4)
    assert scorer.score(queries, labels).shape == (0, 4)


def test_what_is_saved_comes_back(scorer, ask, tmp_path):
    queries = ask(np.random.default_rng(2))
    scorer.save(tmp_path)
    loaded = type(scorer).load(tmp_path)
    assert loaded.n_labels == scorer.n_labels
    for one, other in zip(loaded.propose(queries, 6), scorer.propose(queries, 6), strict=True):
        np.testing.assert_array_equal(one, other)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".safetensors"}


def test_votes_are_shares_of_the_nearest_points(makers, ask):
    rng = np.random.default_rng(0)
    scorer = makers["neighbours"](rng, 40)
    queries = ask(rng)
    cosines = queries.vectors @ scorer.vectors.T
    expected = np.zeros((len(queries), 40))
    for row in range(len(queries)):
        nearest = np.argsort(-cosines[row], kind="stable")[:7]
        shares = np.exp(cosines[row, nearest] / 0.1)
        expected[row] = (shares / shares.sum()) @ scorer.targets.toarray()[nearest]
    found = scorer.score(queries, np.tile(np.arange(40), (len(queries), 1)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    scorer.temperature = 0.5  # read anew although the nearest points are kept
    assert np.abs(scorer.score(queries, np.tile(np.arange(40), (len(queries), 1))) - found).max() > 0.01


def test_sparse_scores_are_a_logistic_curve_over_the_dense_product(makers, ask):
    rng = np.random.default_rng(0)
    scorer, queries = makers["sparse"](rng, 40), ask(rng)
    margins = (queries.words @ scorer.head.weights.T).toarray() + scorer.head.bias
    found = scorer.score(queries, np.tile(np.arange(40), (len(queries), 1)))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-4 * margins)), atol=1e-5)
