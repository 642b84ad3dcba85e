"""Mined negatives against loops."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.mining.negatives import mined_negatives, nearest_negatives


@pytest.mark.parametrize("rows_at_once", [1, 7, 1000])
def test_points_near_a_label_are_its_negatives(monkeypatch, rows_at_once):
    monkeypatch.setattr("ramen.mining.negatives._ROWS", rows_at_once)
    rng = np.random.default_rng(0)
    targets = sp.random(30, 12, density=0.1, format="csr", dtype=np.float32, rng=rng)
    near = [rng.integers(-1, 30, (30, 4)), rng.integers(-1, 30, (30, 2))]
    found = mined_negatives(near, targets)
    expected = np.zeros((12, 30))
    for rows in near:
        for point in range(30):
            for other in rows[point]:
                if other >= 0:
                    expected[targets[other].indices, point] = 1
    np.testing.assert_array_equal(found.toarray(), expected)
    assert (found.data == 1).all()


def test_nothing_near_is_no_negative():
    targets = sp.csr_matrix(np.eye(3, dtype=np.float32))
    assert mined_negatives([np.full((3, 2), -1)], targets).nnz == 0


def test_nearest_negatives_are_the_first_that_are_none_of_the_right_ones():
    rng = np.random.default_rng(0)
    points, labels = (rng.normal(size=(n, 5)).astype(np.float32) for n in (20, 15))
    right = (rng.random((20, 15)) < 0.2).astype(np.float32)
    right[0] = 1
    found = nearest_negatives(points, labels, sp.csr_matrix(right), 3).toarray()
    assert not found[0].any() and set(np.unique(found)) == {0.0, 1.0}
    for point in range(1, 20):
        order = np.argsort(-(labels @ points[point]), kind="stable")
        wrong = order[right[point, order] == 0]
        count = int(found[point].sum())
        assert count >= 3 and set(np.flatnonzero(found[point])) == set(wrong[:count])
