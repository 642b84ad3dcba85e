"""Epochs of the dense classifiers, with all labels and with a shortlist."""

import numpy as np
import pytest
import torch

from ramen.errors import InputError, WorkError
from ramen.scorers.dense.scorer import DenseParams
from ramen.scorers.dense.train import train_epochs, train_on_views


def test_a_shortlist_learns_too_and_moves_only_labels_that_compete(make_views):
    views = make_views("dense.all_labels=10", "dense.batch_size=32", "sparse.near=2")
    competing = np.union1d(np.flatnonzero(views.negatives.getnnz(1)), views.targets.indices)
    losses = []
    for epoch, classifier, loss in train_epochs(views, "own"):
        if epoch:
            losses.append(loss)
        moved = np.flatnonzero((classifier.weights.numpy() != views.labels).any(1))
        assert set(moved) <= set(competing)
    assert len(losses) == 2 and losses[1] < losses[0]


def test_with_few_labels_no_negatives_are_mined(make_views):
    views = make_views()
    assert [epoch for epoch, _, _ in train_epochs(views, "own")] == [0, 1, 2]
    assert "negatives" not in vars(views)


@pytest.mark.parametrize("all_labels", [10, 10_000])
def test_epochs_do_not_depend_on_how_many_follow(make_views, all_labels):
    settings = f"dense.all_labels={all_labels}"
    one = train_on_views(make_views(settings), DenseParams(1))
    many = train_on_views(make_views(settings, "dense.epochs=3"), DenseParams(1, "own"))
    np.testing.assert_array_equal(one.vectors, many.vectors)


@pytest.mark.parametrize("negatives", ["mined", "top", "both"])
@pytest.mark.parametrize("kind", ["shortlist", "full"])
def test_lists_of_every_kind_learn(make_views, kind, negatives):
    views = make_views(f"dense.kind={kind}", f"dense.negatives={negatives}", "dense.all_labels=10", "dense.epochs=3")
    assert "negatives" not in vars(views)
    losses = [loss for _, _, loss in train_epochs(views, "own", top=8)][1:]
    assert losses[-1] < losses[0]
    assert ("negatives" in vars(views)) == (negatives != "top")


def test_precision_is_the_dense_classifiers(make_views):
    with pytest.raises(InputError, match=r"dense.precision=bf16: only dense.kind=full"):
        next(train_epochs(make_views("dense.kind=shortlist", "dense.precision=bf16"), "own"))


def test_a_loss_that_is_no_number_stops_the_work(make_views):
    epochs = train_epochs(make_views("dense.epochs=3"), "own")
    next(epochs)
    _, classifier, _ = next(epochs)
    classifier.weights[:] = torch.nan
    with pytest.raises(WorkError, match="dense: the loss is nan in epoch 2, batch 1"):
        next(epochs)
