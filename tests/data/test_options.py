"""What of a data set a run reads."""

import numpy as np
import pytest

import ramen
from ramen.data.options import with_pairs, with_test_points, with_texts, without_label_rows
from ramen.errors import InputError


@pytest.fixture
def dataset(planted):
    return ramen.load_dataset(planted)


def test_titles_leave_the_contents_out_and_the_data_set_alone(dataset):
    titles = with_texts(dataset, "title")
    for before, after in ((dataset.train, titles.train), (dataset.test, titles.test), (dataset.labels, titles.labels)):
        assert after.joined() == before.titles == after.titles
        assert after.uids == before.uids and any(before.contents)
    assert with_texts(dataset, "full") is dataset


def test_a_share_of_the_points_keeps_its_pairs(dataset):
    few = with_pairs(dataset, 0.1, seed=0)
    had, has = (np.diff(d.train_targets.indptr) for d in (dataset, few))
    kept = has > 0
    assert kept.sum() == round(0.1 * (had > 0).sum())
    assert (has[kept] == had[kept]).all()  # all of a point's pairs or none
    assert few.train is dataset.train and few.graphs is dataset.graphs and few.test_targets is dataset.test_targets
    assert (had > 0).sum() > kept.sum()  # the data set itself is left alone


def test_the_seed_draws_the_points_and_a_larger_share_holds_the_smaller(dataset):
    def kept(share, seed):
        return set(np.flatnonzero(np.diff(with_pairs(dataset, share, seed).train_targets.indptr)))

    assert kept(0.1, 0) == kept(0.1, 0) != kept(0.1, 1)
    assert kept(0.1, 0) < kept(0.3, 0)
    assert with_pairs(dataset, 1.0, 0) is dataset


def test_some_point_is_left_of_the_smallest_share(dataset):
    assert (np.diff(with_pairs(dataset, 1e-9, 0).train_targets.indptr) > 0).sum() == 1


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_no_share(dataset, share):
    with pytest.raises(InputError, match="share of pairs is"):
        with_pairs(dataset, share, 0)


def test_no_text(dataset):
    with pytest.raises(InputError, match="'titel', expected title or full"):
        with_texts(dataset, "titel")


def test_graph_rows_of_some_labels_are_blanked(dataset):
    uid = dataset.labels.uids[3]
    strict = without_label_rows(dataset, {uid, "nobody"})
    for kind, graph in dataset.graphs.items():
        before, after = graph.labels.toarray(), strict.graphs[kind].labels.toarray()
        assert before[3].any() and not after[3].any()
        after[3] = before[3]
        assert (before == after).all()
        assert strict.graphs[kind].points is graph.points


def test_some_test_points_keep_their_targets_and_filter(dataset):
    few = with_test_points(dataset, 20, seed=0)
    assert len(few.test) == 20 == few.test_targets.shape[0] and few.train is dataset.train
    row_of = {uid: row for row, uid in enumerate(dataset.test.uids)}
    rows = [row_of[uid] for uid in few.test.uids]
    assert rows == sorted(rows) and few.test.joined() == [dataset.test.joined()[row] for row in rows]
    assert (few.test_targets != dataset.test_targets[rows]).nnz == 0
    pairs = {(rows[row], label) for row, label in few.test_filter.tolist()}
    assert pairs == {(row, label) for row, label in map(tuple, dataset.test_filter.tolist()) if row in rows}
    assert with_test_points(dataset, 20, 0).test.uids == few.test.uids != with_test_points(dataset, 20, 1).test.uids
    assert with_test_points(dataset, 0, 0) is dataset is with_test_points(dataset, 10**6, 0)
