import math

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.metrics import inverse_propensity


def test_formula_by_hand():
    targets = sp.csr_matrix([[1, 0, 5], [1, 0, 0], [1, 0, 0], [1, 0, 0]])
    scale = (math.log(4) - 1) * 3.6**0.6
    expected = [1 + scale * 6.6**-0.6, 1 + scale * 2.6**-0.6, 1 + scale * 3.6**-0.6]
    np.testing.assert_allclose(inverse_propensity(targets, A=0.6, B=2.6), expected, rtol=1e-12)


def test_a_label_that_occurs_once_gets_ln_n():
    """(n_l + B)^-A cancels (B + 1)^A at n_l = 1, whatever A and B are."""
    targets = sp.csr_matrix(np.eye(50))
    np.testing.assert_allclose(inverse_propensity(targets, A=0.5, B=0.4), math.log(50), rtol=1e-12)


@pytest.mark.parametrize(
    ("rows", "a", "b", "message"),
    [
        (3, -0.1, 0.4, "A is -0.1"),
        (3, 0.5, -0.1, "B is -0.1"),
        (3, float("nan"), 1.5, "A is nan"),
    ],
)
def test_bad_input(rows, a, b, message):
    with pytest.raises(InputError, match=message):
        inverse_propensity(sp.csr_matrix(np.eye(rows)), a, b)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_of_fewer_than_three_rows_every_label_counts_alike(rows):
    np.testing.assert_array_equal(inverse_propensity(sp.csr_matrix(np.ones((rows, 2))), 0.5, 0.4), [1.0, 1.0])


def test_b_of_zero_leaves_every_label_finite():
    targets = sp.csr_matrix([[1, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0]])
    found = inverse_propensity(targets, A=0.5, B=0.0)
    np.testing.assert_allclose(found, 1 + (math.log(4) - 1) * np.array([4.0, 1.0, 1.0]) ** -0.5)
