"""Epochs of the dense head, with all labels and with a shortlist."""

import numpy as np
import pytest

from ramen.training.stage2 import fit_head


def test_a_shortlist_learns_too_and_moves_only_labels_that_compete(make_fitter):
    fitter = make_fitter("head.all_labels=10", "head.batch_size=32", "sparse.near=2")
    competing = np.union1d(np.flatnonzero(fitter.negatives.getnnz(1)), fitter.targets.indices)
    losses = []
    for epoch, head, loss in fitter.head_epochs():
        if epoch:
            losses.append(loss)
        moved = np.flatnonzero((head.weights != fitter.labels).any(1).numpy())
        assert set(moved) <= set(competing)
    assert len(losses) == 2 and losses[1] < losses[0]


def test_with_few_labels_no_negatives_are_mined(make_fitter):
    fitter = make_fitter()
    assert [epoch for epoch, _, _ in fitter.head_epochs()] == [0, 1, 2]
    assert "negatives" not in vars(fitter)


@pytest.mark.parametrize("all_labels", [10, 10_000])
def test_epochs_do_not_depend_on_how_many_follow(make_fitter, all_labels):
    log = []
    one = fit_head(make_fitter(f"head.all_labels={all_labels}").head_epochs(), 1, lambda **line: log.append(line))
    many = fit_head(
        make_fitter(f"head.all_labels={all_labels}", "head.epochs=3").head_epochs(), 1, lambda **line: log.append(line)
    )
    np.testing.assert_array_equal(one.vectors, many.vectors)
    assert [line["epoch"] for line in log] == [1, 1]
