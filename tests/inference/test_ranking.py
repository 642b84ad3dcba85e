"""Ranking by head, encoder and neighbours against brute force."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.inference.ranking import Fusion, Neighbours, Ranker, blocks, top

LABELS, POINTS, DIM = 30, 40, 8


def unit(rng, n):
    rows = rng.normal(size=(n, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    targets = sp.random(POINTS, LABELS, density=0.1, format="csr", dtype=np.float32, rng=rng)
    targets.data[:] = 1
    return unit(rng, 12), unit(rng, LABELS), unit(rng, LABELS), unit(rng, POINTS), targets


def brute_force(parts, fusion, k):
    queries, head, labels, points, targets = (np.asarray(p.todense()) if sp.issparse(p) else p for p in parts)
    scores = np.zeros((len(queries), LABELS))
    for i, query in enumerate(queries):
        cosines = points @ query
        nearest = np.argsort(-cosines)[:k]
        shares = np.exp(cosines[nearest] / fusion.temperature)
        votes = (shares / shares.sum()) @ targets[nearest]
        scores[i] = fusion.head * head @ query + fusion.encoder * labels @ query + fusion.neighbours * votes
    return scores


@pytest.mark.parametrize(
    "fusion",
    [Fusion(0.5, 0.5, 1.0, 0.1), Fusion(1.0, 0.0, 0.0, 0.1), Fusion(0.0, 1.0, 0.0, 0.1), Fusion(0.0, 0.0, 2.0, 0.05)],
)
@pytest.mark.parametrize("k_neighbours", [1, 7, POINTS, 1000])
def test_rank_equals_brute_force(parts, fusion, k_neighbours):
    queries, head, labels, points, targets = parts
    ranker = Ranker(head, labels, Neighbours(points, targets, k_neighbours), fusion)
    expected = brute_force(parts, fusion, k_neighbours)
    indices, scores = ranker.rank(queries, 6)
    assert indices.dtype == np.int64 and scores.dtype == np.float32 and indices.shape == (12, 6)
    np.testing.assert_allclose(scores, np.take_along_axis(expected, indices, axis=1), atol=1e-5)
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :6], atol=1e-5)
    assert all(len(set(row)) == 6 for row in indices.tolist())


def test_small_blocks_give_the_same(parts, monkeypatch):
    queries, head, labels, points, targets = parts
    ranker = Ranker(head, labels, Neighbours(points, targets, 5), Fusion(0.5, 0.5, 1.0, 0.1))
    filtered = sp.csr_matrix(np.eye(12, LABELS, dtype=np.float32))
    whole = ranker.rank(queries, 6, filtered)
    monkeypatch.setattr("ramen.inference.ranking._BLOCK_ENTRIES", 1)
    for found, expected in zip(ranker.rank(queries, 6, filtered), whole, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_filtered_labels_go_last(parts):
    queries, head, labels, points, targets = parts
    ranker = Ranker(head, labels, Neighbours(points, targets, 5), Fusion(0.5, 0.5, 1.0, 0.1))
    plain, _ = ranker.rank(queries, LABELS)
    banned = plain[:, 0]
    filtered = sp.csr_matrix((np.ones(12, np.float32), (np.arange(12), banned)), shape=(12, LABELS))
    indices, scores = ranker.rank(queries, LABELS, filtered)
    assert (indices[:, -1] == banned).all()
    assert np.isneginf(scores[:, -1]).all() and np.isfinite(scores[:, :-1]).all()
    np.testing.assert_array_equal(indices[:, :-1], plain[:, 1:])


def test_more_labels_wanted_than_there_are(parts):
    queries, head, labels, points, targets = parts
    ranker = Ranker(head, labels, Neighbours(points, targets, 5), Fusion(1.0, 0.0, 0.0, 0.1))
    indices, scores = ranker.rank(queries, 1000)
    assert indices.shape == scores.shape == (12, LABELS)
    assert (np.sort(indices, axis=1) == np.arange(LABELS)).all()


def test_no_queries(parts):
    _, head, labels, points, targets = parts
    ranker = Ranker(head, labels, Neighbours(points, targets, 5), Fusion(0.5, 0.5, 1.0, 0.1))
    indices, scores = ranker.rank(np.empty((0, DIM), np.float32), 3)
    assert indices.shape == scores.shape == (0, 3)


@pytest.mark.parametrize("k", [1, 3, 10, 999, 1000])
def test_of_equal_scores_the_smaller_label_comes_first(k):
    scores = np.zeros((3, 1000), np.float32)
    scores[1, 500] = 1
    scores[2, ::2] = 1
    columns, values = top(scores, k)
    for row in range(3):
        expected = np.argsort(-scores[row], kind="stable")[:k]
        assert columns[row].tolist() == expected.tolist()
        assert values[row].tolist() == scores[row, expected].tolist()


def test_votes_are_shares_of_the_neighbours(parts):
    queries, _, _, points, targets = parts
    neighbours = Neighbours(points, targets, 4)
    cosines, rows = neighbours.nearest(queries)
    assert (np.diff(cosines, axis=1) <= 0).all()
    np.testing.assert_allclose(cosines, -np.sort(-(queries @ points.T), axis=1)[:, :4], atol=1e-6)
    everyone = Neighbours(points, sp.csr_matrix(np.ones((POINTS, 1), np.float32)), 4)
    np.testing.assert_allclose(everyone.votes(cosines, rows, 0.1).toarray(), 1.0, rtol=1e-5)


def test_blocks_cover_every_row_once():
    for rows, columns in [(0, 5), (10, 1 << 23), (10, 1 << 30), (100_000, 300), (3, 0)]:
        covered = [i for part in blocks(rows, columns) for i in range(part.start, part.stop)]
        assert covered == list(range(rows))
