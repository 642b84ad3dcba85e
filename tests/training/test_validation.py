"""Measuring the encoder as it trains: when, what is kept, what ends it, and where it goes on."""

import copy

import numpy as np
import pytest
import torch
from training_makers import planted_steps

from ramen.checkpoint import Checkpoint
from ramen.training.encoder_loop import train_encoder
from ramen.training.split import cut
from ramen.training.story import Story
from ramen.training.validation import Validation

VALUES = [1.0, 3.0, 2.0, 1.5, 5.0, 4.0, 0.5, 0.1]


class Stop(Exception):
    """Ends training in the middle."""


@pytest.fixture
def make(planted, quick):
    """A function of settings: data, an untrained encoder, and a split with something held out."""

    def build(*overrides):
        words = [*quick, "training.epochs=8", "training.batch_size=128", *overrides]
        data, steps = planted_steps(planted, "static", words, {})
        vectors = steps.encoder.encode(data.tokens["points"]).numpy()
        return data, steps.encoder, data.with_graphs(cut(data.dataset, vectors, 0.2, 2000, 0))

    return build


def measured(values, seen):
    """In place of the real measurement: the given values, and the weights that would have been measured."""
    left = iter(values)

    def measure(self):
        seen.append(copy.deepcopy(self.encoder.state_dict()))
        return next(left), {"P@1": 1.0}

    return measure


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_real_value_is_that_of_the_encoder_alone(make, tmp_path):
    data, encoder, split = make("validation.every=4")
    lines = []
    validation = Validation(encoder, data, split, Checkpoint(tmp_path / "best"), lambda **line: lines.append(line))
    value, figures = validation.measured()
    assert set(figures) == {"P@1", "P@5", "PSP@5", "R@10"}
    assert value == pytest.approx(np.exp(np.mean(np.log([max(v, 1e-6) for v in figures.values()]))))
    scores = encoder.encode(validation.points).numpy() @ encoder.encode_labels(data.tokens["labels"]).numpy().T
    ignored = validation.held_out.filtered.toarray() > 0
    best = np.where(ignored, -9.0, scores).argmax(1)
    hits = validation.held_out.targets[np.arange(len(best)), best]
    assert figures["P@1"] == pytest.approx(100 * float(np.mean(hits)), abs=0.2)
    before = encoder.training
    assert not validation(3, False) and not lines and encoder.training == before
    assert not validation(4, False) and lines[0]["stage"] == "validate" and lines[0]["best"]


@pytest.mark.parametrize(("patience", "n_measured", "best"), [(0, 8, 4), (2, 4, 1), (3, 8, 4)])
def test_patience_ends_it_and_the_best_weights_are_kept(make, tmp_path, monkeypatch, patience, n_measured, best):
    seen, lines = [], []
    monkeypatch.setattr(Validation, "measured", measured(VALUES, seen))
    data, encoder, split = make("validation.every=2", f"validation.patience={patience}")
    train_encoder(encoder, data, split, {}, Checkpoint(tmp_path / "a"), lambda **line: lines.append(line))
    told = [line for line in lines if line["stage"] == "validate"]
    assert len(told) == len(seen) == n_measured
    assert [line["step"] for line in told] == [2 * (at + 1) for at in range(n_measured)]
    assert same(encoder.state_dict(), seen[best]) and not encoder.training
    stopped = [line for line in told if line.get("stopped")]
    assert len(stopped) == (n_measured < 8)
    for line in stopped:
        assert (line["measurements"], line["best_step"]) == (patience, 2 * (best + 1)) and line is told[-1]
    heard: list[str] = []
    story = Story(heard.append)
    for line in lines:
        story(line)
    early = "stopped early at epoch 4: validation has not improved for 2 measurements; back to the weights of step 4"
    assert (early in [line.strip() for line in heard]) == bool(stopped) and "trained: loss" in heard[-1]
    again = make("validation.every=2")[1]
    Checkpoint(tmp_path / "a").load(again)  # a run that is resumed later
    assert same(again.state_dict(), seen[best])


@pytest.mark.parametrize("stop_at", [2, 3, 4])
def test_a_stopped_one_goes_on_to_the_same_end(make, tmp_path, monkeypatch, stop_at):
    monkeypatch.setattr("ramen.checkpoint._EVERY_SECONDS", 0.0)

    def by_weights(self):
        return float(torch.sin(1e4 * self.encoder.label_map.weight.detach().sum())), {}

    monkeypatch.setattr(Validation, "measured", by_weights)
    data, encoder, split = make("validation.every=2", "validation.patience=2")

    def stop(**line):
        if line["stage"] == "encoder" and line["epoch"] == stop_at:
            raise Stop

    straight, stopped, resumed = (copy.deepcopy(encoder) for _ in range(3))
    train_encoder(straight, data, split, {}, Checkpoint(tmp_path / "a"), lambda **line: None)
    with pytest.raises(Stop):
        train_encoder(stopped, data, split, {}, Checkpoint(tmp_path / "b"), stop)
    train_encoder(resumed, data, split, {}, Checkpoint(tmp_path / "b"), lambda **line: None)
    assert same(straight.state_dict(), resumed.state_dict())


def test_without_held_out_points_nothing_is_measured(make, tmp_path):
    data, encoder, split = make("validation.every=2")
    split.held_out_rows = split.held_out_rows[:0]
    lines = []
    train_encoder(encoder, data, split, {}, Checkpoint(tmp_path / "a"), lambda **line: lines.append(line))
    assert "validate" not in {line["stage"] for line in lines}


@pytest.mark.parametrize("every", [1, 3, 100])
def test_lines_come_every_so_many_steps(make, tmp_path, every):
    data, encoder, split = make(f"log.every={every}", "training.epochs=4")
    lines = []
    train_encoder(encoder, data, split, {}, Checkpoint(tmp_path / "a"), lambda **line: lines.append(line))
    lines = [line for line in lines if line["stage"] == "encoder"]
    assert [line["step"] for line in lines] == sorted({*range(every, 13, every), 12})
    assert lines[-1]["epoch"] == 6 and lines[-1]["lr"] < data.config.training.lr
