"""Balanced clusters and the batches made of them."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramen.mining.clusters import balanced_clusters, cluster_batches


def unit_rows(n, dim, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def reference(vectors, size, seed):
    """The same algorithm in plain Python: halve at each level along the axis between the two halves' means."""

    def draw(a, b):
        mask = (1 << 64) - 1
        x = ((a * 0x9E3779B97F4A7C15) ^ (b + 0xD1B54A32D192ED03)) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return (x ^ (x >> 31)) >> 2

    groups, level = [np.arange(len(vectors))], 0
    while max(map(len, groups)) > size:
        halves = []
        for node, rows in enumerate(groups):
            half = len(rows) // 2
            if len(rows) > 1:
                key = (1 << level) + node
                axis = (
                    vectors[rows[draw(seed, 2 * key) % len(rows)]] - vectors[rows[draw(seed, 2 * key + 1) % len(rows)]]
                )
                for _ in range(4):
                    rows = rows[np.argsort(-(vectors[rows] @ axis), kind="stable")]
                    axis = vectors[rows[:half]].mean(0) - vectors[rows[half:]].mean(0)
            halves += [rows[:half], rows[half:]]
        groups, level = halves, level + 1
    clusters = np.empty(len(vectors), dtype=np.int64)
    for number, rows in enumerate(groups):
        clusters[rows] = number
    return clusters


@pytest.mark.parametrize(("n", "size"), [(100, 8), (37, 5), (2, 1), (64, 64)])
@pytest.mark.parametrize("seed", [0, 5])
def test_equals_the_plain_reference(n, size, seed):
    vectors = unit_rows(n, 6, seed=n)
    np.testing.assert_array_equal(balanced_clusters(vectors, size, seed), reference(vectors, size, seed))


@settings(deadline=None, max_examples=60)
@given(n=st.integers(0, 300), size=st.integers(1, 40), dim=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_every_row_once_in_clusters_of_even_size(n, size, dim, seed):
    clusters = balanced_clusters(unit_rows(n, dim, seed), size, seed)
    assert clusters.shape == (n,) and clusters.dtype == np.int64
    sizes = np.bincount(clusters)
    if n:
        assert sizes.min() >= 1  # numbered without a gap
        assert sizes.max() <= size
        assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((50, 4), np.float32),
        np.ones((50, 4), np.float32) / 2,
        np.vstack([unit_rows(25, 4), np.zeros((25, 4), np.float32)]),
    ],
    ids=["zero rows", "identical rows", "half zero"],
)
def test_rows_without_a_direction_still_split_evenly(vectors):
    sizes = np.bincount(balanced_clusters(vectors, 8))
    assert sizes.sum() == 50
    assert sizes.max() <= 8 and sizes.max() - sizes.min() <= 1


def test_smallest_inputs():
    assert balanced_clusters(np.empty((0, 3), np.float32), 4).tolist() == []
    assert balanced_clusters(unit_rows(1, 3), 1).tolist() == [0]
    assert sorted(balanced_clusters(unit_rows(9, 3), 1).tolist()) == list(range(9))
    assert balanced_clusters(unit_rows(9, 3), 9).tolist() == [0] * 9


def test_planted_groups_are_found():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(16), 8)
    rows = unit_rows(16, 32)[groups] + 0.02 * rng.normal(size=(128, 32)).astype(np.float32)
    order = rng.permutation(128)
    clusters = balanced_clusters(rows[order].astype(np.float32), 8)
    together = [len(set(groups[order][clusters == c])) for c in range(16)]
    # 2-means may cut a group or two that lie across its axis; most must come out whole
    assert np.mean(np.array(together) == 1) >= 0.75


def test_seed_decides_and_nothing_else():
    vectors = unit_rows(200, 8)
    np.testing.assert_array_equal(balanced_clusters(vectors, 7, 1), balanced_clusters(vectors.copy(), 7, 1))
    assert (balanced_clusters(vectors, 7, 1) != balanced_clusters(vectors, 7, 2)).any()


def test_input_is_left_alone_and_may_be_of_any_layout():
    vectors = unit_rows(60, 4)
    before = vectors.copy()
    clusters = balanced_clusters(vectors, 5)
    np.testing.assert_array_equal(vectors, before)
    np.testing.assert_array_equal(balanced_clusters(np.asfortranarray(vectors), 5), clusters)


def test_same_clusters_on_one_and_two_threads():
    code = (
        "import numpy as np, numba; from ramen.mining.clusters import balanced_clusters\n"
        "rows = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)\n"
        "for threads in (1, 2):\n"
        "    numba.set_num_threads(threads)\n"
        "    print(balanced_clusters(rows, 10, 4).tolist())\n"
    )
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    one, two = done.stdout.splitlines()
    assert one == two and len(one) > 3000


@pytest.mark.parametrize(("shape", "size"), [((4,), 2), ((4, 2), 0), ((4, 2), -1)])
def test_wrong_calls(shape, size):
    with pytest.raises(ValueError, match="expected a matrix and size >= 1"):
        balanced_clusters(np.zeros(shape, np.float32), size)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(0, 200), size=st.integers(1, 20), batch_size=st.integers(1, 70), seed=st.integers(0, 100))
def test_batches_hold_every_row_once(n, size, batch_size, seed):
    clusters = balanced_clusters(unit_rows(n, 3, seed), size, seed)
    batches = cluster_batches(clusters, batch_size, np.random.default_rng(seed))
    assert sorted(np.concatenate([np.empty(0, int), *batches]).tolist()) == list(range(n))
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_batches_are_made_of_whole_clusters():
    clusters = np.repeat(np.arange(20), 5)
    batches = cluster_batches(clusters, 10, np.random.default_rng(0))
    assert [len(set(clusters[batch])) for batch in batches] == [2] * 10
    other = cluster_batches(clusters, 10, np.random.default_rng(1))
    assert {frozenset(clusters[b]) for b in batches} != {frozenset(clusters[b]) for b in other}
