"""Random walks with restart: the kernel against the plain walk, and what the walks find."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from ramen.errors import InputError
from ramen.graph import walks
from ramen.graph.walks import densify


def matrix(pairs, shape):
    """CSR with duplicates left in, rows unsorted."""
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    order = np.argsort(rows, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))])
    return sp.csr_matrix((np.ones(len(rows), np.float32), columns[order], indptr), shape=shape)


def edges_of(points, labels):
    found, above = set(), 0
    for side in filter(lambda side: side is not None, (points, labels)):
        rows, columns = side.nonzero()
        found |= set(zip((rows + above).tolist(), columns.tolist(), strict=True))
        above += side.shape[0]
    return found


def walked_plainly(
    points: sp.csr_matrix | None, labels: sp.csr_matrix | None, *, hops: int = 400, restart: float = 0.8,
    max_degree: int = 500, keep: int = 10, seed: int = 0,
) -> set[tuple[int, int]]:  # fmt: skip
    """The edges (row of points stacked on labels, anchor) of :func:`densify`, walked hop by hop."""
    sides = [side for side in (points, labels) if side is not None]
    stacked = np.vstack([side.toarray() for side in sides]) != 0
    stacked[:, stacked.sum(0) > max_degree] = False
    neighbours = [[np.flatnonzero(row).tolist() for row in way] for way in (stacked, stacked.T)]

    def mix(x: int) -> int:
        x %= 2**64
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
        return x ^ (x >> 31)

    edges = set()
    for side, first in ((0, 0), (1, len(stacked))):
        for start, own in enumerate(neighbours[side]):
            visits: dict[int, int] = {}
            stream = mix(seed * 0x9E3779B97F4A7C15 + first + start)
            at, here = side, start
            for hop in range(hops if own else 0):
                number = mix(stream + hop * 0x9E3779B97F4A7C15)
                choices = neighbours[at][here]
                here = choices[(number >> 32) * len(choices) >> 32]
                at = 1 - at
                if at != side:
                    visits[here] = visits.get(here, 0) + 1
                    if number % 2**32 < round(restart * 2**32):
                        at, here = side, start
            for best in sorted(visits, key=lambda node: (-visits[node], node))[:keep]:
                edges.add((best, start) if side else (start, best))
    return edges


def random_graph(rows, anchors, edges, seed=0):
    rng = np.random.default_rng(seed)
    return matrix(np.stack([rng.integers(0, rows, edges), rng.integers(0, anchors, edges)], 1), (rows, anchors))


@st.composite
def graphs(draw):
    anchors = draw(st.integers(0, 8))
    sides = []
    for _ in range(2):
        rows = draw(st.integers(0, 8))
        pair = st.tuples(st.integers(0, max(rows - 1, 0)), st.integers(0, max(anchors - 1, 0)))
        pairs = draw(st.lists(pair, max_size=30)) if rows and anchors else []
        sides.append(matrix(pairs, (rows, anchors)))
    absent = draw(st.sampled_from([None, 0, 1]))
    return tuple(None if side == absent else m for side, m in enumerate(sides))


@settings(max_examples=200)
@given(
    graph=graphs(),
    hops=st.sampled_from([1, 2, 3, 7, 64, 150]),
    restart=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    max_degree=st.integers(1, 12),
    keep=st.integers(1, 9),
    seed=st.integers(0, 2**40),
)
def test_equals_the_plain_walk(graph, hops, restart, max_degree, keep, seed):
    asked = {"hops": hops, "restart": restart, "max_degree": max_degree, "keep": keep, "seed": seed}
    before = [None if m is None else (m.data.copy(), m.indices.copy(), m.indptr.copy()) for m in graph]
    found = densify(*graph, **asked)
    assert edges_of(*found) == walked_plainly(*graph, **asked)
    for given_side, side, arrays in zip(graph, found, before, strict=True):
        assert (given_side is None) == (side is None)
        if side is not None:
            assert isinstance(side, sp.csr_matrix) and side.shape == given_side.shape
            assert side.dtype == np.float32 and (side.data == 1).all()
            assert side.has_canonical_format and side.has_sorted_indices
            for array, kept in zip((given_side.data, given_side.indices, given_side.indptr), arrays, strict=True):
                np.testing.assert_array_equal(array, kept)  # the input is left alone


def test_equals_the_plain_walk_at_default_settings():
    points, labels = random_graph(300, 80, 900, 1), random_graph(150, 80, 300, 2)
    assert edges_of(*densify(points, labels, seed=3)) == walked_plainly(points, labels, seed=3)


def test_no_side_at_all():
    assert densify(None, None) == (None, None)


def test_restart_at_once_finds_direct_neighbours_only():
    points = random_graph(60, 40, 150)
    found, _ = densify(points, None, restart=1.0)
    assert edges_of(found, None) <= edges_of(points, None)
    full, _ = densify(points, None, restart=1.0, keep=40)
    assert edges_of(full, None) == edges_of(points, None)  # 400 draws of at most ten reach all


def test_one_hop_finds_one_neighbour():
    points = random_graph(60, 40, 150)
    found, _ = densify(points, None, hops=1)
    # one from each row and one from each anchor
    assert found.nnz <= 100 and edges_of(found, None) <= edges_of(points, None)


def test_neighbours_of_neighbours_appear_and_sides_are_joined():
    points = matrix([(0, 0), (1, 0), (1, 1)], (2, 4))
    labels = matrix([(0, 1), (0, 2), (1, 3)], (2, 4))
    found, of_labels = densify(points, labels, restart=0.5)
    assert found.toarray().tolist() == [[1, 1, 1, 0], [1, 1, 1, 0]]
    assert of_labels.toarray().tolist() == [[1, 1, 1, 0], [0, 0, 0, 1]]


def test_visits_are_what_the_chain_expects():
    # Row 0 has anchor 0, row 1 has anchors 0 and 1. A stretch from row 0 goes on from anchor 0 with probability 0.2, to
    # row 1 with 1/2, to anchor 1 with 1/2: of hops=3, anchor 1 is visited only if the first two decide so.
    # Many copies side by side, told apart by their random numbers alone.
    copies = sp.kron(sp.eye(20000), np.array([[1, 0], [1, 1]]), format="csr")
    near, far = walks._both_directions(walks._linked([copies], 500))
    best = walks._most_visited(near, far, 40000, 0, 0, 3, round(0.8 * 2**32), 2)[::2]
    assert (best % 2 == 0).any(1).all()
    assert ((best >= 0) & (best % 2 == 1)).any(1).mean() == pytest.approx(0.05, abs=0.007)  # 4.5 standard deviations
    # From row 1 with restart at once, the more frequent of three fair choices is either anchor.
    best = walks._most_visited(near, far, 40000, 0, 0, 3, 2**32, 1)[1::2, 0]
    assert (best % 2).mean() == pytest.approx(0.5, abs=0.016)


def test_more_visited_is_kept_over_less_visited():
    # anchors 0 to 3 are own; anchor 4 is a row's away through one of them, so it is visited far less
    points = matrix([(0, 0), (0, 1), (0, 2), (0, 3), (1, 3), (1, 4)], (2, 5))
    near, far = walks._both_directions(walks._linked([points], 500))
    best = walks._most_visited(near, far, 1, 0, 0, 400, round(0.8 * 2**32), 4)
    assert sorted(best[0].tolist()) == [0, 1, 2, 3]


def test_hubs_are_gone_and_count_both_sides():
    points = matrix([(0, 0), (1, 0), (0, 1), (0, 1), (0, 1)], (2, 2))  # a duplicate edge counts once
    labels = matrix([(0, 0), (0, 1)], (1, 2))
    found, of_labels = densify(points, labels, max_degree=2)
    assert found.toarray().tolist() == [[0, 1], [0, 0]] and of_labels.toarray().tolist() == [[0, 1]]
    found, of_labels = densify(points, labels, max_degree=1)
    assert found.nnz == of_labels.nnz == 0 and found.shape == (2, 2)


def test_stored_zeros_are_no_edges():
    points = matrix([(0, 0), (1, 1)], (2, 2))
    points.data[1] = 0
    assert densify(points, None)[0].toarray().tolist() == [[1, 0], [0, 0]]


def test_seed_decides():
    points = random_graph(200, 100, 4000)
    one, same, other = (densify(points, None, seed=seed)[0] for seed in (1, 1, 2))
    assert (one != same).nnz == 0 and (one != other).nnz > 0


def test_number_of_threads_changes_nothing(threads):
    points = random_graph(2000, 500, 20_000)
    with threads(1):
        one = densify(points, None)[0]
    with threads(5):
        many = densify(points, None)[0]
    assert one.nnz > 10_000 and (one != many).nnz == 0


def test_too_little_memory_is_refused_before_the_walks(monkeypatch):
    points = random_graph(2000, 1000, 3000)
    monkeypatch.setattr(walks, "available_memory", lambda: 10_000)
    with pytest.raises(InputError, match=r"^[^\n]*'titles' need \d+\.\d GiB.*\d+\.\d GiB are available: set graph"):
        densify(points, None, kind="titles")
    with pytest.raises(InputError, match="graph.walks=off$"):
        densify(points, None, hops=10**9, keep=1)


@pytest.mark.parametrize(
    "wrong", [{"hops": 0}, {"keep": 0}, {"max_degree": 0}, {"restart": -0.1}, {"restart": 1.1}, {"restart": np.nan}]
)
def test_wrong_settings(wrong):
    with pytest.raises(ValueError, match="expected hops, max_degree and keep"):
        densify(random_graph(3, 3, 3), None, **wrong)


def test_sides_of_different_anchors():
    with pytest.raises(ValueError, match="3 and 4 anchors"):
        densify(random_graph(3, 3, 3), random_graph(3, 4, 3))
