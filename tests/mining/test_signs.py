"""The index by signs: exact scores, the right candidates, and its estimates against a plain reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramen.mining.nearest import nearest, products
from ramen.mining.selection import keep_largest, row_of
from ramen.mining.signs import SignIndex, _collect, _in_planes


def by(matrix):
    return lambda queries, rows: products(queries, matrix, rows)


def build(matrix, **options):
    return SignIndex.build(*matrix.shape, lambda first, last: matrix[first:last], **options)


def unit(rng, n, dim):
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@settings(max_examples=40)
@given(st.integers(0, 5), st.integers(0, 30), st.integers(1, 70), st.integers(1, 12), st.integers(0, 99))
def test_with_as_many_candidates_as_rows_it_is_exact(n_queries, n_rows, dim, k, seed):
    rng = np.random.default_rng(seed)  # whole numbers: exact products, many ties, some rows all zeros
    queries = rng.integers(-1, 2, (n_queries, dim)).astype(np.float32)
    matrix = rng.integers(-1, 2, (n_rows, dim)).astype(np.float32)
    rows, scores = build(matrix).top(queries, k, by(matrix))
    expected_rows, expected_scores = nearest(queries, matrix, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(scores, expected_scores)


def estimates(index, query):
    """The estimator of the paper, plainly: one row after the other, the query not rounded."""
    rotated = index.rotation @ query
    signs = np.unpackbits(np.ascontiguousarray(index.signs.T).view(np.uint8), axis=1, bitorder="little") * 2.0 - 1.0
    return index.factors * (signs @ rotated)


def test_candidates_are_those_of_the_plain_estimator():
    rng = np.random.default_rng(0)
    matrix, queries = unit(rng, 5000, 100), unit(rng, 20, 100)
    index = build(matrix)
    for parts in (1, 3):
        found = index._near(queries, 50, parts)
        for row, query in zip(found, queries, strict=True):
            best = np.argsort(-estimates(index, query))[:60]  # rounding of the query moves a few across the end
            assert len(set(row)) == 50 and len(set(row) & set(best)) >= 45


def test_estimates_have_no_bias():
    rng = np.random.default_rng(1)
    matrix, query = unit(rng, 20_000, 128), unit(rng, 1, 128)[0]
    matrix += 0.3 * query  # rows that lie to one side
    index = build(matrix)
    error = estimates(index, query) + index.mean @ query - matrix @ query
    assert abs(error.mean()) < 0.002 and error.std() < 0.12


@pytest.mark.parametrize("seed", range(3))
def test_tuning_reaches_the_recall_on_other_queries(seed):
    rng = np.random.default_rng(seed)
    centres = unit(rng, 200, 64)
    matrix = centres[rng.integers(0, 200, 20_000)] + 0.7 * unit(rng, 20_000, 64)
    queries = centres[rng.integers(0, 200, 400)] + 0.7 * unit(rng, 400, 64)
    index, exact = build(matrix), nearest(queries, matrix, 10)[0]
    assert index.tune(queries[:200], exact[:200], by(matrix), 0.99) >= 0.99
    assert index.candidates < 10_000
    rows = index.top(queries[200:], 10, by(matrix))[0]
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, exact[200:], strict=True)]) >= 0.98


def test_any_number_of_threads_finds_the_same(threads):
    rng = np.random.default_rng(2)
    matrix, queries = unit(rng, 10_000, 64), unit(rng, 1, 64)
    index, found = build(matrix), []
    for count in (1, 2, 5):
        with threads(count):
            found.append(index.top(queries, 20, by(matrix)))
    for rows, scores in found:
        np.testing.assert_array_equal(rows, found[0][0])
        np.testing.assert_array_equal(scores, found[0][1])


def best_of(scores, k):
    """Rows of the k highest scores, ties by smaller row, by a full sort."""
    return set(np.lexsort((np.arange(len(scores)), -scores))[:k])


@given(
    st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, -3e38, 3e38, np.inf, -np.inf]), max_size=200),
    st.integers(1, 220), st.integers(1, 50),
)  # fmt: skip
def test_blocks_of_estimates_leave_the_highest(levels, k, block):
    scores = np.array(levels, dtype=np.float32)
    buffer, size, floor = np.empty(2 * k, dtype=np.int64), np.int64(0), np.float32(-np.inf)
    for first in range(0, len(scores), block):
        size, floor = _collect(scores[first : first + block], first, buffer, size, floor)
    size = keep_largest(buffer, size, k)
    assert {row_of(key) for key in buffer[:size]} == best_of(scores, k) and size == min(k, len(scores))


@settings(max_examples=40)
@given(st.integers(0, 3), st.integers(0, 5000), st.integers(1, 600), st.integers(1, 5), st.integers(0, 99))
def test_candidates_are_the_best_by_a_full_sort(n_queries, n_rows, wanted, parts, seed):
    rng = np.random.default_rng(seed)  # a dimension: signs and so estimates have few values, most of them ties
    matrix = rng.integers(-1, 2, (n_rows, 1)).astype(np.float32)
    index = SignIndex.build(n_rows, 1, lambda first, last: matrix[first:last])
    queries = rng.integers(-1, 2, (n_queries, 1)).astype(np.float32)
    planes, lows, steps, sums = _in_planes(queries @ index.rotation.T)
    found = index._near(queries, wanted, parts)
    assert found.shape == (n_queries, wanted)
    for query in range(n_queries):
        weighted = sum(
            2.0**bit * np.bitwise_count(index.signs & planes[query, bit, :, None]).sum(axis=0) for bit in range(4)
        )
        scores = index.factors * (2 * (lows[query] * index.counts + steps[query] * weighted) - sums[query])
        ours = found[query][found[query] >= 0]
        cut = np.sort(scores)[::-1][: len(ours)]
        assert len(set(ours)) == len(ours) == min(wanted, n_rows)
        np.testing.assert_allclose(np.sort(scores[ours])[::-1], cut, rtol=1e-5, atol=1e-5)
        # Of rows with the same sign, factor and count those that are chosen come first.
        for same in np.unique(np.stack([index.signs[0], index.factors.view(np.uint32)]), axis=1).T:
            rows = np.flatnonzero((index.signs[0] == same[0]) & (index.factors.view(np.uint32) == same[1]))
            taken = np.isin(rows, ours)
            assert (taken == (np.arange(len(rows)) < taken.sum())).all()
