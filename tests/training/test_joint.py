"""Classifiers that are trained together with the encoder: what they move, what is kept of them, what is refused."""

import copy
import json

import numpy as np
import pytest
import torch
from training_makers import planted_steps

import ramen
from ramen import distributed
from ramen.checkpoint import Checkpoint
from ramen.config import load_config
from ramen.errors import InputError
from ramen.training.encoder_loop import train_encoder
from ramen.training.joint import JointClassifiers, check_joint


class Stop(Exception):
    """Ends training in the middle."""


@pytest.fixture
def make(planted, quick, tiny_backbone):
    """A function of a kind of encoder and settings: data and steps over everything."""

    def build(kind, *overrides):
        words = [*quick, f"encoder.backbone={tiny_backbone}", "training.batch_size=64", "training.dropout=0.0"]
        return planted_steps(planted, kind, [*words, "dense.joint=1.0", "training.hard_from=1", *overrides], {})

    return build


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_the_encoder_gets_the_gradient_of_the_loss_over_all_labels(make, monkeypatch, loss):
    monkeypatch.setattr("ramen.encoders.product.computes_bfloat16", lambda device: False)
    monkeypatch.setattr("ramen.scorers.dense.build.computes_bfloat16", lambda device: False)
    data, steps = make("static", f"dense.loss={loss}")
    joint, rows = steps.encoder.classifiers, np.arange(20)
    labels = steps.encoder.encode_labels(data.tokens["labels"])
    joint.start(labels.numpy())
    queries = steps.encoder(data.tokens["points"], rows).detach().requires_grad_()
    targets = steps.split.targets[rows]
    value = joint.loss(queries, targets, steps.filtered[rows], np.arange(3), 1.0)
    value.backward()
    right = torch.from_numpy(targets.toarray() > 0)
    known = right | torch.from_numpy(steps.filtered[rows].toarray() > 0)
    given = queries.detach().clone().requires_grad_()
    scores = given @ labels.T / 0.05
    if loss == "bce":
        each = torch.nn.functional.binary_cross_entropy_with_logits(scores, right.float(), reduction="none")
        plain = (each * (right | ~known)).sum()
    else:
        others = torch.logsumexp(scores.masked_fill(known, -1e9), 1, keepdim=True)
        plain = (torch.nn.functional.softplus(others - scores) * right).sum()
    (plain / len(rows)).backward()
    torch.testing.assert_close(queries.grad, given.grad, atol=1e-4, rtol=1e-3)
    assert not np.allclose(joint.vectors(), labels.numpy())  # they moved, too


def test_both_are_trained_and_offered_as_a_start(make, tmp_path):
    data, steps = make("static", "training.epochs=10", "dense.lr=0.02")
    encoder, alone = steps.encoder, copy.deepcopy(steps.encoder)
    lines = []
    train_encoder(encoder, data, steps.split, {}, None, lambda **line: lines.append(line))
    told = [line for line in lines if "joint" in line]
    assert told and told[-1]["joint"] < told[0]["joint"]
    alone.classifiers = None
    train_encoder(alone, data, steps.split, {}, None, lambda **line: None)
    assert not torch.equal(alone.vectors, encoder.vectors)
    starts = data.views(steps.split, encoder).starts
    assert list(starts) == ["joint", "own"] and starts["joint"].shape == starts["own"].shape
    targets, points = steps.split.targets.toarray() > 0, encoder.encode(data.tokens["points"]).numpy()
    ranks = {name: (points @ one.T).argmax(1) for name, one in starts.items()}
    hits = {name: targets[np.arange(len(best)), best].mean() for name, best in ranks.items()}
    assert hits["joint"] > hits["own"]  # classifiers fit what labels' texts cannot say
    copied = copy.deepcopy(encoder)
    assert copied.classifiers.classifier.weights is copied.classifiers.tensors[0]
    assert copied.classifiers.tensors[0] is not encoder.classifiers.tensors[0]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_stopped_run_goes_on_to_the_same_end(make, tmp_path, monkeypatch, precision):
    monkeypatch.setattr("ramen.checkpoint._EVERY_SECONDS", 0.0)
    data, steps = make("static", "training.epochs=4", f"dense.precision={precision}")
    straight, stopped, resumed = (copy.deepcopy(steps.encoder) for _ in range(3))
    train_encoder(straight, data, steps.split, {}, Checkpoint(tmp_path / "a"), lambda **line: None)

    def stop(**line):
        if line.get("epoch") == 3:
            raise Stop

    with pytest.raises(Stop):
        train_encoder(stopped, data, steps.split, {}, Checkpoint(tmp_path / "b"), stop)
    train_encoder(resumed, data, steps.split, {}, Checkpoint(tmp_path / "b"), lambda **line: None)
    assert same(straight.state_dict(), resumed.state_dict())
    again = copy.deepcopy(steps.encoder)
    Checkpoint(tmp_path / "b").load(again)
    assert same(again.state_dict(), resumed.state_dict()) and again.classifiers.is_trained


def test_where_not_all_can_compete_those_of_the_batch_do(make):
    _, steps = make("static", "dense.all_labels=10")
    steps.encoder.classifiers.start(np.eye(120, steps.encoder.dim, dtype=np.float32))
    before = steps.encoder.classifiers.vectors()
    rows, columns = np.arange(4), np.array([7, 50])
    queries = torch.nn.functional.normalize(torch.ones(4, steps.encoder.dim), dim=1).requires_grad_()
    steps.encoder.classifiers.loss(queries, steps.split.targets[rows], steps.filtered[rows], columns, 1.0)
    moved = np.flatnonzero((steps.encoder.classifiers.vectors() != before).any(1))
    assert set(moved) == {*columns.tolist(), *steps.split.targets[rows].indices.tolist()}


@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_in_parts_the_gradients_are_the_same(make, monkeypatch, kind):
    for place in ("encoders.product", "encoders.transformer", "scorers.dense.build"):
        monkeypatch.setattr(f"ramen.{place}.computes_bfloat16", lambda device: False)
    found = []
    for chunk in (0, 500):
        data, steps = make(kind, f"training.chunk={chunk}", "training.hard_from=0", "training.negatives=batch")
        loss, figures = steps(0)
        if loss.requires_grad:
            loss.backward()
        assert figures["joint"] > 0
        found.append([p.grad.clone() for p in steps.encoder.parameters() if p.grad is not None])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("epochs", [0, 2])
def test_a_whole_run(planted, quick, tmp_path, epochs):
    settings = [*quick, "dense.joint=1.0", "training.hard_from=1", f"dense.epochs={epochs}", "sparse.passes=0"]
    run = ramen.train(planted, out=tmp_path / "run", graphs="none", overrides=settings)
    notes = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert any(line.get("starts_from") for line in notes) and (run / "metrics.json").exists()
    assert ramen.Tagger.load(run).tag(["a text"], k=2)


def test_settings_that_do_not_go_together(monkeypatch):
    with pytest.raises(InputError, match=r"dense\.joint=1: expected dense\.kind=full, found shortlist"):
        check_joint(load_config("static", ["dense.joint=1", "dense.kind=shortlist"]))
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(InputError, match=r"dense\.joint=1: expected one process, found 2"):
        JointClassifiers(3, 2, load_config("static", ["dense.joint=1"]))
