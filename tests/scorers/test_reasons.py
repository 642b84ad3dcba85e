"""Reasons for all labels of a query at once, against a plain loop over labels and features, or points."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from ramen.mining.inverted import InvertedIndex
from ramen.scorers.base import Queries
from ramen.scorers.combined import ConcatenatedScorer, MaskedScorer
from ramen.scorers.sparse.classifier import SparseClassifier
from ramen.scorers.sparse.scorer import SparseScorer

LABELS, FEATURES = 40, 15
NAMES = [f"w{at}" for at in range(FEATURES)]


def plain_words(scorer, queries, label):
    weights, words = scorer.classifier.weights, queries.words
    parts = []
    for feature, value in zip(words.indices, words.data, strict=True):
        part = slice(weights.indptr[feature], weights.indptr[feature + 1])
        at = np.flatnonzero(weights.indices[part] == label)
        if len(at):
            parts.append((float(value * weights.data[part][at[0]]), int(feature)))
    largest = sorted(parts, key=lambda one: -abs(one[0]))[:6]
    return {"words": [{"word": NAMES[at], "weight": round(weight, 4)} for weight, at in largest]}


def plain_neighbours(scorer, queries, label):
    shares, targets = scorer.shares(queries), scorer.targets
    voters = [
        (float(share), int(point))
        for point, share in zip(shares.indices, shares.data, strict=True)
        if label in targets.indices[targets.indptr[point] : targets.indptr[point + 1]]
    ]
    nearest_first = sorted(voters, key=lambda one: -one[0])[:4]
    names = scorer.names or [f"point {at}" for at in range(len(scorer.vectors))]
    return {"neighbours": [{"text": names[point], "share": round(share, 4)} for share, point in nearest_first]}


PLAIN = {"sparse": plain_words, "neighbours": plain_neighbours}


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("k", [1, 7, LABELS])
def test_reasons_are_those_of_a_plain_loop(makers, queries, kind, k):
    rng, shown = np.random.default_rng(k), 0
    scorer, asked = makers[kind](rng, LABELS), queries(rng, 30)
    for row in range(len(asked)):
        query, labels = asked[row : row + 1], rng.permutation(LABELS)[:k]
        reasons = scorer.explain(query, labels, NAMES)
        assert reasons == [PLAIN[kind](scorer, query, label) for label in labels.tolist()]
        shown += sum(len(reason.popitem()[1]) for reason in reasons)
    assert shown > k  # not all are empty


def test_reasons_with_labels_added_and_removed(makers, queries):
    rng = np.random.default_rng(2)
    whole, asked = makers["sparse"](rng, LABELS), queries(rng)
    weights, bias = whole.classifier.weights.tocsr(), whole.classifier.bias
    first, second = (
        SparseScorer(SparseClassifier(weights[part], bias[part]), whole.params)
        for part in (slice(25), slice(25, LABELS))
    )
    both = MaskedScorer(ConcatenatedScorer(first, second), rng.random(LABELS) < 0.3)
    for row in range(len(asked)):
        labels = rng.permutation(LABELS)[:12]
        query = asked[row : row + 1]
        assert both.explain(query, labels, NAMES) == whole.explain(query, labels, NAMES)
    assert both.explain(asked[:1], labels[:0], NAMES) == []


def test_reasons_without_words_or_their_names_are_none(makers, queries):
    rng = np.random.default_rng(3)
    scorer, asked = makers["sparse"](rng, LABELS), queries(rng)
    assert scorer.explain(asked[:1], np.array([4, 2]), None) == [{}, {}]
    assert scorer.explain(Queries(asked.vectors[:1]), np.array([4, 2]), NAMES) == [{}, {}]
    assert scorer.explain(asked[len(asked) - 1 :], np.array([4, 2]), NAMES) == [{"words": []}, {"words": []}]


@given(st.data())
def test_the_largest_terms_are_those_of_dense_products(data):
    few = st.sampled_from([-2.0, -1.0, 0.0, 0.0, 1.0, 2.0])  # many ties
    rows = np.array(data.draw(st.lists(st.lists(few, min_size=5, max_size=5), min_size=1, max_size=6)), np.float32)
    query = np.array(data.draw(st.lists(few, min_size=5, max_size=5)), np.float32)
    wanted = np.array(data.draw(st.permutations(range(len(rows)))), np.int64)
    k = data.draw(st.integers(1, 6))
    shuffled = sp.csr_matrix((query[::-1], np.arange(5)[::-1], [0, 5]), shape=(1, 5))  # features in any order
    features, terms = InvertedIndex(sp.csr_matrix(rows)).largest_terms(shuffled, wanted, k)
    for row, found, values in zip(wanted, features, terms, strict=True):
        products = rows[row] * query
        expected = sorted(np.flatnonzero(rows[row]).tolist(), key=lambda at: -abs(products[at]))[:k]
        assert found[found >= 0].tolist() == expected
        np.testing.assert_array_equal(values[: len(expected)], products[expected])
        assert (found[len(expected) :] == -1).all() and (values[len(expected) :] == 0).all()
