"""The graph regulariser: what it draws, its value by hand, and what its gradient does."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from ramen.encoders.base import Encoder, Tokens
from ramen.graph.bipartite import BipartiteLinks
from ramen.graph.regulariser import GraphRegulariser
from ramen.losses import softmax_both_ways, triplet_both_ways

LINKS = sp.csr_matrix(np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1]], dtype=np.float32))
SOFTMAX = partial(softmax_both_ways, temperature=0.1)


@pytest.fixture(autouse=True)
def in_float32(monkeypatch):
    """Values by hand are exact."""
    monkeypatch.setattr("ramen.encoders.product.computes_bfloat16", lambda device: False)


class Table(Encoder):
    """Text i is row i of a table: an encoder small enough to compute by hand."""

    def __init__(self, rows):
        super().__init__()
        self.table = nn.Parameter(torch.as_tensor(rows, dtype=torch.float32))
        self.calls = []

    def tokenize(self, texts):
        raise NotImplementedError

    def embed(self, tokens, rows):
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


def make(n_anchors, points, labels, loss=SOFTMAX, texts=(None, None)):
    sides = [None if m is None else BipartiteLinks(sp.csr_matrix(m), np.arange(m.shape[0])) for m in (points, labels)]
    return GraphRegulariser(anchors(n_anchors), tuple(sides), texts, loss)


def test_value_by_hand():
    # every row has one link, so nothing is left to the draw; anchors 0 and 1 are on the axes
    encoder = Table([[1.0, 0.0], [0.0, 1.0]])
    points = sp.csr_matrix(np.eye(2, dtype=np.float32))
    labels = sp.csr_matrix(np.array([[0, 1]], dtype=np.float32))
    x, z = unit([[1.0, 0.0], [0.6, 0.8]]), unit([[0.8, 0.6]])
    regulariser = make(2, points, labels, partial(triplet_both_ways, margin=0.3))
    batch = (np.array([0, 1]), x), (np.array([0]), z)
    value, _ = regulariser.of_batch(encoder, (0.5, 2.0), batch, np.random.default_rng(0))
    # points to anchors: [0-1+.3]+ = 0 and [.6-.8+.3] = .1; anchors to points: [.6-1+.3]+ = 0 and [0-.8+.3]+ = 0
    points_side = ((0 + 0.1) / 2 + 0) / 2
    # the label to anchors: [.8-.6+.3] = .5; anchors to the label: no negative
    labels_side = (0.5 + 0) / 2
    assert value.item() == pytest.approx(0.5 * points_side + 2.0 * labels_side, abs=1e-6)
    assert encoder.calls == [[0, 1]]  # unique anchors, encoded once for both sides


def test_rows_of_everything_have_the_value_of_the_same_rows_in_a_batch():
    encoder = Table(torch.randn(9, 4, generator=torch.Generator().manual_seed(1)))
    points, labels = (Tokens.from_lists([[i + first] for i in range(n)]) for first, n in ((4, 4), (8, 1)))
    regulariser = make(4, LINKS, LINKS[3:], texts=(points, labels))
    value, texts = regulariser.of_rows(encoder, (0.1, 0.3), 100, np.random.default_rng(0))
    drawn = [(np.array(rows), encoder(tokens, np.array(rows))) for rows, tokens in (([0, 2, 3], points), ([0], labels))]
    same, n_anchors = regulariser.of_batch(encoder, (0.1, 0.3), drawn, np.random.default_rng(0))
    assert value.item() == same.item() > 0
    assert texts == 4 + n_anchors
    assert encoder.calls[0] == [0, 2, 3]  # the row without an anchor is not encoded


def test_no_more_rows_than_asked_for():
    encoder = Table(torch.eye(8))
    texts = Tokens.from_lists([[i % 8] for i in range(500)])
    links = sp.csr_matrix((np.ones(500, np.float32), np.arange(500) % 8, np.arange(501)), shape=(500, 8))
    make(8, links, None, texts=(texts, None)).of_rows(encoder, (1.0, 1.0), 20, np.random.default_rng(0))
    assert 10 < len(encoder.calls[0]) <= 20


def test_rows_without_an_anchor_drop_out():
    encoder = Table(torch.eye(4))
    vectors = unit(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))
    regulariser = make(4, LINKS, None)
    whole, part = (
        regulariser.of_batch(encoder, (1.0, 1.0), ((np.array(rows), vectors[rows]), None), np.random.default_rng(0))
        for rows in ([0, 1, 2], [0, 2])
    )
    assert whole[0].item() == pytest.approx(part[0].item()) and whole[0].item() > 0
    assert whole[1] == part[1] > 1


@pytest.mark.parametrize(
    "rows", [np.array([1, 1]), np.array([2, 2]), np.array([2, 1])], ids=["no anchor", "same anchor", "one anchor"]
)
def test_fewer_than_two_anchors_are_zero(rows):
    vectors = torch.randn(2, 4, requires_grad=True)
    value, _ = make(4, LINKS, None).of_batch(
        Table(torch.eye(4)), (1.0, 1.0), ((rows, vectors), (rows, vectors)), np.random.default_rng(0)
    )
    assert value.item() == 0.0 and not value.requires_grad


def test_a_missing_side_and_a_side_of_weight_zero_are_left_out():
    rows = np.array([0, 2, 3])
    vectors = unit(torch.randn(3, 4, generator=torch.Generator().manual_seed(2)))
    values = [
        make(4, points, labels).of_batch(
            Table(torch.eye(4)), weights, ((rows, vectors), (rows, vectors)), np.random.default_rng(0)
        )[0].item()
        for points, labels, weights in [
            (LINKS, None, (1.0, 1.0)),
            (None, LINKS, (1.0, 1.0)),
            (LINKS, LINKS, (1.0, 0.0)),
            (None, None, (1.0, 1.0)),
            (LINKS, LINKS, (0.0, 0.0)),
        ]
    ]  # fmt: skip
    assert values[0] == values[1] == values[2] > 0
    assert values[3:] == [0.0, 0.0]


@pytest.mark.parametrize("loss", [SOFTMAX, partial(triplet_both_ways, margin=0.3)], ids=["softmax", "triplet"])
def test_steps_bring_linked_nodes_and_anchors_together(loss):
    torch.manual_seed(0)
    encoder = Table(torch.randn(5, 8))
    nodes = nn.Parameter(torch.randn(5, 8))
    links = sp.csr_matrix(np.eye(5, dtype=np.float32))
    regulariser = make(5, links, links, loss)
    optimiser = torch.optim.Adam([encoder.table, nodes], lr=0.05)
    rows, rng = np.arange(5), np.random.default_rng(0)

    def cosines():
        return (unit(nodes.detach()) @ unit(encoder.table.detach()).T).numpy()

    before = cosines()
    for _ in range(30):
        drawn = (rows, nn.functional.normalize(nodes, dim=1))
        optimiser.zero_grad()
        regulariser.of_batch(encoder, (1.0, 1.0), (drawn, drawn), rng)[0].backward()
        optimiser.step()
    after = cosines()
    assert (np.diag(after) > np.diag(before)).all()
    assert (after.argmax(1) == rows).all() and np.diag(after).mean() > 0.5
