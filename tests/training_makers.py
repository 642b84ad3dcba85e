"""Fixtures: what a small run trains on, and its folder, for tests of single steps of training."""

from dataclasses import dataclass

import pytest
import torch

import ramen
from ramen.config import load_config
from ramen.scorers.views import Views
from ramen.training.data import AnyEncoder, TrainingData, prepare
from ramen.training.encoder_loop import EncoderSteps
from ramen.training.held_out import HeldOut
from ramen.training.judge import HeldOutJudge
from ramen.training.run_folder import CHECKPOINTS, RunFolder
from ramen.training.schedule import plan_steps
from ramen.training.split import MAX_POINTS, MIN_POINTS, Split, cut, everything


class Lines(list):
    """A log that keeps its lines."""

    def __call__(self, **figures):
        self.append(figures)


@dataclass
class Material:
    """What a run has before it trains.

    Attributes:
        data: of the planted set, unless another was asked for.
        split: with held-out points.
        encoder: untrained.
    """

    data: TrainingData
    split: Split
    encoder: AnyEncoder

    def views(self) -> Views:
        """Of the rows of the split, by the encoder as it is."""
        return self.data.views(self.split, self.encoder)

    def judge(self, views: Views, log: Lines) -> HeldOutJudge:
        """By the held-out points."""
        return HeldOutJudge(HeldOut.of(self.data, self.split), views, log)


@pytest.fixture
def make_material(planted, searching):
    """A function of settings: data, split and untrained encoder of the planted set, with all its graphs."""

    def make(*overrides, dataset=None):
        dataset = dataset or ramen.load_dataset(planted)
        config = load_config("static", [*searching, *overrides])
        config.graphs = sorted(dataset.graphs)
        data, encoder = prepare(dataset, config)
        vectors = encoder.encode(data.tokens["points"]).numpy()
        split = cut(dataset, vectors, config.validation.share, MAX_POINTS, config.seed, MIN_POINTS)
        return Material(data, data.with_graphs(split), encoder)

    return make


@pytest.fixture
def make_views(make_material):
    """A function of settings: the views of the rows of a split of the planted set, by an untrained encoder."""
    return lambda *overrides, **named: make_material(*overrides, **named).views()


@pytest.fixture
def make_run(tmp_path_factory):
    """A function that makes an open run folder, whose log keeps its lines."""

    def make():
        run = RunFolder(tmp_path_factory.mktemp("runs") / "run", resume=False)
        (run.path / CHECKPOINTS).mkdir(parents=True)
        run.log = Lines()
        return run

    return make


def planted_steps(folder, kind, overrides, lambdas):
    """Training data of a folder and the steps of an encoder in training over everything.

    Args:
        folder: of a data set.
        kind: ``static`` or ``transformer``.
        overrides: settings.
        lambdas: weights of the graphs.
    """
    dataset = ramen.load_dataset(folder)
    config = load_config(kind, overrides)
    config.graphs = sorted(dataset.graphs)
    torch.manual_seed(0)
    data, encoder = prepare(dataset, config)
    split = data.with_graphs(everything(dataset))
    schedule = plan_steps(config, len(split.train_rows), uses_graphs=True)
    return data, EncoderSteps(encoder.train(), data, split, lambdas, lambda **line: None, schedule)
