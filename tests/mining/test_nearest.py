"""Exact search in blocks, and the heap below it, against a full sort."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramen.mining.bfloat16 import widened
from ramen.mining.heaps import best_first, push
from ramen.mining.nearest import nearest, products


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 12), st.randoms())
def test_the_heap_keeps_the_best_in_any_order(levels, k, random):
    offers = list(enumerate(levels))
    random.shuffle(offers)
    scores, rows, size = np.empty(k, np.float32), np.empty(k, np.int64), 0
    for row, level in offers:
        size = push(scores, rows, size, np.float32(level), row)
    best_first(scores, rows, size)
    expected = sorted(enumerate(levels), key=lambda item: (-item[1], item[0]))[:k]
    assert size == len(expected)
    assert list(zip(rows[:size].tolist(), scores[:size].tolist(), strict=True)) == expected


def by_sorting(queries, matrix, k, exclude=None):
    scores = queries @ matrix.T
    rows = np.full((len(queries), k), -1)
    for i, row in enumerate(scores):
        order = [j for j in np.argsort(-row, kind="stable") if exclude is None or j != exclude[i]][:k]
        rows[i, : len(order)] = order
    return rows


@settings(max_examples=40)
@given(st.integers(0, 7), st.integers(0, 30), st.integers(1, 40), st.booleans(), st.integers(0, 99))
def test_nearest_equals_a_full_sort(n_queries, n_rows, k, but_itself, seed):
    rng = np.random.default_rng(seed)  # whole numbers: exact products, many ties
    queries = rng.integers(-1, 2, (n_queries, 3)).astype(np.float32)
    matrix = rng.integers(-1, 2, (n_rows, 3)).astype(np.float32)
    exclude = rng.integers(0, max(n_rows, 1), n_queries) if but_itself else None
    rows, scores = nearest(queries, matrix, k, exclude)
    np.testing.assert_array_equal(rows, by_sorting(queries, matrix, k, exclude))
    assert (np.isneginf(scores) == (rows < 0)).all()
    np.testing.assert_array_equal(products(queries, matrix, rows)[rows >= 0], scores[rows >= 0])
    assert (products(queries, matrix, rows)[rows < 0] == 0).all()


@pytest.mark.parametrize(("queries_a_block", "rows_a_block"), [(1, 1), (3, 7), (1000, 1000)])
def test_the_blocks_change_nothing(monkeypatch, queries_a_block, rows_a_block):
    rng = np.random.default_rng(0)
    queries, matrix = rng.normal(size=(20, 8)).astype(np.float32), rng.normal(size=(50, 8)).astype(np.float32)
    monkeypatch.setattr("ramen.mining.nearest._QUERIES", queries_a_block)
    monkeypatch.setattr("ramen.mining.nearest._ROWS", rows_a_block)
    rows, scores = nearest(queries, matrix, 9)
    np.testing.assert_array_equal(rows, by_sorting(queries, matrix, 9))
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ matrix.T, rows, 1), rtol=1e-5)


@pytest.mark.parametrize("n_queries", [1, 2, 3, 12, 13])  # alone, in pairs, with one left over; BLAS from 13 on
def test_few_queries_and_many_find_the_same(n_queries):
    rng = np.random.default_rng(1)
    rows_of = rng.integers(-9, 10, (300, 37)).astype(np.float32)
    matrix = np.concatenate([rows_of, rows_of[::-1]])  # each row twice: the smaller one is first
    queries = rng.integers(-9, 10, (n_queries, 37)).astype(np.float32)
    rows, scores = nearest(queries, matrix, 50)
    np.testing.assert_array_equal(rows, by_sorting(queries, matrix, 50))
    np.testing.assert_array_equal(scores, np.take_along_axis(queries @ matrix.T, rows, 1))


@pytest.mark.parametrize("n_queries", [0, 1, 4, 13])
@pytest.mark.parametrize("n_rows", [0, 3, 2050])
def test_bits_of_bfloat16_are_searched_as_their_numbers(n_queries, n_rows):
    rng = np.random.default_rng(2)
    bits = (rng.standard_normal((n_rows, 20)).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    queries, matrix = rng.standard_normal((n_queries, 20)).astype(np.float32), widened(bits)
    rows, scores = nearest(queries, bits, 7)
    expected_rows, expected_scores = nearest(queries, matrix, 7)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(products(queries, bits, rows), products(queries, matrix, rows), rtol=1e-5, atol=1e-5)


def test_what_is_not_finite_keeps_its_place():
    matrix = np.array([[1.0], [np.nan], [np.inf], [-np.inf], [0.0]], dtype=np.float32)
    rows, scores = nearest(np.ones((1, 1), dtype=np.float32), matrix, 5)
    assert rows[0].tolist() == [2, 0, 4, -1, -1] and scores[0, 0] == np.inf
