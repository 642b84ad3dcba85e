"""The kernels of the shortlist head against torch, and who is on a list."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ramen.scorers.dense.classifier import DenseClassifier
from ramen.scorers.dense.shortlist import ShortlistClassifier, listed


def random_batch(rng, rows, labels, dim):
    targets, filtered, lists = (
        sp.csr_matrix((rng.random((rows, labels)) < share).astype(np.float32)) for share in (0.15, 0.1, 0.4)
    )
    return torch.tensor(rng.normal(size=(rows, dim)), dtype=torch.float32), targets, filtered, lists


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 12), st.sampled_from(["softmax", "bce"]))
def test_kernels_move_rows_as_torch_does(seed, rows, labels, loss):
    rng = np.random.default_rng(seed)
    start = torch.tensor(rng.normal(size=(labels, 5)), dtype=torch.float32)
    head, plain = ShortlistClassifier(start, 0.5, loss), ShortlistClassifier(start, 0.5, loss)
    for _ in range(3):
        queries, targets, filtered, lists = random_batch(rng, rows, labels, 5)
        if not targets.nnz:
            continue
        found = head.fit_step(queries, targets, filtered, 0.01, lists)
        expected = plain._in_torch(queries, *listed(targets, filtered, lists), 0.01).item() / targets.nnz
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
        torch.testing.assert_close(head.weights, plain.weights, atol=1e-4, rtol=1e-4)


def test_the_first_step_has_the_direction_of_the_dense_heads_gradient():
    rng = np.random.default_rng(0)
    queries, targets, filtered, _ = random_batch(rng, 9, 14, 6)
    start = torch.tensor(rng.normal(size=(14, 6)), dtype=torch.float32)
    head, dense = ShortlistClassifier(start, 0.5), DenseClassifier(start, 0.5)
    found, wanted = (float(each.fit_step(queries, targets, filtered, 0.01)) for each in (head, dense))
    assert found == pytest.approx(wanted, rel=0.02)
    moved, expected = head.weights - start, dense.weights.float() - start
    cosines = torch.nn.functional.cosine_similarity(moved, expected, dim=1)
    assert cosines.mean() > 0.8  # bfloat16 rounds steps of a hundredth


@pytest.mark.parametrize("lists", [None, np.array([1, 3]), sp.csr_matrix([[0, 1.0, 1, 0], [1, 1, 0, 1]])])
def test_true_and_filtered_labels_are_never_negatives(lists):
    targets, filtered = sp.csr_matrix([[1.0, 0, 0, 0], [0, 1, 0, 0]]), sp.csr_matrix([[0, 1.0, 0, 0], [0, 0, 0, 1]])
    points, labels, is_true = listed(targets, filtered, lists)
    pairs = set(zip(points[~is_true].tolist(), labels[~is_true].tolist(), strict=True))
    assert not pairs & {(0, 0), (1, 1), (0, 1), (1, 3)}
    assert set(zip(points[is_true].tolist(), labels[is_true].tolist(), strict=True)) == {(0, 0), (1, 1)}
    assert (np.diff(points) >= 0).all()


def test_threads_change_nothing(threads):
    rng = np.random.default_rng(1)
    start = torch.tensor(rng.normal(size=(200, 16)), dtype=torch.float32)
    batches = [random_batch(rng, 30, 200, 16) for _ in range(3)]
    weights = []
    for count in (1, 4):
        head = ShortlistClassifier(start)
        with threads(count):
            for queries, targets, filtered, lists in batches:
                head.fit_step(queries, targets, filtered, 0.01, lists)
        weights.append(head.weights)
    assert torch.equal(*weights)
