"""Epochs of the dense head, with all labels and with a shortlist."""

import numpy as np
import pytest
import torch

from ramen.errors import InputError, WorkError
from ramen.scorers.dense.train import fit_head


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


@pytest.mark.parametrize("negatives", ["mined", "top", "both"])
@pytest.mark.parametrize("kind", ["shortlist", "dense"])
def test_lists_of_every_kind_learn(make_fitter, kind, negatives):
    fitter = make_fitter(
        f"head.kind={kind}", f"head.negatives={negatives}", "head.all_labels=10", "head.top=8", "head.epochs=3"
    )
    assert ("negatives" in vars(fitter)) is False
    losses = [loss for _, _, loss in fitter.head_epochs()][1:]
    assert losses[-1] < losses[0]
    assert ("negatives" in vars(fitter)) == (negatives != "top")


def test_precision_is_the_dense_heads(make_fitter):
    with pytest.raises(InputError, match=r"head.precision=bf16: only head.kind=dense"):
        next(make_fitter("head.kind=shortlist", "head.precision=bf16").head_epochs())


def test_a_loss_that_is_no_number_stops_the_work(make_fitter):
    epochs = make_fitter("head.epochs=3").head_epochs()
    next(epochs)
    _, head, _ = next(epochs)
    head.weights[:] = torch.nan
    with pytest.raises(WorkError, match="head: the loss is nan in epoch 2, batch 1"):
        next(epochs)
