"""What every scorer must do."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.config import load_config
from ramen.scorers.base import NewLabels, Queries, Sizes
from ramen.scorers.encoder import EncoderScorer
from ramen.scorers.neighbours import NeighbourScorer
from ramen.scorers.registry import SCORERS
from ramen.scorers.sparse.classifier import SparseClassifier
from ramen.scorers.sparse.scorer import SparseParams, SparseScorer

DIM, FEATURES = 6, 15
PARAMS = SparseParams("words", 1.0, 0.5, {})
NAMES = [f"w{at}" for at in range(FEATURES)]


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
            if len(found) == k and not isinstance(scorer, SparseScorer):  # it offers labels that share a word, only
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
    vectors = EncoderScorer(np.ones((n_labels, DIM), np.float32))
    votes = NeighbourScorer(np.eye(DIM, dtype=np.float32), sp.csr_matrix(np.ones((DIM, n_labels), np.float32)), 3, 0.1)
    words = SparseScorer(
        SparseClassifier(sp.csr_matrix(np.ones((n_labels, FEATURES), np.float32)), np.zeros(n_labels)), PARAMS
    )
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


def new_labels(rng, ask, n, n_examples):
    """``n`` labels to add, the first with all examples."""
    texts, examples = ask(rng, n), ask(rng, n_examples)
    links = sp.csr_matrix(
        (np.ones(n_examples, np.float32), (np.zeros(n_examples, int), np.arange(n_examples))), (n, n_examples)
    )
    names = [f"example {at}" for at in range(n_examples)]
    vectors = np.ascontiguousarray(texts.vectors)
    return NewLabels(
        vectors,
        texts.words,
        [f"label {at}" for at in range(n)],
        (examples.vectors, examples.words, names),
        links,
        vectors,
    )


@pytest.mark.parametrize("sizes", [(1,), (2, 3)], ids=str)
def test_added_labels_follow_and_the_others_stay_as_they_were(scorer, n_labels, ask, sizes):
    rng = np.random.default_rng(5)
    parts = [scorer.extend(new_labels(rng, ask, size, 3)) for size in sizes]
    extended, queries = scorer.extended(parts, sizes), ask(rng)
    assert extended.n_labels == n_labels + sum(sizes)
    old = np.tile(np.arange(n_labels), (len(queries), 1))
    if scorer.name != "neighbours":  # points of new labels take votes
        np.testing.assert_allclose(extended.score(queries, old), scorer.score(queries, old), atol=1e-6)
    new = np.tile(np.arange(n_labels, extended.n_labels), (len(queries), 1))
    assert np.isfinite(extended.score(queries, new)).all()
    labels, _ = extended.propose(queries, extended.n_labels)
    assert labels.max() >= n_labels
    assert len(extended.explain(queries[:1], np.arange(extended.n_labels), NAMES)) == extended.n_labels


def test_a_part_that_lacks_an_array_is_refused(scorer, ask):
    part = scorer.extend(new_labels(np.random.default_rng(5), ask, 2, 3))
    part.pop(next(iter(part)))
    with pytest.raises(KeyError):
        scorer.extended([part], [2])


def test_reasons_are_json(scorer, ask):
    queries = ask(np.random.default_rng(6))
    for row, labels in enumerate(scorer.propose(queries, 3)[0]):
        found = labels[labels >= 0]
        reasons = scorer.explain(queries[row : row + 1], found, NAMES)
        assert len(json.loads(json.dumps(reasons))) == len(found)


def test_a_part_of_the_queries_keeps_what_was_computed(scorer, n_labels, ask):
    queries = ask(np.random.default_rng(6))
    everything = np.tile(np.arange(n_labels), (len(queries), 1))
    scorer.propose(queries, 3)
    some, rows = queries[3:6], np.array([7, 0])
    assert len(some.cache) == len(queries.cache) and queries[:] is queries
    fresh = ask(np.random.default_rng(6))
    for part in (slice(3, 6), rows):
        for ours, theirs in zip(scorer.propose(queries[part], 3), scorer.propose(fresh, 3), strict=True):
            np.testing.assert_array_equal(ours, theirs[part])
        np.testing.assert_allclose(scorer.score(queries[part], everything[part]), scorer.score(fresh, everything)[part])


def test_a_search_space_is_what_it_proposes_from(scorer, ask):
    space = scorer.search_space()
    if space is None:
        return
    queries = ask(np.random.default_rng(7)).vectors
    rows = space.block(0, space.rows)
    assert rows.shape == (space.rows, space.dim)
    found, products = space.top(queries, min(3, space.rows))
    np.testing.assert_allclose(
        np.sort(products, axis=1)[:, ::-1], -np.sort(-(queries @ rows.T), axis=1)[:, : products.shape[1]], atol=1e-5
    )
    np.testing.assert_allclose(space.products(queries, found), products, atol=1e-5)


@pytest.mark.parametrize("name", SCORERS)
def test_memory_grows_with_the_labels(name):
    config = load_config("static")
    small, large = (
        SCORERS[name].memory(Sizes(1000, labels, 3000, 1e5, 64, labels), config) for labels in (100, 10_000)
    )
    assert small[1] <= large[1] and 0 < small[0] <= large[0]


@pytest.mark.parametrize("name", SCORERS)
def test_hyperparameters_survive_json(name):
    config = load_config("static")
    config.graphs = ["links"]
    kind = SCORERS[name]
    params = kind.default_params(config) or kind.Params("words")  # the network: only a search can justify it
    assert isinstance(params, kind.Params) and kind.name == name
    assert kind.Params(**json.loads(json.dumps(dataclasses.asdict(params)))) == params


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
    margins = (queries.words @ scorer.classifier.weights.T).toarray() + scorer.classifier.bias
    found = scorer.score(queries, np.tile(np.arange(40), (len(queries), 1)))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-4 * margins)), atol=1e-5)
