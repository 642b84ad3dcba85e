"""The validation split: groups stay together, mirrors go, nothing overlaps."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.data import Dataset
from ramen.data.dataset import Texts
from ramen.errors import InputError
from ramen.mining.duplicates import near_duplicates, stands_apart
from ramen.training.split import cut, everything, held_out_rows, unseen_share


def texts(uids):
    return Texts(list(uids), list(uids), [""] * len(uids))


def dataset(targets, points=None, labels=None):
    targets = sp.csr_matrix(targets, dtype=np.float32)
    points = points or [f"p{i}" for i in range(targets.shape[0])]
    labels = labels or [f"l{i}" for i in range(targets.shape[1])]
    empty = sp.csr_matrix((0, targets.shape[1]), dtype=np.float32)
    return Dataset(Path("d"), texts(points), texts([]), texts(labels), targets, empty)


def vectors_of(groups, seed=0):
    """Unit vectors: rows of one group nearly alike, rows of two groups far apart."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(groups) + 1, 64))
    rows = centres[groups] / np.linalg.norm(centres[groups], axis=1, keepdims=True)
    rows += 0.01 * rng.normal(size=rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def many():
    """400 points, in twos and threes of near duplicates; every label has some ten points."""
    rng = np.random.default_rng(1)
    groups = np.sort(np.concatenate([np.arange(160), np.arange(160), np.arange(80)]))
    return dataset(np.eye(40)[rng.integers(0, 40, 400)]), groups, vectors_of(groups)


def test_near_duplicates_are_found_and_others_left_apart():
    groups = np.repeat(np.arange(10), 3)
    found = near_duplicates(vectors_of(groups), seed=0)
    assert len(set(zip(found, groups, strict=True))) == len(set(found)) == 10


def test_equal_rows_are_one_group_however_many():
    rows = vectors_of(np.arange(3))[np.repeat(np.arange(3), [1, 700, 2])]
    assert np.bincount(near_duplicates(rows, seed=0)).tolist() == [1, 700, 2]
    split = cut(dataset(np.ones((703, 2))), rows, 0.2, 2000, 0)
    assert split.held_out_rows.tolist() == [0, 701, 702]
    assert near_duplicates(rows[:0], seed=0).tolist() == []


def test_a_chain_of_duplicates_is_one_group():
    angles = np.deg2rad([0, 30, 60, 90, 180])
    rows = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    found = near_duplicates(rows, seed=0)
    assert len(set(found[:4])) == 1 and found[4] != found[0]


@pytest.mark.parametrize("seed", range(4))
def test_few_points_of_one_cluster_keep_every_group_together(seed):
    groups = np.repeat(np.arange(20), 3)
    split = cut(dataset(np.ones((60, 2))), vectors_of(groups), 0.5, 2000, seed)
    assert 25 <= len(split.held_out_rows) <= 30
    assert not set(groups[split.held_out_rows]) & set(groups[split.train_rows])


@pytest.mark.parametrize("seed", range(4))
def test_share_no_overlap_and_groups_together(many, seed):
    data, groups, vectors = many
    split = cut(data, vectors, 0.2, 2000, seed)
    assert not set(split.train_rows) & set(split.held_out_rows)
    assert 70 <= len(split.held_out_rows) <= 80
    # duplicates are sought within clusters of 64; a group is torn only where the borders of all clusterings cut it
    held = set(groups[split.held_out_rows])
    torn = held & set(groups[split.train_rows])
    assert len(torn) <= 0.03 * len(held)
    np.testing.assert_array_equal(split.train_rows, np.sort(split.train_rows))


def test_seed_decides(many):
    data, _, vectors = many
    one, again, other = (cut(data, vectors, 0.2, 2000, seed).held_out_rows for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert set(one) != set(other)


def test_max_points_and_share_zero(many):
    data, _, vectors = many
    assert len(cut(data, vectors, 0.2, 25, 0).held_out_rows) <= 25
    split = cut(data, vectors, 0.0, 2000, 0)
    assert not len(split.held_out_rows) and len(split.train_rows) == 400 and split.held_out_targets.shape == (0, 40)


def test_a_small_set_holds_out_more_but_at_most_a_quarter(many):
    data, _, vectors = many
    assert 70 <= len(cut(data, vectors, 0.1, 2000, 0, min_points=80).held_out_rows) <= 80
    assert 90 <= len(cut(data, vectors, 0.1, 2000, 0, min_points=1000).held_out_rows) <= 100
    assert not len(cut(data, vectors, 0.0, 2000, 0, min_points=80).held_out_rows)


def test_a_giant_group_is_never_held_out():
    groups = np.concatenate([np.zeros(150, int), np.arange(1, 151)])
    data = dataset(np.ones((300, 2)))
    # sought within small clusters, so the giant comes in parts of some thirty; each is above a tenth of the share
    for seed in range(3):
        assert (groups[cut(data, vectors_of(groups), 0.2, 2000, seed).held_out_rows] != 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_texts_that_chance_chains_together_are_held_out_with_what_is_most_alike(seed):
    rng = np.random.default_rng(seed)
    twins = np.repeat(np.arange(200), 2)
    rows = rng.normal(size=(1, 64)) + 0.4 * rng.normal(size=(200, 64))[twins] + 0.01 * rng.normal(size=(400, 64))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    assert np.bincount(near_duplicates(rows, seed)).max() > 300
    split = cut(dataset(np.ones((400, 2))), rows, 0.2, 2000, seed)
    assert 70 <= len(split.held_out_rows) <= 80
    assert (
        len(set(twins[split.held_out_rows]) & set(twins[split.train_rows])) <= 4
    )  # a few pairs lie in no common cluster


def mirrored(n):
    """Points and labels are the same things: i -> j mostly comes with j -> i."""
    targets = np.zeros((n, n))
    for i in range(0, n, 2):
        targets[i, i + 1] = targets[i + 1, i] = 1
    targets[:, 0] = 1  # each has a label that is no mirror
    names = [f"x{i}" for i in range(n)]
    return dataset(targets, names, names)


def test_mirrors_of_held_out_pairs_are_dropped():
    n = 100
    data = mirrored(n)
    targets = data.train_targets.toarray()
    split = cut(data, vectors_of(np.arange(n)), 0.2, 2000, 0)
    assert len(split.held_out_rows)
    kept = split.targets.toarray()
    held = set(split.held_out_rows)
    for i in range(1, n - 1):
        mate = i + 1 if i % 2 == 0 else i - 1
        assert kept[i, mate] == (0 if mate in held else 1), "the mirror of a held-out pair stays only if not held out"
    assert (split.targets.data == 1).all()
    np.testing.assert_array_equal(data.train_targets.toarray(), targets)  # the data set itself is left alone


def test_where_the_test_part_filters_mirrors_they_are_told_apart():
    n = 100
    data = mirrored(n)
    assert not cut(data, vectors_of(np.arange(n)), 0.2, 2000, 0).filtered_at_test.nnz
    data.test, data.test_filter = texts(["x0"]), np.array([[0, 1]])  # x1 has x0 as its label in training
    split = cut(data, vectors_of(np.arange(n)), 0.2, 2000, 0)
    for place, row in enumerate(split.held_out_rows.tolist()):
        mate = row + 1 if row % 2 == 0 else row - 1
        assert mate in split.filtered_at_test[place].indices


def test_every_label_of_the_truth_is_trained_and_every_row_has_truth(many):
    data, _, vectors = many
    rare = sp.csr_matrix((np.ones(400, np.float32), (range(400), range(400))), shape=(400, 400))  # one point a label
    data.train_targets = sp.hstack([data.train_targets, rare]).tocsr()
    data.labels = texts([f"l{i}" for i in range(440)])
    split = cut(data, vectors, 0.2, 2000, 0)
    assert split.held_out_targets.shape == (len(split.held_out_rows), 440)
    assert (np.diff(split.held_out_targets.indptr) > 0).all()
    trained = np.asarray(split.targets[split.train_rows].sum(0)).ravel() > 0
    assert trained[split.held_out_targets.indices].all()
    full = data.train_targets[split.held_out_rows]
    np.testing.assert_array_equal(full.toarray() * trained, split.held_out_targets.toarray())
    np.testing.assert_array_equal(full.toarray() * ~trained, split.held_out_ignored.toarray())


def test_points_without_labels_are_not_measured_by(many):
    data, _, vectors = many
    even = sp.diags((np.arange(400) % 2 == 0).astype(np.float32))
    data.train_targets = sp.csr_matrix(even @ data.train_targets, dtype=np.float32)
    split = cut(data, vectors, 0.2, 2000, 0)
    assert len(split.held_out_rows) and (split.held_out_rows % 2 == 0).all()


def test_points_without_labels_are_texts_only(many):
    data, _, vectors = many
    even = sp.diags((np.arange(400) % 2 == 0).astype(np.float32))
    data.train_targets = sp.csr_matrix(even @ data.train_targets, dtype=np.float32)
    split = cut(data, vectors, 0.2, 2000, 0)
    assert (split.train_rows % 2 == 0).all() and (everything(data).train_rows % 2 == 0).all()
    np.testing.assert_array_equal(split.visible_rows, np.setdiff1d(np.arange(400), split.held_out_rows))
    assert len(everything(data).visible_rows) == 400


@pytest.mark.parametrize("unseen", [0.05, 0.09, 0.11, 0.3])
def test_labels_without_a_point_count_as_much_as_is_said(many, unseen):
    data, _, vectors = many
    rare = sp.csr_matrix((np.ones(400, np.float32), (range(400), range(400))), shape=(400, 500))
    data.train_targets = sp.hstack([data.train_targets, rare]).tocsr()
    data.labels = texts([f"l{i}" for i in range(540)])
    split = cut(data, vectors, 0.2, 2000, 0, unseen=unseen)
    left = split.targets[split.train_rows].getnnz(0)[split.held_out_targets.indices]
    assert split.held_out_targets.data[left == 0].sum() / split.held_out_targets.data.sum() == pytest.approx(
        unseen, abs=1e-5
    )
    assert split.held_out_targets.data.mean() == pytest.approx(1.0, abs=1e-5) and split.held_out_ignored.nnz == 0


def test_the_share_of_labels_without_a_point_follows_from_sizes(many):
    data, _, _ = many
    assert unseen_share(data) == 0.0 and unseen_share(data, "0.2") == 0.2
    data.train_targets = sp.hstack([data.train_targets, sp.csr_matrix((400, 50))]).tocsr()  # fifty labels have no point
    assert unseen_share(data) == pytest.approx(50 / 450)
    data.test = texts([f"q{i}" for i in range(200)])
    assert unseen_share(data) == pytest.approx(50 / 200)
    data.test = texts(["q"])
    assert unseen_share(data) == 0.5
    for wrong in ("1", "-0.1", "some", "nan"):
        with pytest.raises(InputError, match="validation.unseen"):
            unseen_share(data, wrong)


def test_points_that_tell_nothing_are_not_held_out(many):
    data, _, vectors = many
    own = np.arange(400) < 300  # most points have a label of their own and no other
    only = sp.csr_matrix((np.ones(300, np.float32), (range(300), range(300))), shape=(400, 300))
    shared = sp.diags((~own).astype(np.float32)) @ data.train_targets
    data.train_targets = sp.csr_matrix(sp.hstack([shared, only]), dtype=np.float32)
    data.labels = texts([f"l{i}" for i in range(340)])
    found = held_out_rows(data, vectors, 0.1, 2000, 0)
    assert len(found) >= 30 and own[found].mean() < 0.4  # a group is held out for one of its points
    assert own[held_out_rows(data, vectors, 0.1, 2000, 0, unseen=0.9)].mean() > 0.5


def test_one_point_a_label_leaves_nothing_to_choose_by():
    split = cut(dataset(np.eye(50)), vectors_of(np.arange(50)), 0.2, 2000, 0)
    assert not len(split.held_out_rows) and len(split.train_rows) == 50


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_few_points_leave_some_to_train_on(n, share):
    split = cut(dataset(np.ones((n, 2))), vectors_of(np.arange(n)), share, 2000, 0)
    assert len(split.train_rows) >= 1


def test_everything_holds_nothing_out(many):
    data, _, _ = many
    split = everything(data)
    assert split.train_rows.tolist() == split.visible_rows.tolist() == list(range(400)) and not len(split.held_out_rows)
    assert (split.targets != data.train_targets).nnz == 0


def test_points_are_held_out_one_by_one_where_they_stand_together_in_the_test_part(many):
    data, groups, vectors = many
    whole = held_out_rows(data, vectors, 0.2, 2000, 0)
    single = held_out_rows(data, vectors, 0.2, 2000, 0, together=False)
    rest = [np.setdiff1d(np.arange(400), rows) for rows in (whole, single)]
    assert not set(groups[whole]) & set(groups[rest[0]])
    assert len(set(groups[single]) & set(groups[rest[1]])) > len(single) / 2
    assert len(single) == 80


@pytest.mark.parametrize("seed", range(3))
def test_a_test_part_of_whole_groups_stands_apart_and_a_random_one_does_not(seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(500), 3)
    vectors = vectors_of(groups, seed)
    of_groups, at_random = groups < 100, rng.random(1500) < 0.2
    for is_test, apart in ((of_groups, True), (at_random, False)):
        assert stands_apart(vectors[is_test], vectors[~is_test], seed) is apart


def test_rows_without_near_duplicates_do_not_stand_apart():
    assert not stands_apart(vectors_of(np.arange(200)), vectors_of(np.arange(200), 1), 0)
