"""The links of a run: clean, and walked from what training may see only."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.data.dataset import Graph
from ramen.errors import InputError
from ramen.graph import walks
from ramen.graph.prepare import Links, prepare_links, walked


def graph(points, labels, anchors):
    sides = [None if m is None else sp.csr_matrix(np.array(m, dtype=np.float32)) for m in (points, labels)]
    return Graph("g", anchors, *sides)


def walk(links, seen):
    lines = []
    return walked(links, np.array(seen), "g", 0, lambda **figures: lines.append(figures)), lines


def test_duplicates_weights_and_blank_anchors():
    twice = sp.csr_matrix((np.array([1.0, 1.0, 0.0, 5.0]), np.array([1, 1, 0, 2]), np.array([0, 3, 4])), shape=(2, 3))
    links = prepare_links(Graph("g", ["a", "b", "  "], twice, None))
    assert links.points.toarray().tolist() == [[0, 1, 0], [0, 0, 0]]
    assert links.labels is None and links.edges == 1
    assert twice.nnz == 4  # the data set itself is left alone


def test_a_walk_joins_what_shares_an_anchor():
    links = prepare_links(graph([[1, 0], [0, 0]], [[1, 1]], ["a", "b"]))
    found, lines = walk(links, [0, 1])
    assert found.points.toarray().tolist() == [[1, 1], [0, 0]]  # point - a - label - b
    assert lines == [{"stage": "graph", "graph": "g", "edges": 3, "walked": 4}]


def test_points_that_are_not_seen_lead_nowhere_and_keep_their_rows():
    # only through the second point are label and anchor c joined
    links = prepare_links(graph([[1, 0, 0], [1, 0, 1]], [[1, 1, 0]], ["a", "b", "c"]))
    assert walk(links, [0, 1])[0].labels[0, 2] == 1
    found, _ = walk(links, [0])
    assert found.labels.toarray().tolist() == [[1, 1, 0]]
    assert found.points.toarray().tolist() == [[1, 1, 0], [1, 0, 1]]


def test_only_hubs_leave_no_edge_and_a_note(monkeypatch):
    monkeypatch.setattr("ramen.graph.prepare.MAX_DEGREE", 3)
    links = prepare_links(graph(np.ones((4, 2)), None, ["a", "b"]))
    found, lines = walk(links, [0, 1, 2, 3])
    assert found.edges == 0 and "more than 3 rows" in lines[-1]["note"]


def test_no_edge_at_all():
    links = prepare_links(graph(np.zeros((3, 2)), None, ["a", "b"]))
    assert walk(links, [0])[0].edges == 0
    assert Links(None, None).edges == 0


def test_a_walk_beyond_the_memory_is_refused_before_it_starts(monkeypatch):
    monkeypatch.setattr(walks, "available_memory", lambda: 1000.0)
    links = prepare_links(graph([[1, 0]], [[1, 1]], ["a", "b"]))
    with pytest.raises(InputError, match="graph 'g'.*GiB"):
        walk(links, [0])
