"""Fixtures: one scorer of each kind, and queries for them. A new kind adds its maker to MAKE."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.scorers.base import Queries
from ramen.scorers.dense.scorer import DenseScorer
from ramen.scorers.encoder import EncoderScorer
from ramen.scorers.neighbours import NeighbourScorer
from ramen.scorers.network.scorer import NetworkParams, NetworkScorer
from ramen.scorers.sparse.classifier import SparseClassifier
from ramen.scorers.sparse.scorer import SparseParams, SparseScorer

DIM, FEATURES, POINTS = 6, 15, 50


def unit(rng, n):
    rows = rng.normal(size=(n, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sparse(rng, rows, columns, density):
    return sp.random(rows, columns, density=density, format="csr", dtype=np.float32, rng=rng)


def make_encoder(rng, n_labels):
    return EncoderScorer(unit(rng, n_labels), np.eye(DIM, dtype=np.float32))


def make_dense(rng, n_labels):
    return DenseScorer(unit(rng, n_labels), np.eye(DIM, dtype=np.float32))


def make_neighbours(rng, n_labels):
    targets = sparse(rng, POINTS, n_labels, 0.1)
    targets.data[:] = 1
    return NeighbourScorer(unit(rng, POINTS), targets, 7, 0.1)


def make_sparse(rng, n_labels):
    weights, bias = sparse(rng, n_labels, FEATURES, 0.2), -rng.random(n_labels).astype(np.float32)
    return SparseScorer(SparseClassifier(weights, bias), SparseParams("words", 1.0, 0.5, {}))


def make_network(rng, n_labels):
    columns, width = np.array([0, 2, 3, 7, 11], dtype=np.int32), 4
    words, labels = rng.normal(size=(len(columns), width)), rng.normal(size=(n_labels, width + 1))
    words, labels, bias = words.astype(np.float32), labels.astype(np.float32), np.full(width, 0.1, np.float32)
    extension_map = np.eye(width + 1, dtype=np.float32)
    return NetworkScorer(columns, FEATURES, words, bias, labels, extension_map, NetworkParams("words"))


MAKE = {
    "encoder": make_encoder,
    "dense": make_dense,
    "neighbours": make_neighbours,
    "sparse": make_sparse,
    "network": make_network,
}


def ask(rng, n=9):
    """Queries, the last without words and with a zero vector, as an empty text has."""
    words = sparse(rng, n, FEATURES, 0.3).tolil()
    vectors = unit(rng, n)
    words[-1], vectors[-1] = 0, 0
    return Queries(vectors, words.tocsr())


@pytest.fixture
def makers():
    """By name a function of a generator and the number of labels."""
    return MAKE


@pytest.fixture
def queries():
    """A function of a generator; see :func:`ask`."""
    return ask
