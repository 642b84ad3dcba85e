"""Sparse codes over atoms, beside least squares in numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramen.heads.atoms import make_atoms, most_atoms, sparse_codes


def plain(vector, atoms, k):
    """Orthogonal matching pursuit, word by word."""
    chosen, left = [], vector.astype(np.float64)
    for _ in range(k):
        gains = np.abs(atoms @ left)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        weights = np.linalg.lstsq(atoms[chosen].T.astype(np.float64), vector.astype(np.float64), rcond=None)[0]
        left = vector - weights @ atoms[chosen]
    return weights @ atoms[chosen]


def summed(codes, atoms):
    return np.einsum("lk,lkd->ld", codes[0], atoms[codes[1]])


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 8))
def test_codes_are_those_of_the_plain_pursuit(seed, n, k):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 8)).astype(np.float32)
    atoms = make_atoms(rng.normal(size=(60, 8)).astype(np.float32))
    codes = sparse_codes(vectors, atoms, k)
    expected = np.array([plain(vector, atoms, k) for vector in vectors])
    found = summed(codes, atoms)
    # Where two atoms gain alike the pursuits may part: what is left over is then alike, too.
    left, best = (np.linalg.norm(vectors - some, axis=1) for some in (found, expected))
    assert (left <= best * 1.05 + 1e-3).mean() > 0.9
    assert (np.diff(codes[1], axis=1) > 0).all() and codes[1].max() < len(atoms)


def test_as_many_atoms_as_dimensions_are_exact():
    vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    atoms = make_atoms(vectors)
    np.testing.assert_allclose(summed(sparse_codes(vectors, atoms, 6), atoms), vectors, atol=1e-3)


@pytest.mark.parametrize("vectors", [np.zeros((3, 4)), np.ones((1, 4)), np.ones((40, 4)), np.eye(4)[:2] * 1e-8])
def test_odd_vectors(vectors):
    vectors = vectors.astype(np.float32)
    atoms = make_atoms(vectors)
    codes = sparse_codes(vectors, atoms, 3)
    np.testing.assert_allclose(summed(codes, atoms), vectors, atol=2e-3)
    assert np.isfinite(codes[0]).all() and (np.diff(codes[1], axis=1) > 0).all()


def test_clusters_make_atoms_that_few_of_them_tell_a_vector_by():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 64))
    vectors = (centres[rng.integers(0, 40, 2000)] + 0.3 * rng.normal(size=(2000, 64))).astype(np.float32)
    atoms = make_atoms(vectors)
    assert len(atoms) == most_atoms(2000, 64) == 64 + 128  # a power of two, as clusters are halves of halves

    def lost(atoms):
        left = vectors - summed(sparse_codes(vectors, atoms, 4), atoms)
        return np.square(left).sum() / np.square(vectors).sum()

    assert lost(atoms) < 0.5 * lost(atoms[:64])
