"""The stages of a run as people are told of them, and the share of the time that each is expected to take."""

from __future__ import annotations

from dataclasses import dataclass

from ramen.config import Config
from ramen.data import Dataset
from ramen.scorers.network.scorer import NetworkScorer
from ramen.scorers.network.train import BATCH, epochs_of
from ramen.training.schedule import batch_points, plan_steps, trainings

# Seconds on two cores, by hand from a few small runs: only their ratios matter, and they are rough.
_READ = 3e-5  # a text
_TOKENIZE = 2e-4  # a text
_STATIC, _TRANSFORMER = 5e-5, 2e-2  # a text, forward and backward
_TEXTS = 2.5  # encoded for each point of a batch: its labels, and those of the graphs
_SPARSE = 4e-4  # a point and fit
_DENSE = 1e-7  # a point, label and epoch
_NETWORK, _NETWORK_LABEL = 2e-2, 6e-6  # an update, and a label and update
_ALL_LABELS = 30_000  # that compete at most
_RANK = 4e-3  # a held-out point
_SAVE = 1e-3  # a test point
_FIXED = {"read": 0.5, "prepare": 2.0, "encoder": 2.0, "scorers": 1.0, "rank": 0.5, "refit": 1.0, "save": 2.0}

_STAGES_OF_START = {
    "read": "read and check the data",
    "prepare": "prepare the texts, hold out some of the new ones",
    "rank": "learn how the scorers rank together, if enough points are new",
    "refit": "go on training on all points",
    "save": "save the run",
}


@dataclass(frozen=True)
class Stage:
    """A stage of a run.

    Attributes:
        name: in log lines of stage ``begin``.
        does: what it does, in words.
        share: of the time of the whole run, 0 to 1: an estimate from sizes and settings.
    """

    name: str
    does: str
    share: float


def stages_of(config: Config, dataset: Dataset) -> list[Stage]:
    """Return the stages of a run in their order; the shares add up to 1.

    Args:
        config: settings, with the graphs to use.
        dataset: to train on.

    Example:
        ``[stage.name for stage in stages_of(load_config("static"), dataset)]`` is
        ``["read", "prepare", "encoder", "scorers", "rank", "refit", "save"]``.
    """
    if config.start:
        return _shared(_STAGES_OF_START, config, dataset, 0, bool(config.training.epochs))
    trains, refits = trainings(config, bool(config.graphs))
    holds_out = config.validation.share > 0
    does = {
        "read": "read and check the data",
        "prepare": "prepare the texts" + (" and hold some of them out for validation" if holds_out else ""),
        "encoder": ("train the encoder" if trains else "encode the texts")
        + (" without the held-out points" if holds_out and trains else ""),
    }
    if holds_out:
        does["scorers"] = "tune the other scorers on the held-out points"
        does["rank"] = "choose how the scorers rank together"
    if holds_out and config.validation.refit:
        does["refit"] = "train again, now on all points, with what was chosen"
    if not holds_out:
        does["refit"] = "fit the other scorers"
    does["save"] = "save the run" + (" and measure it on the test split" if len(dataset.test) else "")
    return _shared(does, config, dataset, trains, refits)


def _shared(does: dict[str, str], config: Config, dataset: Dataset, trains: int, refits: bool) -> list[Stage]:
    seconds = _seconds(config, dataset, trains, refits)
    whole = sum(seconds[name] for name in does)
    return [Stage(name, words, seconds[name] / whole) for name, words in does.items()]


def _seconds(config: Config, dataset: Dataset, trains: int, refits: bool) -> dict[str, float]:
    """Rough seconds of every stage."""
    points, labels = len(dataset.train), len(dataset.labels)
    texts = points + labels
    per_text = _TRANSFORMER * config.encoder.max_tokens / 64 if config.encoder.kind == "transformer" else _STATIC
    once = again = 0.0
    if trains:
        graphs = bool(config.graphs)
        step = batch_points(config, points) * _TEXTS * per_text
        once = plan_steps(config, points, graphs).steps * step
        again = plan_steps(config, points, graphs, refit=True).steps * step if refits else 0.0
    encode = texts * per_text / 3
    sparse = points * _SPARSE if config.sparse.passes else 0.0
    dense = config.dense.epochs * points * min(labels, _ALL_LABELS) * _DENSE
    network = _network_seconds(config, points, labels)
    fits = 3 if config.sparse.choose else 1
    held_out = min(0.1 * points, 20_000)
    estimated = {
        "read": texts * _READ,
        "prepare": texts * _TOKENIZE,
        "encoder": trains * (once + encode),
        "scorers": fits * sparse + dense / 2 + network,
        "rank": held_out * _RANK if config.ranking.learn else 0.0,
        "refit": again + encode + sparse + dense / 2 + network / 2,  # it is often left out
        "save": len(dataset.test) * _SAVE,
    }
    return {name: value + _FIXED[name] for name, value in estimated.items()}


def _network_seconds(config: Config, points: int, labels: int) -> float:
    """Rough seconds of a fit of the network over words."""
    if not points or not config.validation.share or not NetworkScorer.is_enabled(config, labels):
        return 0.0
    updates = epochs_of(points, config.network.updates) * -(-points // BATCH)
    return updates * (_NETWORK + _NETWORK_LABEL * labels)
