"""The inverted index against a dense product, on random and on ugly inputs."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from ramen.mining.inverted import InvertedIndex


def whole_numbers(rng, rows, columns, density):
    """Sparse small whole numbers: exact sums, many ties, empty rows and columns."""
    values = rng.integers(-2, 3, (rows, columns)) * (rng.random((rows, columns)) < density)
    return sp.csr_matrix(values, dtype=np.float32)


@settings(max_examples=60)
@given(
    st.integers(0, 6), st.integers(1, 25), st.integers(1, 8), st.integers(1, 30), st.sampled_from([0.0, 0.2, 1.0]),
    st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_top_and_scores_equal_the_dense_product(n_queries, n_rows, n_features, k, density, but_itself, seed):
    rng = np.random.default_rng(seed)
    rows, queries = whole_numbers(rng, n_rows, n_features, density), whole_numbers(rng, n_queries, n_features, density)
    bias = rng.integers(-3, 1, n_rows).astype(np.float32)
    exclude = rng.integers(0, n_rows, n_queries) if but_itself else None
    index = InvertedIndex(rows, bias)
    dense = queries.toarray() @ rows.toarray().T + bias
    shared = (abs(queries) @ abs(rows).T).toarray() > 0
    found, scores = index.top(queries, k, exclude)
    for query in range(n_queries):
        order = [r for r in np.argsort(-dense[query], kind="stable") if shared[query, r]]
        order = [r for r in order if exclude is None or r != exclude[query]][:k]
        assert found[query].tolist() == order + [-1] * (k - len(order))
        assert scores[query, : len(order)].tolist() == dense[query, order].tolist()
        assert np.isneginf(scores[query, len(order) :]).all()
    wanted = rng.integers(-1, n_rows, (n_queries, 5))
    expected = np.take_along_axis(dense, np.maximum(wanted, 0), 1) * (wanted >= 0)
    np.testing.assert_array_equal(index.scores(queries, wanted), expected)


def test_common_features_are_left_out_of_the_scores():
    rng = np.random.default_rng(0)
    rows = sp.csr_matrix(np.hstack([np.ones((200, 1)), rng.random((200, 1)) < 0.6, np.eye(200)]), dtype=np.float32)
    queries = rows[:3]
    found, scores = InvertedIndex(rows, max_share=0.7).top(queries, 2)
    assert found[0, 0] == 0 and scores[0, 0] == queries[0, 1] + 1
    assert (InvertedIndex(rows[:90], max_share=0.01).top(queries, 1)[1] == queries.sum(1)).all()  # too few to be common


@pytest.mark.parametrize("queries", [1, 2, 9])
def test_number_of_threads_changes_nothing(queries, threads):
    rng = np.random.default_rng(0)
    rows = sp.random(300, 40, density=0.2, format="csr", dtype=np.float32, rng=rng)
    asked = sp.random(queries, 40, density=0.2, format="csr", dtype=np.float32, rng=rng)
    index = InvertedIndex(rows)
    with threads(4):
        many = index.top(asked, 7)
    with threads(1):
        one = index.top(asked, 7)
    for left, right in zip(many, one, strict=True):
        np.testing.assert_array_equal(left, right)
