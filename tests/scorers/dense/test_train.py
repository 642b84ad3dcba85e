"""Epochs of the dense classifiers, with all labels and with a shortlist."""

import numpy as np
import pytest
import torch

from ramen.checkpoint import Checkpoint
from ramen.config import DenseConfig
from ramen.errors import InputError, WorkError
from ramen.scorers.dense import build, train
from ramen.scorers.dense.build import all_compete
from ramen.scorers.dense.classifier import DenseClassifier
from ramen.scorers.dense.schedule import LearningRate
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


def test_on_a_gpu_all_labels_compete_as_long_as_they_fit(monkeypatch):
    gpu, settings = torch.device("cuda"), DenseConfig(batch_size=1024)
    needed = DenseClassifier.gpu_memory(10**6, 384, 1024)
    for free, wanted in ((needed / 0.89, True), (needed / 0.91, False)):
        monkeypatch.setattr(build, "free_gpu_memory", lambda device, free=free: free)
        assert all_compete(10**6, 384, settings, gpu) == wanted
        assert all_compete(10**6, 384, DenseConfig(all_labels=10**6), gpu)
        assert not all_compete(10**6, 384, DenseConfig(all_labels=10**6 - 1), gpu)


@pytest.mark.parametrize("scheduler", ["halving", "linear", "cosine", "constant"])
def test_schedules_warm_up_to_the_peak_and_go_on(scheduler):
    settings = DenseConfig(epochs=3, batch_size=10, lr=2.0, scheduler=scheduler, warmup_steps=4)
    rate = LearningRate(settings, 95)  # 10 steps an epoch, 30 in all
    assert [rate(step) for step in range(4)] == [0.5, 1.0, 1.5, 2.0]
    rest = [rate(step) for step in range(4, 30)]
    assert rest[0] == 2.0 and rest == sorted(rest, reverse=True)
    assert rest[-1] == pytest.approx(
        {"halving": 0.5, "linear": 2 / 26, "constant": 2}.get(scheduler, 0.00729), rel=0.01
    )
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    if scheduler == "cosine":
        theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 26)
        for value in rest:
            assert value == pytest.approx(theirs.get_last_lr()[0])
            optimiser.step()
            theirs.step()


def test_a_warm_up_longer_than_training_is_refused(make_views):
    views = make_views("dense.warmup_steps=10000", "dense.epochs=2", "dense.batch_size=32")
    steps = 2 * -(-len(views.vectors) // 32)
    with pytest.raises(InputError, match=rf"dense.warmup_steps=10,000: expected at most the {steps} steps"):
        next(train_epochs(views, "own"))


def test_a_schedule_and_weight_decay_train(make_views):
    plain = train_on_views(make_views("dense.batch_size=64"), DenseParams(2))
    other = train_on_views(
        make_views("dense.scheduler=cosine", "dense.warmup_steps=3", "dense.batch_size=64"), DenseParams(2)
    )
    decayed = train_on_views(make_views("dense.weight_decay=5", "dense.batch_size=64"), DenseParams(2))
    assert not np.array_equal(plain.vectors, other.vectors)
    assert np.abs(decayed.vectors).sum() < np.abs(plain.vectors).sum()
    with pytest.raises(InputError, match=r"dense.weight_decay=5.0: only dense.kind=full"):
        train_on_views(make_views("dense.weight_decay=5", "dense.kind=shortlist"), DenseParams(2))


@pytest.mark.skipif(torch.cuda.is_available(), reason="counts the readings on a CPU")
def test_a_loss_read_seldom_is_the_same(make_views, monkeypatch):
    settings = "dense.batch_size=32", "dense.epochs=1"
    each = [loss for _, _, loss in train_epochs(make_views(*settings), "own")][1]
    read = []
    monkeypatch.setitem(train._READ_EVERY, "cpu", 4)
    monkeypatch.setattr(train, "check_loss", lambda *given: read.append(given[-1]))
    assert [loss for _, _, loss in train_epochs(make_views(*settings), "own")][1] == each
    assert read == [3, 5]  # of six batches


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_interrupted_training_goes_on_after_the_last_wanted_epoch(make_views, tmp_path, monkeypatch, precision):
    monkeypatch.setattr("ramen.checkpoint._EVERY_SECONDS", 0.0)
    settings = "dense.epochs=4", f"dense.precision={precision}"
    straight = train_on_views(make_views(*settings), DenseParams(4, "own"))
    views = make_views(*settings)
    views.checkpoint = lambda name: Checkpoint(tmp_path / name)
    for epoch, _, _ in train_epochs(views, "own"):
        if epoch == 3:
            break  # as in a search that does not want the third
    again = [epoch for epoch, _, _ in train_epochs(views, "own")]
    assert again == [2, 3, 4]
    resumed = train_on_views(views, DenseParams(4, "own"))
    np.testing.assert_array_equal(straight.block(0, 9), resumed.block(0, 9))
    assert [path.name for path in tmp_path.iterdir() if "before" not in path.name] == ["dense-own"]
