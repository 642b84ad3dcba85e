"""The training loop: what a stopped run goes on from, what is logged, what ends it."""

import numpy as np
import pytest
import torch
from torch import nn

from ramen.checkpoint import Checkpoint
from ramen.errors import WorkError
from ramen.training.loop import Stage, run_steps, step_rng
from ramen.training.optimiser import Schedule

SCHEDULE = Schedule(steps=13, per_epoch=5, warmup=3, accumulate=2, clip=0.5)


@pytest.fixture(autouse=True)
def save_always(monkeypatch):
    monkeypatch.setattr("ramen.checkpoint._EVERY_SECONDS", 0.0)


class Steps:
    """A regression on drawn rows, with one more state: the number that each epoch renews."""

    def __init__(self, stop_at=None):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.stop_at, self.offset, self.renewed = stop_at, np.zeros(1), []

    def __call__(self, number):
        epoch, at = divmod(number, SCHEDULE.per_epoch)
        if number == self.stop_at:
            raise KeyboardInterrupt
        if not at:
            self.offset = self.model[0].weight.detach().numpy().sum(keepdims=True)[0]
            self.renewed.append(epoch)
        rows = torch.from_numpy(step_rng(0, 1, epoch, at).random((6, 4), dtype=np.float32))
        loss = (self.model(rows) - rows.sum(1, keepdim=True) - float(self.offset[0])).square().mean()
        return loss, {"rows": 6.0 + number}

    def state(self):
        return {"offset": self.offset}

    def restore(self, state):
        self.offset = state["offset"]


def run(steps, path, log=lambda **line: None):
    groups = [{"params": list(steps.model.parameters()), "lr": 0.05}]
    kept = Checkpoint(path)
    run_steps(steps.model, groups, SCHEDULE, steps, Stage("x", 3, log, log_every=5), kept, steps)
    return [parameter.detach().clone() for parameter in steps.model.parameters()]


@pytest.mark.parametrize("stop_at", [1, 3, 5, 8, 12])
def test_a_stopped_run_ends_with_the_same_bytes_and_figures(tmp_path, stop_at):
    lines, again = [], []
    straight = run(Steps(), tmp_path / "a", lambda **line: lines.append(line))
    with pytest.raises(KeyboardInterrupt):
        run(Steps(stop_at), tmp_path / "b", lambda **line: again.append(line))
    resumed = run(Steps(), tmp_path / "b", lambda **line: again.append(line))
    assert all(torch.equal(one, other) for one, other in zip(straight, resumed, strict=True))
    by_step = {line["step"]: line for line in again}
    for line in lines:
        assert by_step[line["step"]]["loss"] == pytest.approx(line["loss"])
        assert by_step[line["step"]]["rows"] == line["rows"]


def test_a_checkpoint_holds_whole_updates(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(Checkpoint, "save", lambda self, steps, *rest, last=False: saved.append((steps, last)))
    run(Steps(), tmp_path / "a")
    assert saved == [(2, False), (4, False), (5, False), (7, False), (9, False), (10, False), (12, False), (13, True)]


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = run(Steps(), tmp_path / "a")
    steps = Steps()
    second = run(steps, tmp_path / "a")
    assert not steps.renewed and not steps.model.training
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_means_are_logged_with_the_rest_at_the_end(tmp_path):
    lines = []
    run(Steps(), tmp_path / "a", lambda **line: lines.append(line))
    assert [line["step"] for line in lines] == [5, 10, 13]
    assert [line["rows"] for line in lines] == [8.0, 13.0, 17.0]
    assert all(line["stage"] == "x" and line["seconds"] > 0 for line in lines)


def test_a_loss_that_is_no_number_names_the_place_and_the_setting(tmp_path):
    model = nn.Linear(1, 1)

    def step(number):
        return model(torch.ones(1, 1)).sum() * (np.nan if number == 6 else 1.0), {}

    groups = [{"params": list(model.parameters()), "lr": 0.01}]
    with pytest.raises(WorkError, match=r"align: the loss is nan in epoch 2, batch 2; .* large align\.lr"):
        run_steps(model, groups, SCHEDULE, step, Stage("align", 0, lambda **line: None, log_every=5), None)
