"""The state of a stage: what comes back, and what survives a full disk."""

import errno
import threading

import numpy as np
import pytest
import torch

from ramen import checkpoint as checkpoints
from ramen.checkpoint import Checkpoint
from ramen.errors import InputError, WorkError


def state(seed=0, width=3):
    torch.manual_seed(seed)
    model = torch.nn.Linear(width, 2)
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


def step(model, optimiser):
    optimiser.zero_grad()
    model(torch.ones(4, 3)).square().sum().backward()
    optimiser.step()


@pytest.fixture(autouse=True)
def save_always(monkeypatch):
    monkeypatch.setattr("ramen.checkpoint._EVERY_SECONDS", 0.0)


def test_a_resumed_stage_goes_on_as_if_never_stopped(tmp_path):
    stopped, straight, resumed = state(), state(), state(seed=1)
    for _ in range(3):
        step(*stopped)
        step(*straight)
    clusters = np.array([1, 0, 1])
    Checkpoint(tmp_path / "c").save(3, *stopped, {"clusters": clusters})
    epoch, kept = Checkpoint(tmp_path / "c").restore(*resumed)
    assert epoch == 3
    assert list(kept) == ["clusters"]
    np.testing.assert_array_equal(kept["clusters"], clusters)
    for _ in range(3):
        step(*straight)
        step(*resumed)
    for one, other in zip(straight[0].parameters(), resumed[0].parameters(), strict=True):
        assert torch.equal(one, other)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_nothing_kept_is_epoch_zero(tmp_path):
    assert Checkpoint(tmp_path / "none").restore(*state()) == (0, {})


def test_recent_saves_are_skipped_but_the_last_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("ramen.checkpoint._EVERY_SECONDS", 1000.0)
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save(1, *state())
    assert not checkpoint.path.exists()
    checkpoint.save(2, *state(), last=True)
    assert checkpoint.restore(*state()) == (2, {})


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch, caplog):
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save(1, *state())
    before = checkpoint.path.read_bytes()

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ramen.checkpoint.save_file", full)
    checkpoint.save(2, *state(1))
    assert "no space left on the disk; what was saved before is untouched; training goes on" in caplog.text
    with pytest.raises(WorkError, match="no space left on the disk"):
        checkpoint.save(2, *state(1), last=True)
    assert checkpoint.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert checkpoint.restore(*state()) == (1, {})


def damage(path, how):
    whole = path.read_bytes()
    if how == "flipped":
        path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
    else:
        path.write_bytes(whole[:how])


@pytest.mark.parametrize("how", [0, 20, -1, "flipped"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, caplog, how):
    checkpoint = Checkpoint(tmp_path / "c")
    for epoch in (1, 2, 3):
        checkpoint.save(epoch, *state())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "c.before"]
    assert checkpoint.restore(*state())[0] == 3 and not caplog.text
    damage(checkpoint.path, how)
    assert checkpoint.restore(*state())[0] == 2
    assert f"{checkpoint.path}: damaged" in caplog.text
    damage(checkpoint.before, how)
    assert checkpoint.restore(*state()) == (0, {})
    assert f"{checkpoint.before}: damaged" in caplog.text


def test_killed_between_the_two_renamings(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save(1, *state())
    checkpoint.path.rename(checkpoint.before)
    assert checkpoint.restore(*state())[0] == 1


def test_a_checkpoint_of_another_model_is_named(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save(1, *state())
    with pytest.raises(InputError, match="cannot be resumed from"):
        checkpoint.restore(*state(width=5))


def test_the_state_of_a_gpu_is_written_beside_training(tmp_path, monkeypatch):
    monkeypatch.setattr("ramen.checkpoint._on_gpu", lambda tensors: True)
    entered, may_go_on = threading.Event(), threading.Event()
    save = checkpoints.save_file

    def slow(*arguments, **named):
        entered.set()
        assert may_go_on.wait(10)
        save(*arguments, **named)

    monkeypatch.setattr(checkpoints, "save_file", slow)
    model, optimiser = state()
    step(model, optimiser)
    kept = Checkpoint(tmp_path / "c")
    kept.save(1, model, optimiser)
    assert entered.wait(10) and not (tmp_path / "c").exists()
    may_go_on.set()
    again, other = state(seed=3)
    assert kept.restore(again, other)[0] == 1  # waits for the file
    assert torch.equal(again.weight, model.weight) and kept._writer is None


def test_best_weights_are_kept_apart(tmp_path):
    model, optimiser = state()
    kept = Checkpoint(tmp_path / "search-0.safetensors")
    kept.best.save_weights(7, model)
    kept.save(9, *state(seed=1), last=True)
    again = state(seed=2)[0]
    kept.best.load(again)
    assert torch.equal(again.weight, model.weight)
    assert {path.name for path in tmp_path.iterdir()} == {"search-0.safetensors", "search-0-best.safetensors"}


def test_saves_that_take_long_are_made_less_often(tmp_path, monkeypatch):
    now = iter([0.0, 0.0, 100.0, 130.0, 130.0 + 599.0, 130.0 + 600.0])  # made, due, a save of 30 s, asked twice
    monkeypatch.setattr("ramen.checkpoint._EVERY_SECONDS", 60.0)
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: next(now))
    checkpoint = Checkpoint(tmp_path / "c")
    assert not checkpoint.due
    checkpoint.save_weights(1, state()[0])
    assert not checkpoint.due
    assert checkpoint.due
