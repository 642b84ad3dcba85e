"""Training with graphs: what differs between runs, and what a stopped one goes on from."""

import copy

import numpy as np
import pytest
import torch

import ramen
from ramen.checkpoint import Checkpoint
from ramen.config import load_config
from ramen.graph.bipartite import sample_column
from ramen.graph.graphs import Graphs
from ramen.training.data import prepare
from ramen.training.encoder_loop import train_encoder
from ramen.training.negatives import HardNegatives
from ramen.training.split import cut, everything

LAMBDAS = {"links": (0.1, 0.3), "noise": (0.1, 0.3)}


class Stop(Exception):
    """Ends training in the middle."""


@pytest.fixture
def make(planted, quick):
    """A function of settings: data, an untrained encoder and a split with something held out."""

    def build(*overrides, walks=False, held_out=True):
        dataset = ramen.load_dataset(planted)
        config = load_config("static", [*quick, "training.epochs=6", *overrides])
        config.graphs = sorted(dataset.graphs)
        torch.manual_seed(0)
        data, encoder = prepare(dataset, config)
        vectors = encoder.encode(data.tokens["points"]).numpy()
        split = cut(dataset, vectors, 0.2, 2000, 0) if held_out else everything(dataset)
        return data, encoder, data.with_graphs(split, walks)

    return build


def trained(data, encoder, split, lambdas, checkpoint=None, log=lambda **line: None, max_steps=None):
    encoder = copy.deepcopy(encoder)
    train_encoder(encoder, data, split, lambdas, checkpoint, log, max_steps)
    return encoder.state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "settings",
    [
        ["graph.lambda=bandit"],
        ["graph.prune=threshold", "graph.prune_below=0.1"],
        ["graph.rows=batch"],
    ],
    ids=["bandit", "threshold", "batch"],
)
@pytest.mark.parametrize("walks", [False, True], ids=["raw", "walked"])
def test_a_stopped_run_goes_on_to_the_same_weights(make, tmp_path, monkeypatch, settings, walks):
    monkeypatch.setattr("ramen.graph.graphs.PRUNE_FROM", 1)
    monkeypatch.setattr("ramen.graph.graphs.PRUNE_EVERY", 2)
    monkeypatch.setattr("ramen.checkpoint._EVERY_SECONDS", 0.0)
    data, encoder, split = make(*settings, walks=walks)
    straight = trained(data, encoder, split, LAMBDAS, Checkpoint(tmp_path / "a"))

    def stop(**line):
        if line["stage"] == "encoder" and line["epoch"] == 5:
            raise Stop

    with pytest.raises(Stop):
        trained(data, encoder, split, LAMBDAS, Checkpoint(tmp_path / "b"), stop)
    assert same(trained(data, encoder, split, LAMBDAS, Checkpoint(tmp_path / "b")), straight)


@pytest.mark.parametrize("negatives", ["clusters", "ance"])
def test_one_stopped_within_an_epoch_does_so_too(make, tmp_path, monkeypatch, negatives):
    monkeypatch.setattr("ramen.graph.graphs.PRUNE_FROM", 2)
    monkeypatch.setattr("ramen.checkpoint._EVERY_SECONDS", 0.0)
    settings = [
        "graph.lambda=bandit",
        f"training.negatives={negatives}",
        "training.hard_from=1",
        "training.accumulate=2",
    ]
    data, encoder, split = make(*settings, "graph.prune=threshold", "graph.prune_below=0.1")
    straight = trained(data, encoder, split, LAMBDAS, Checkpoint(tmp_path / "a"))
    penalty, calls = Graphs.penalty, []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) in (6, 11):
            raise Stop
        return penalty(*arguments)

    monkeypatch.setattr(Graphs, "penalty", stopping)
    for _ in range(2):
        with pytest.raises(Stop):
            trained(data, encoder, split, LAMBDAS, Checkpoint(tmp_path / "b"))
    assert same(trained(data, encoder, split, LAMBDAS, Checkpoint(tmp_path / "b")), straight)


def test_runs_that_differ_in_the_weights_alone_have_the_same_batches(make, monkeypatch):
    data, encoder, split = make("training.negatives=batch")
    drawn = []

    def recording(matrix, rows, rng):
        drawn.append((rows, sample_column(matrix, rows, rng)))
        return drawn[-1][1]

    monkeypatch.setattr("ramen.training.encoder_loop.sample_column", recording)
    runs = []
    for lambdas in (LAMBDAS, {"links": (0.0, 0.5)}):
        trained(data, encoder, split, lambdas)
        runs.append(drawn[:])
        drawn.clear()
    assert len(runs[0]) == len(runs[1]) > 10
    for (rows, columns), (others, other_columns) in zip(*runs, strict=True):
        np.testing.assert_array_equal(rows, others)
        np.testing.assert_array_equal(columns[1], other_columns[1])


