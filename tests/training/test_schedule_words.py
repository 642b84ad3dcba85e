"""The schedule in words: what is said is what is trained."""

import pytest

import ramen
from ramen.config import load_config
from ramen.graph.graphs import Graphs
from ramen.training.data import prepare
from ramen.training.encoder_loop import train_encoder
from ramen.training.negatives import HardNegatives
from ramen.training.schedule import described, described_trainings
from ramen.training.split import everything

NAME = "LF-WikiSeeAlsoTitles-320K"


def test_a_published_set():
    assert described(load_config(NAME), 693_082, uses_graphs=True) == (
        "300 epochs of 677 batches of 1,024 points: 203,100 steps, 203,100 updates, warm-up of 100, linear decay; "
        "hard negatives renewed 145 times from epoch 11; edges pruned 60 times."
    )
    assert "pruned" not in described(load_config(NAME), 693_082)


@pytest.mark.parametrize(
    ("settings", "points", "graphs", "told"),
    [
        (
            ["training.max_steps=480", "training.epochs=300"],
            100_000,
            False,
            "Cut from 300 epochs by training.max_steps=480.",
        ),
        (
            ["training.min_steps=120", "training.epochs=3"],
            20_000,
            False,
            "Raised from 3 epochs by training.min_steps=120.",
        ),
        (["training.batch_size=512"], 6_144, True, "Raised from 10 epochs by graph.min_steps=240."),
        (["training.scheduler=constant"], 50_000, False, "a constant learning rate"),
        (["training.negatives=batch"], 50_000, False, "no hard negatives"),
        (["training.epochs=1"], 1_024, False, "1 epoch of 8 batches of 128 points"),
        (["training.epochs=3", "training.hard_from=2"], 50_000, False, "hard negatives renewed once from epoch 3"),
        (["training.epochs=5", "graph.walks=on"], 50_000, True, "edges pruned once"),
        (["training.epochs=4", "training.accumulate=49"], 50_000, False, "196 steps, 4 updates, warm-up of 4,"),
    ],
)
def test_what_changes_it(settings, points, graphs, told):
    assert told in described(load_config("static", settings), points, graphs)


def test_shortened_trainings():
    config = load_config(NAME)
    refitted = described(config, 693_082, True, refit=True, first_epoch=104)
    assert refitted.startswith("60 epochs of 677 batches")
    assert "hard negatives renewed 30 times from epoch 1; edges pruned 12 times" in refitted
    assert refitted.endswith("A fifth of the 300 epochs before, as it goes on with a trained encoder.")
    short = described(config, 693_082, True, max_steps=1_000)
    assert short.startswith("2 epochs of 677") and short.endswith("Stopped after 2 epochs of 300.")
    assert "Cut" not in short


def test_several_trainings():
    lines = described_trainings(load_config("transformer"), 10_000, uses_graphs=True)
    assert len(lines) == 3 and "up to three times" in lines[1] and lines[2].startswith("then 79 steps more")
    assert len(described_trainings(load_config(NAME), 10_000, uses_graphs=True)) == 1
    assert len(described_trainings(load_config("static"), 10_000, uses_graphs=False)) == 2
    assert described_trainings(load_config("words"), 10_000, uses_graphs=False) == ["not trained"]
    assert described_trainings(load_config("static", ["training.epochs=0"]), 10, uses_graphs=False) == ["not trained"]


@pytest.mark.parametrize(("kind", "walks"), [("clusters", "on"), ("ance", "off")])
def test_renewals_and_prunings_are_those_of_the_training(planted, quick, monkeypatch, kind, walks):
    settings = ["training.epochs=10", "training.hard_from=3", f"training.negatives={kind}", f"graph.walks={walks}"]
    config, dataset = load_config("static", [*quick, *settings]), ramen.load_dataset(planted)
    config.graphs = ["links"]
    renewed, pruned = [], set()
    refresh, prunes = HardNegatives.refresh, Graphs.prunes

    def counting_refresh(self, epoch, vectors, encoder):
        refresh(self, epoch, lambda name: renewed.append(name) or vectors(name), encoder)

    def counting_prunes(self, epoch):
        pruned.update([epoch] * prunes(self, epoch))
        return prunes(self, epoch)

    monkeypatch.setattr(HardNegatives, "refresh", counting_refresh)
    monkeypatch.setattr(Graphs, "prunes", counting_prunes)
    data, encoder = prepare(dataset, config)
    split = data.with_graphs(everything(dataset), walks == "on", lambda **line: None)
    lines = []
    train_encoder(encoder, data, split, {"links": (0.3, 0.3)}, None, lambda **line: lines.append(line))
    note = lines[0]["note"]
    assert lines[0]["stage"] == "schedule" and note.startswith("10 epochs of ")
    assert f"renewed {renewed.count('points')} times from epoch 4" in note
    assert len(pruned) == (2 if walks == "on" else 0) and ("edges pruned 2 times" in note) == bool(pruned)
