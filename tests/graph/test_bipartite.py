"""Sampling of links, and their pruning."""

import numpy as np
import scipy.sparse as sp

from ramen.graph.bipartite import BipartiteLinks, block, sample_column

LINKS = sp.csr_matrix(np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1]], dtype=np.float32))


def test_sample_column_draws_stored_columns_only():
    rows = np.array([3, 0, 1, 2, 1, 0])
    rng = np.random.default_rng(0)
    for _ in range(50):
        has, columns = sample_column(LINKS, rows, rng)
        assert has.tolist() == [True, True, False, True, False, True]
        assert all(LINKS[row, column] for row, column in zip(rows[has], columns, strict=True))


def test_sample_column_is_uniform_over_a_rows_columns():
    _, columns = sample_column(LINKS, np.full(4000, 3), np.random.default_rng(0))
    assert np.bincount(columns, minlength=4).min() > 900


def test_sample_column_of_nothing():
    for rows in (np.empty(0, np.int64), np.array([1, 1])):
        has, columns = sample_column(LINKS, rows, np.random.default_rng(0))
        assert not has.any() and not len(columns) and columns.dtype == np.int64


def test_block_is_the_dense_part():
    rows, columns = np.array([3, 1, 0]), np.array([0, 2])
    assert block(LINKS, rows, columns).tolist() == [[True, True], [False, False], [True, True]]


def test_rows_are_allowed_ones_with_an_edge():
    assert BipartiteLinks(LINKS, np.arange(4)).rows.tolist() == [0, 2, 3]
    assert BipartiteLinks(LINKS, np.array([1, 2])).rows.tolist() == [2]
    assert not len(BipartiteLinks(sp.csr_matrix((4, 4)), np.arange(4)).rows)


def test_kept_edges_come_from_the_whole_graph_each_time():
    links = BipartiteLinks(LINKS, np.arange(4))
    links.keep(LINKS.indices == 1)
    assert links.active.toarray().tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    assert links.rows.tolist() == [2, 3]
    links.keep(LINKS.indices == 0)
    assert links.rows.tolist() == [0, 3]
    assert (links.full != LINKS).nnz == 0


def test_draws_are_distinct_and_cover_every_row():
    links = BipartiteLinks(sp.csr_matrix(np.ones((100, 1), dtype=np.float32)), np.arange(100))
    rng = np.random.default_rng(0)
    drawn = [links.draw(30, rng) for _ in range(40)]
    assert all(len(rows) <= 30 and (np.diff(rows) > 0).all() for rows in drawn)
    assert set(np.concatenate(drawn)) == set(range(100))
    assert links.draw(100, rng).tolist() == list(range(100))
