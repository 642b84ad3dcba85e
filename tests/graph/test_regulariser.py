"""The graph regulariser: what it draws, its value by hand, and what its gradient does."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from ramen.graph.bipartite import BipartiteLinks
from ramen.graph.regulariser import GraphRegulariser
from ramen.losses import softmax_both_ways, triplet_both_ways

LINKS = sp.csr_matrix(np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1]], dtype=np.float32))
SOFTMAX = partial(softmax_both_ways, temperature=0.1)


@pytest.fixture(autouse=True)
def in_float32(monkeypatch):
    """Values by hand are exact."""
    monkeypatch.setattr("ramen.encoders.product.computes_bfloat16", lambda device: False)


def unit(rows):
    return nn.functional.normalize(torch.as_tensor(rows, dtype=torch.float32), dim=1)


def make(points, labels, loss=SOFTMAX):
    sides = [None if m is None else BipartiteLinks(sp.csr_matrix(m), np.arange(m.shape[0])) for m in (points, labels)]
    return GraphRegulariser("links", tuple(sides), loss)


def value_of(regulariser, weights, rows, vectors, anchors, seed=0):
    """The value of some rows, given the vectors of all points, labels and anchors, and how many anchors were drawn."""
    draw = regulariser.draw(weights, rows, np.random.default_rng(seed))
    if draw is None:
        return torch.zeros(()), 0
    of_sides = [None if s is None else v[torch.from_numpy(s.rows)] for s, v in zip(draw.sides, vectors, strict=True)]
    return regulariser.value(draw, weights, of_sides, anchors[torch.from_numpy(draw.anchors)]), len(draw.anchors)


def test_value_by_hand():
    # every row has one link, so nothing is left to the draw; anchors 0 and 1 are on the axes
    points = sp.csr_matrix(np.eye(2, dtype=np.float32))
    labels = sp.csr_matrix(np.array([[0, 1]], dtype=np.float32))
    x, z = unit([[1.0, 0.0], [0.6, 0.8]]), unit([[0.8, 0.6]])
    regulariser = make(points, labels, partial(triplet_both_ways, margin=0.3))
    rows = np.array([0, 1]), np.array([0])
    value, n_anchors = value_of(regulariser, (0.5, 2.0), rows, (x, z), torch.eye(2))
    # points to anchors: [0-1+.3]+ = 0 and [.6-.8+.3] = .1; anchors to points: [.6-1+.3]+ = 0 and [0-.8+.3]+ = 0
    points_side = ((0 + 0.1) / 2 + 0) / 2
    # the label to anchors: [.8-.6+.3] = .5; anchors to the label: no negative
    labels_side = (0.5 + 0) / 2
    assert value.item() == pytest.approx(0.5 * points_side + 2.0 * labels_side, abs=1e-6)
    assert n_anchors == 2  # the anchors of both sides, each once


def test_rows_sampled_from_everything_have_an_anchor():
    points, labels = make(LINKS, LINKS[3:]).rows((0.1, 0.3), 100, np.random.default_rng(0))
    assert points.tolist() == [0, 2, 3] and labels.tolist() == [0]
    points, labels = make(LINKS, None).rows((0.0, 0.3), 100, np.random.default_rng(0))
    assert points is None and labels is None


def test_no_more_rows_than_asked_for():
    links = sp.csr_matrix((np.ones(500, np.float32), np.arange(500) % 8, np.arange(501)), shape=(500, 8))
    rows = make(links, None).rows((1.0, 1.0), 20, np.random.default_rng(0))[0]
    assert 10 < len(rows) <= 20


def test_rows_without_an_anchor_drop_out():
    vectors = unit(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))
    whole, part = (
        value_of(make(LINKS, None), (1.0, 1.0), (np.array(rows), None), (vectors, None), torch.eye(4))
        for rows in ([0, 1, 2], [0, 2])
    )
    assert whole[0].item() == part[0].item() > 0
    assert whole[1] == part[1] > 1


@pytest.mark.parametrize(
    "rows", [np.array([1, 1]), np.array([2, 2]), np.array([2, 1])], ids=["no anchor", "same anchor", "one anchor"]
)
def test_fewer_than_two_anchors_are_not_compared(rows):
    assert make(LINKS, None).draw((1.0, 1.0), (rows, rows), np.random.default_rng(0)) is None


def test_a_missing_side_and_a_side_of_weight_zero_are_left_out():
    rows = np.array([0, 2, 3])
    vectors = unit(torch.randn(4, 4, generator=torch.Generator().manual_seed(2)))
    values = [
        value_of(make(points, labels), weights, (rows, rows), (vectors, vectors), torch.eye(4))[0].item()
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
    table, nodes = nn.Parameter(torch.randn(5, 8)), nn.Parameter(torch.randn(5, 8))
    links = sp.csr_matrix(np.eye(5, dtype=np.float32))
    regulariser = make(links, links, loss)
    optimiser = torch.optim.Adam([table, nodes], lr=0.05)
    rows = np.arange(5)

    def cosines():
        return (unit(nodes.detach()) @ unit(table.detach()).T).numpy()

    before = cosines()
    for seed in range(30):
        drawn = nn.functional.normalize(nodes, dim=1)
        optimiser.zero_grad()
        anchors = nn.functional.normalize(table, dim=1)
        value_of(regulariser, (1.0, 1.0), (rows, rows), (drawn, drawn), anchors, seed)[0].backward()
        optimiser.step()
    after = cosines()
    assert (np.diag(after) > np.diag(before)).all()
    assert (after.argmax(1) == rows).all() and np.diag(after).mean() > 0.5