def test_graphs_of_weight_zero_are_no_graphs(make):
    data, encoder, split = make()
    off = trained(data, encoder, split, dict.fromkeys(LAMBDAS, (0.0, 0.0)))
    assert same(off, trained(data, encoder, split, {}))
    assert not same(off, trained(data, encoder, split, LAMBDAS))


def test_held_out_points_are_drawn_for_no_graph(make):
    data, encoder, split = make()
    links = copy.deepcopy(split.links)
    for found in links.values():  # their rows say something else now
        for row in split.held_out_rows:
            found.points.indices[found.points.indptr[row] : found.points.indptr[row + 1]] = 0
    changed = split.__class__(**{**split.__dict__, "links": links})
    assert same(trained(data, encoder, split, LAMBDAS), trained(data, encoder, changed, LAMBDAS))


def test_max_steps_ends_it_early_and_a_graph_trains_longer(make):
    data, encoder, split = make("training.epochs=1", "training.min_steps=1", "graph.min_steps=9")

    def epochs(lambdas, max_steps=None, refit=False):
        lines = []
        train_encoder(encoder, data, split, lambdas, None, lambda **line: lines.append(line), max_steps, refit)
        return len([line for line in lines if line["stage"] == "encoder"])

    assert epochs({}) == 1 and epochs(LAMBDAS) == 5
    assert epochs(LAMBDAS, max_steps=3) == 2
    assert epochs({}, refit=True) == 1 and epochs(LAMBDAS, refit=True) == 1
    data.config.graph.min_steps = 30
    assert epochs(LAMBDAS) == 15 and epochs(LAMBDAS, refit=True) == 3


def test_going_on_starts_with_hard_negatives_and_small_steps(make):
    data, encoder, split = make("training.epochs=2", "training.min_steps=1")
    trained(data, encoder, split, {}, None, lambda **line: None)
    before = encoder.encode(data.tokens["points"])
    rates, clusters = [], []
    step = torch.optim.AdamW.step

    def watched(self, *rest):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *rest)

    def batches(self, *rest):
        clusters.append(self.clusters is not None)
        return drawn(self, *rest)

    drawn = HardNegatives.batches
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", watched)
        patch.setattr(HardNegatives, "batches", batches)
        train_encoder(encoder, data, split, {}, None, lambda **line: None, refit=True)
    assert clusters and all(clusters) and max(rates) <= data.config.training.lr / 4
    cosines = (before * encoder.encode(data.tokens["points"])).sum(1)
    assert 0.9 < cosines.mean() < 1.0


def test_with_large_batches_a_graph_trains_no_longer(make, monkeypatch):
    monkeypatch.setattr("ramen.training.schedule.LONG_BATCH", 100)
    data, encoder, split = make("training.epochs=1", "training.min_steps=1", "graph.min_steps=9")
    lines = []
    trained(data, encoder, split, LAMBDAS, None, lambda **line: lines.append(line))
    assert [line["stage"] for line in lines] == ["schedule", "encoder"]


def test_pruning_is_logged_with_what_held_out_pairs_say(make, monkeypatch):
    monkeypatch.setattr("ramen.graph.graphs.PRUNE_FROM", 2)
    lines, settings = [], ["graph.prune=threshold", "graph.prune_below=0.1"]
    data, encoder, split = make(*settings)
    trained(data, encoder, split, LAMBDAS, None, lambda **line: lines.append(line))
    told = {(line["graph"], line["side"]): line for line in lines if line["stage"] == "prune"}
    assert set(told) == {(kind, side) for kind in LAMBDAS for side in ("points", "labels")}
    links, noise = (told[kind, "labels"] for kind in ("links", "noise"))
    assert 30 < links["kept"] < 70
    assert links["wrong_of_kept"] < noise["wrong_of_kept"]
    lines.clear()
    data, encoder, split = make(*settings, held_out=False)
    trained(data, encoder, split, LAMBDAS, None, lambda **line: lines.append(line))
    assert all("wrong_of_kept" not in line for line in lines)


def test_lists_of_weights_are_logged_for_the_bandit(make):
    lines = []
    trained(*make("graph.lambda=bandit"), {"links": (0.1, 0.0)}, None, lambda **line: lines.append(line))
    assert lines[-1]["lambda_x links"] > 0 and lines[-1]["lambda_z links"] == 0
    assert np.isfinite(lines[-1]["penalty"])
