"""Balanced clusters and the batches made of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ramen.mining.clusters as module
from ramen.mining.clusters import balanced_clusters, cluster_batches


def unit_rows(n, dim, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def halves(vectors, seed):
    """The first level in plain Python: halve along the axis between the two halves' means."""

    def draw(a, b):
        mask = (1 << 64) - 1
        x = ((a * 0x9E3779B97F4A7C15) ^ (b + 0xD1B54A32D192ED03)) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return (x ^ (x >> 31)) >> 2

    rows, half = np.arange(len(vectors)), len(vectors) // 2
    axis = vectors[draw(seed, 2) % len(rows)] - vectors[draw(seed, 3) % len(rows)]
    for _ in range(4):
        rows = rows[np.argsort(-(vectors[rows] @ axis), kind="stable")]
        axis = vectors[rows[:half]].mean(0) - vectors[rows[half:]].mean(0)
    return rows[:half], rows[half:]


@pytest.mark.parametrize("seed", [0, 5])
def test_a_large_matrix_is_halved_first(seed):
    vectors = unit_rows(101, 6)
    clusters = balanced_clusters(vectors, 13, seed, at_once=4)  # eight clusters: one halving, four at once in each half
    left, right = halves(vectors, seed)
    assert set(clusters[left]) == {0, 1, 2, 3} and set(clusters[right]) == {4, 5, 6, 7}


@pytest.mark.parametrize("at_once", [1, 2])
def test_bisected_clusters_are_balanced_and_alike(at_once):
    vectors = unit_rows(101, 6)
    clusters = balanced_clusters(vectors, 13, 3, at_once=at_once)
    assert sorted(np.bincount(clusters)) == [12, 12, 12, 13, 13, 13, 13, 13]

    def alikeness(of):
        return np.mean([np.linalg.norm(vectors[of == cluster].mean(0)) for cluster in range(8)])

    assert alikeness(clusters) > 1.5 * alikeness(np.random.default_rng(0).permutation(clusters))


@settings(max_examples=60)
@given(st.integers(0, 6), st.integers(1, 90), st.integers(1, 20), st.integers(0, 99))
def test_best_columns_equal_a_full_sort(n, wide, m, seed):
    rng, m = np.random.default_rng(seed), min(m, wide)
    block = rng.integers(-2, 3, (n, wide)).astype(np.float32)  # whole numbers: many ties
    prices = rng.integers(-1, 2, wide).astype(np.float32)
    found, scores = np.empty((n, m), np.int64), np.empty((n, m), np.float32)
    module._best(block.copy(), prices, found, scores)
    expected = np.argsort(-(block - prices), axis=1, kind="stable")[:, :m]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(scores, np.take_along_axis(block, expected, 1))


@pytest.mark.parametrize("seed", range(3))
def test_prices_even_out_who_is_asked_for(seed):
    rng = np.random.default_rng(seed)
    scores = rng.random((400, 8), dtype=np.float32)
    scores[:, 0] += np.float32(0.5)  # everyone's favourite
    found = np.tile(np.arange(8), (400, 1))
    prices = np.zeros(8, np.float32)
    clusters = module._settle(found, scores, prices, 50.0)
    assert np.bincount(scores.argmax(1), minlength=8).max() > 150
    assert np.bincount(clusters, minlength=8).max() < 75
    assert prices.argmax() == 0


def test_means_are_unit_sums_or_what_was_before():
    vectors = np.array([[3, 0], [0, 4], [1, 0], [-1, 0]], np.float32)
    before = np.array([[9, 9], [8, 8], [7, 7]], np.float32)
    means = before.copy()
    module._unit_sums(0, 3, vectors, np.array([0, 1, 2, 3]), np.array([0, 2, 2, 4]), means)
    np.testing.assert_allclose(means, [[0.6, 0.8], [8, 8], [7, 7]], rtol=1e-6)  # rows, none, rows that cancel


def test_closer_together_than_by_halving_alone():
    rng = np.random.default_rng(0)
    rows = unit_rows(40, 48)[rng.integers(0, 40, 4000)] + unit_rows(4000, 48, seed=1)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def cosine(clusters):
        return sum(np.linalg.norm(rows[clusters == c].sum(0)) for c in range(clusters.max() + 1)) / len(rows)

    assert cosine(balanced_clusters(rows, 50)) > 1.05 * cosine(balanced_clusters(rows, 50, at_once=1))


@settings(max_examples=60)
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


def test_number_of_threads_changes_nothing(threads):
    rows, found = unit_rows(3000, 16), []
    for count in (1, 2, 5):
        with threads(count):
            found.append(balanced_clusters(rows, 10, 4))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize(("shape", "size"), [((4,), 2), ((4, 2), 0), ((4, 2), -1)])
def test_wrong_calls(shape, size):
    with pytest.raises(ValueError, match="expected a matrix and size >= 1"):
        balanced_clusters(np.zeros(shape, np.float32), size)


@settings(max_examples=60)
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
