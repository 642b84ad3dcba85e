"""Search by cells: exact with all cells probed, nearly so with a few."""

import numpy as np
import pytest

from ramen.mining.approximate import Cells, nearest_of_each
from ramen.mining.nearest import nearest


def unit(rng, n, d=24, centres=40):
    middle = rng.normal(size=(centres, d))
    rows = middle[rng.integers(centres, size=n)] + 0.5 * rng.normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 7, 300])
@pytest.mark.parametrize("k", [1, 5, 400])
def test_with_all_cells_probed_it_is_exact(n, k):
    rng = np.random.default_rng(n)
    matrix, queries = unit(rng, n), unit(rng, 33)
    matrix[n // 2] = 0  # as of an empty text
    found, scores = Cells(matrix, size=8).top(queries, k, probes=10**6)
    expected, products = nearest(queries, matrix, k)
    np.testing.assert_allclose(scores, products, atol=1e-6)
    differs = found != expected
    np.testing.assert_allclose(scores[differs], products[differs], atol=1e-6)  # equal up to rounding
    assert differs.mean() < 0.01


def test_equal_rows_come_in_order_and_own_rows_never():
    matrix = np.ones((50, 4), dtype=np.float32)
    exclude = np.arange(50)
    found = Cells(matrix, size=4).top(matrix, 3, exclude, probes=100)[0]
    np.testing.assert_array_equal(found, nearest(matrix, matrix, 3, exclude)[0])


@pytest.mark.parametrize("seed", range(3))
def test_a_few_cells_hold_most_of_the_nearest(seed):
    rng = np.random.default_rng(seed)
    matrix = unit(rng, 5000)
    exclude = np.arange(len(matrix))
    found = Cells(matrix, size=64, seed=seed).top(matrix, 10, exclude)[0]
    exact = nearest(matrix, matrix, 10, exclude)[0]
    recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, exact, strict=True)])
    assert recall > 0.85
    assert (found != exclude[:, None]).all()


def test_no_queries_and_no_rows():
    assert Cells(unit(np.random.default_rng(0), 9), size=4).top(np.empty((0, 24), np.float32), 3)[0].shape == (0, 3)
    rows, scores = Cells(np.empty((0, 24), np.float32)).top(unit(np.random.default_rng(0), 2), 3)
    assert (rows == -1).all() and np.isneginf(scores).all()


@pytest.mark.parametrize("seed", range(3))
def test_looking_further_finds_what_the_cells_missed(seed):
    rng = np.random.default_rng(seed)
    matrix = unit(rng, 12_000, centres=1500)
    matrix[7] = 0
    exact = nearest(matrix, matrix, 10, np.arange(len(matrix)))[0]
    recalls = []
    for rounds in (0, 3):
        found, scores = nearest_of_each(matrix, 10, seed, rounds)
        products = np.einsum("nd,nkd->nk", matrix, matrix[found])
        np.testing.assert_allclose(scores, products, atol=1e-5)
        assert (np.diff(scores, axis=1) <= 0).all() and (found != np.arange(len(matrix))[:, None]).all()
        assert all(len(set(row)) == 10 for row in found.tolist())
        recalls.append(np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, exact, strict=True)]))
    assert recalls[1] > 0.9 and recalls[1] > recalls[0] + 0.02, recalls


@pytest.mark.parametrize("n", [1, 3, 30])
def test_few_rows(n):
    matrix = unit(np.random.default_rng(n), n)
    found = nearest_of_each(matrix, 5)[0]
    np.testing.assert_array_equal(np.sort(found), np.sort(nearest(matrix, matrix, 5, np.arange(n))[0]))
