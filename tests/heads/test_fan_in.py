"""Rows with few weights, and the head that moves them about."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from ramen.errors import InputError
from ramen.heads.dense import DenseHead
from ramen.heads.fan_in import FanInHead, _gradient, _rewire
from ramen.heads.fan_in_rows import pruned
from ramen.mining.nearest import nearest, products


@pytest.mark.parametrize(
    ("labels", "dim", "k", "queries"), [(1, 1, 1, 1), (3, 9, 2, 0), (5000, 33, 7, 40), (40, 8, 8, 17)]
)
def test_scores_are_those_of_the_dense_rows(labels, dim, k, queries):
    rng = np.random.default_rng(labels)
    vectors = rng.normal(size=(labels, dim)).astype(np.float32)
    vectors[labels // 2] = 0
    rows, asked = pruned(vectors, k), rng.normal(size=(queries, dim)).astype(np.float32)
    dense = rows.dense()
    assert rows.values.shape == (labels, k) and dense.shape == (labels, dim)
    found, scores = rows.top(asked, 12)
    expected, values = nearest(asked, dense, 12)
    np.testing.assert_allclose(scores, values, atol=1e-5)
    assert (found == expected).mean() > 0.99 if queries else found.shape == (0, 12)
    wanted = rng.integers(-1, labels, (queries, 6))
    np.testing.assert_allclose(rows.products(asked, wanted), products(asked, dense, wanted), atol=1e-5)


def test_equal_scores_go_to_the_smaller_label():
    assert pruned(np.ones((9, 4), np.float32), 2).top(np.ones((1, 4), np.float32), 4)[0].tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("k", [0, 5])
def test_more_weights_than_dimensions_are_refused(k):
    with pytest.raises(InputError, match="expected 1 to 4"):
        pruned(np.ones((3, 4), np.float32), k)
    if k:
        with pytest.raises(InputError, match=r"head.fan_in=5: the encoder's vectors have 4 dimensions"):
            FanInHead(torch.ones(3, 4), fan_in=k)


def test_with_all_weights_it_is_the_dense_head():
    rng = np.random.default_rng(0)
    start = torch.tensor(rng.normal(size=(15, 6)), dtype=torch.float32)
    head = FanInHead(start, fan_in=6, rewire=2, chunk=7)
    assert len(head.atoms) == 6  # so few labels have no clusters: the main directions
    dense = DenseHead(start @ head.atoms.T, chunk=7)
    for _ in range(6):
        queries = torch.tensor(rng.normal(size=(9, 6)), dtype=torch.float32)
        targets = sp.csr_matrix((rng.random((9, 15)) < 0.2).astype(np.float32))
        found = head.fit_step(queries, targets, None, 0.01)
        assert found == pytest.approx(dense.fit_step(queries @ head.atoms.T, targets, None, 0.01), rel=1e-3)
    torch.testing.assert_close(head.weights, dense.weights, atol=2e-3, rtol=1e-3)


def test_the_kernel_gives_the_gradient_at_its_places():
    rng = np.random.default_rng(1)
    pulls, queries = rng.normal(size=(11, 30)).astype(np.float32), rng.normal(size=(11, 8)).astype(np.float32)
    columns = np.sort(rng.permuted(np.tile(np.arange(8), (30, 1)), axis=1)[:, :3], axis=1)
    found = np.empty(columns.shape, dtype=np.float32)
    _gradient(0, len(found), np.ascontiguousarray(pulls.T), np.ascontiguousarray(queries.T), columns, found)
    np.testing.assert_allclose(found, np.take_along_axis(pulls.T @ queries, columns, 1), atol=1e-4)


def test_the_kernel_gives_the_scores_of_the_dense_rows():
    rng = np.random.default_rng(2)
    start = torch.tensor(rng.normal(size=(200, 8)), dtype=torch.float32)
    head = FanInHead(start, fan_in=3)
    assert len(head.atoms) > 8
    queries = torch.tensor(rng.normal(size=(5, 8)), dtype=torch.float32)
    np.testing.assert_allclose(
        head.scores(queries).numpy(), queries.numpy() @ head.rows().dense().T, atol=1e-2
    )  # float16


def test_few_atoms_tell_more_of_a_label_than_few_coordinates():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(30, 48))
    vectors = (centres[rng.integers(0, 30, 900)] + 0.4 * rng.normal(size=(900, 48))).astype(np.float32)
    largest = np.where(np.abs(vectors) >= -np.sort(-np.abs(vectors), axis=1)[:, 5:6], vectors, 0)
    lost = [np.square(vectors - some).sum() for some in (pruned(vectors, 6).dense(), largest)]
    assert lost[0] < 0.4 * lost[1]


def test_weak_weights_give_way_to_steep_places():
    weights, columns = torch.tensor([[3.0, 0.1, 2.0], [1.0, 2.0, 3.0]]), torch.tensor([[0, 2, 4], [0, 1, 2]])
    first, second = torch.ones(2, 3), torch.ones(2, 3)
    gradient = torch.tensor([[9.0, 0.5, 9.0, 5.0, 9.0], [0.0, 0, 0, 0, 0]])
    _rewire((weights, torch.ones(2, 1), first, second, columns), gradient, 1)
    assert columns.tolist() == [[0, 3, 4], [0, 1, 2]]  # nothing pulls at the second label
    assert weights.tolist() == [[3.0, 0.0, 2.0], [1.0, 2.0, 3.0]] and first.tolist() == [[1, 0, 1], [1, 1, 1]]


@pytest.mark.parametrize("seed", range(3))
def test_moving_finds_places_that_the_start_had_not(seed):
    """Labels whose points lie along directions in which the label itself is small."""
    rng = np.random.default_rng(seed)
    start = np.zeros((30, 60), np.float32)
    start[:, :30] = np.abs(rng.normal(size=(30, 30))) * 0.1
    queries = torch.zeros(30, 60)
    queries[np.arange(30), 30 + rng.permutation(30)] = 1
    targets = sp.identity(30, dtype=np.float32, format="csr")
    right = []
    for rewire in (3, 10**6):
        head = FanInHead(torch.from_numpy(start), fan_in=4, rewire=rewire, temperature=0.2)
        for _ in range(60):
            head.fit_step(queries, targets, None, 0.05)
        right.append((head.scores(queries).argmax(1) == torch.arange(30)).float().mean().item())
    assert right[0] > 0.95 and right[0] > right[1] + 0.2, right
