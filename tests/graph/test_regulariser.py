"""The graph regulariser: what it draws, its value by hand, and what its gradient does."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from ramen.encoders.base import Encoder, Tokens
from ramen.graph.regulariser import GraphRegulariser, block, both_ways, sample_column
from ramen.losses import masked_softmax, masked_triplet

LINKS = sp.csr_matrix(np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1]], dtype=np.float32))
SOFTMAX = partial(masked_softmax, temperature=0.1)


class Table(Encoder):
    """Text i is row i of a table: an encoder small enough to compute by hand."""

    def __init__(self, rows):
        super().__init__()
        self.table = nn.Parameter(torch.as_tensor(rows, dtype=torch.float32))
        self.calls = []

    def tokenize(self, texts):
        raise NotImplementedError

    def forward(self, tokens, rows):
        self.calls.append(rows.tolist())
        return nn.functional.normalize(self.table[torch.from_numpy(tokens.take(rows)[0])], dim=1)

    def parameter_groups(self, lr):
        return [{"params": [self.table], "lr": lr}]

    def export(self, folder):
        raise NotImplementedError


def anchors(n):
    return Tokens.from_lists([[i] for i in range(n)])


def unit(rows):
    return nn.functional.normalize(torch.as_tensor(rows, dtype=torch.float32), dim=1)


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


def test_both_ways_is_symmetric():
    queries, keys = unit(torch.randn(3, 5)), unit(torch.randn(4, 5))
    targets = torch.eye(3, 4) > 0
    forth = both_ways(SOFTMAX, queries, keys, targets, targets)
    back = both_ways(SOFTMAX, keys, queries, targets.T, targets.T)
    assert forth.item() == pytest.approx(back.item())


def test_value_by_hand():
    # every row has one link, so nothing is left to the draw; anchors 0 and 1 are on the axes
    encoder = Table([[1.0, 0.0], [0.0, 1.0]])
    points = sp.csr_matrix(np.eye(2, dtype=np.float32))
    labels = sp.csr_matrix(np.array([[0, 1]], dtype=np.float32))
    x, z = unit([[1.0, 0.0], [0.6, 0.8]]), unit([[0.8, 0.6]])
    regulariser = GraphRegulariser(anchors(2), points, labels, 0.5, 2.0, partial(masked_triplet, margin=0.3))
    value, _ = regulariser(encoder, (np.array([0, 1]), np.array([0])), (x, z), np.random.default_rng(0))
    # points to anchors: [0-1+.3]+ = 0 and [.6-.8+.3] = .1; anchors to points: [.6-1+.3]+ = 0 and [0-.8+.3]+ = 0
    points_side = ((0 + 0.1) / 2 + 0) / 2
    # the label to anchors: [.8-.6+.3] = .5; anchors to the label: no negative
    labels_side = (0.5 + 0) / 2
    assert value.item() == pytest.approx(0.5 * points_side + 2.0 * labels_side, abs=1e-6)
    assert encoder.calls == [[0, 1]]  # unique anchors, encoded once for both sides


def test_rows_without_an_anchor_drop_out():
    encoder = Table(torch.eye(4))
    vectors = unit(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))
    empty = torch.empty(0, 4)
    make = partial(GraphRegulariser, anchors(4), LINKS, None, 1.0, 1.0, SOFTMAX)
    none = np.empty(0, np.int64)
    whole, whole_anchors = make()(encoder, (np.array([0, 1, 2]), none), (vectors[:3], empty), np.random.default_rng(0))
    part, part_anchors = make()(encoder, (np.array([0, 2]), none), (vectors[[0, 2]], empty), np.random.default_rng(0))
    assert whole.item() == pytest.approx(part.item()) and whole.item() > 0
    assert whole_anchors == part_anchors > 1


@pytest.mark.parametrize(
    "rows", [np.array([1, 1]), np.array([2, 2]), np.array([2, 1])], ids=["no anchor", "same anchor", "one anchor"]
)
def test_fewer_than_two_anchors_are_zero(rows):
    vectors = torch.randn(2, 4, requires_grad=True)
    regulariser = GraphRegulariser(anchors(4), LINKS, None, 1.0, 1.0, SOFTMAX)
    value, _ = regulariser(Table(torch.eye(4)), (rows, rows), (vectors, vectors), np.random.default_rng(0))
    value.backward()
    assert value.item() == 0.0 and (vectors.grad == 0).all()


def test_a_missing_side_and_a_side_of_weight_zero_are_left_out():
    rows = np.array([0, 2, 3])
    vectors = unit(torch.randn(3, 4, generator=torch.Generator().manual_seed(2)))
    values = [
        GraphRegulariser(anchors(4), points, labels, *weights, SOFTMAX)(
            Table(torch.eye(4)), (rows, rows), (vectors, vectors), np.random.default_rng(0)
        )[0].item()
        for points, labels, weights in [
            (LINKS, None, (1.0, 1.0)),
            (None, LINKS, (1.0, 1.0)),
            (LINKS, LINKS, (1.0, 0.0)),
            (None, None, (1.0, 1.0)),
            (LINKS, LINKS, (0.0, 0.0)),
        ]
    ]
    assert values[0] == values[1] == values[2] > 0
    assert values[3:] == [0.0, 0.0]


@pytest.mark.parametrize("loss", [SOFTMAX, partial(masked_triplet, margin=0.3)], ids=["softmax", "triplet"])
def test_steps_bring_linked_nodes_and_anchors_together(loss):
    torch.manual_seed(0)
    encoder = Table(torch.randn(5, 8))
    nodes = nn.Parameter(torch.randn(5, 8))
    links = sp.csr_matrix(np.eye(5, dtype=np.float32))
    regulariser = GraphRegulariser(anchors(5), links, links, 1.0, 1.0, loss)
    optimiser = torch.optim.Adam([encoder.table, nodes], lr=0.05)
    rows, rng = np.arange(5), np.random.default_rng(0)

    def cosines():
        return (unit(nodes.detach()) @ unit(encoder.table.detach()).T).numpy()

    before = cosines()
    for _ in range(30):
        vectors = nn.functional.normalize(nodes, dim=1)
        optimiser.zero_grad()
        regulariser(encoder, (rows, rows), (vectors, vectors), rng)[0].backward()
        optimiser.step()
    after = cosines()
    assert (np.diag(after) > np.diag(before)).all()
    assert (after.argmax(1) == rows).all() and np.diag(after).mean() > 0.5
