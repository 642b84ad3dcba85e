"""How many steps a training has, which of them update the weights, and with what learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ramen.config import Config
from ramen.errors import InputError
from ramen.graph.graphs import PRUNE_EVERY, PRUNE_FROM
from ramen.training.negatives import HARD_EVERY

LONG_BATCH = 512  # points: with larger batches graph.min_steps does not apply, as dense classifiers would get worse
REFIT_SHARE, REFIT_RATE = 0.2, 0.25  # of the epochs and of the learning rate, to go on with a trained encoder
_WARMUP = 20  # updates, unless set
_SMALL_BATCH = 128  # for sets of few points: twelve batches an epoch, but none smaller


@dataclass(frozen=True)
class Schedule:
    """The steps of a training.

    Attributes:
        steps: batches in all epochs together.
        per_epoch: batches in an epoch.
        warmup: updates over which the learning rate rises linearly.
        last_lr: share of the learning rate at the end of the decay.
        accumulate: batches whose mean gradient makes one update; an epoch's last update may have fewer.
        clip: maximum gradient norm; 0 for no clipping.
        scheduler: how the learning rate decays: ``linear``, ``cosine`` or ``constant`` for not at all.
        weight_decay: AdamW's, of matrices.
    """

    steps: int
    per_epoch: int
    warmup: float = 20.0
    last_lr: float = 0.02
    accumulate: int = 1
    clip: float = 0.0
    scheduler: str = "linear"
    weight_decay: float = 0.0

    @property
    def epochs(self) -> int:
        """Epochs that are begun."""
        return -(-self.steps // self.per_epoch)

    @property
    def updates(self) -> int:
        """Steps of the optimiser."""
        whole, rest = divmod(self.steps, self.per_epoch)
        return whole * -(-self.per_epoch // self.accumulate) + -(-rest // self.accumulate)

    def factor(self, step: int) -> float:
        """Factor of the learning rate at a step, counted from 0.

        Example:
            >>> [Schedule(steps=4, per_epoch=4, warmup=2).factor(step) for step in range(4)]
            [0.5, 0.75, 0.5, 0.25]
        """
        update, updates = step // self.accumulate, -(-self.steps // self.accumulate)
        done = update / updates
        falls = {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "constant": 1.0}
        return min(1.0, (update + 1) / self.warmup) * max(self.last_lr, falls[self.scheduler])

    def epoch_of(self, step: int) -> int:
        """The epoch of a step, both counted from 0."""
        return step // self.per_epoch

    def ends_epoch(self, step: int) -> bool:
        """Whether a step, counted from 0, is the last one of its epoch or of all."""
        return (step + 1) % self.per_epoch == 0 or step + 1 == self.steps


def batch_points(config: Config, points: int) -> int:
    """Points in a batch: fewer with a small set, so that an epoch has about twelve batches."""
    return min(config.training.batch_size, max(_SMALL_BATCH, points // 12))


def plan_steps(
    config: Config, points: int, uses_graphs: bool = False, max_steps: int | None = None, refit: bool = False
) -> Schedule:
    """The steps of a training of the encoder, in whole epochs.

    Args:
        config: settings.
        points: to train on.
        uses_graphs: whether a graph regularises it.
        max_steps: train on fewer batches than the settings say: whole epochs, to about so many.
        refit: go on with a trained encoder for a fifth of the epochs.

    Raises:
        InputError: the warm-up is longer than the training.

    Example:
        >>> from ramen.config import load_config
        >>> plan_steps(load_config("static", ["training.epochs=5"]), points=100_000).steps
        490
    """
    settings = config.training
    per_epoch = -(-points // batch_points(config, points))
    epochs = _epochs(config, points, uses_graphs)
    if refit:
        epochs = max(1, round(REFIT_SHARE * epochs))
    if max_steps is not None:
        epochs = min(epochs, -(-max_steps // per_epoch))
    parts = {"accumulate": settings.accumulate, "clip": settings.clip, "scheduler": settings.scheduler}
    schedule = Schedule(epochs * per_epoch, per_epoch, weight_decay=settings.weight_decay, **parts)  # type: ignore[arg-type]
    return _warmed_up(schedule, settings.warmup_steps, shortened=refit or max_steps is not None)


def _epochs(config: Config, points: int, uses_graphs: bool) -> int:
    """Epochs of a whole training: as many as are set, within the bounds on the number of steps."""
    per_epoch = -(-points // batch_points(config, points))
    fewest, most = _bounds(config, points, uses_graphs)
    epochs = max(-(-fewest // per_epoch), config.training.epochs)
    if most:
        epochs = min(epochs, max(1, most // per_epoch, -(-fewest // per_epoch)))
    return epochs


def _bounds(config: Config, points: int, uses_graphs: bool) -> tuple[int, int]:
    """The fewest steps, and the most (0 for any number)."""
    longer = uses_graphs and batch_points(config, points) <= LONG_BATCH
    return max(config.training.min_steps, config.graph.min_steps if longer else 0), config.training.max_steps


def _warmed_up(schedule: Schedule, warmup: int, shortened: bool) -> Schedule:
    if warmup > schedule.updates and not shortened:
        raise InputError(
            f"training.warmup_steps={warmup:,}: expected at most the {schedule.updates:,} updates of this training, "
            "or -1"
        )
    if warmup < 0:
        warmup = _WARMUP
    return replaced(schedule, warmup=float(max(1, min(warmup, schedule.updates))))


def replaced(schedule: Schedule, **changes: Any) -> Schedule:
    """The schedule with other values."""
    return Schedule(**{**schedule.__dict__, **changes})


def described(
    config: Config, points: int, uses_graphs: bool = False, max_steps: int | None = None, refit: bool = False,
    first_epoch: int = 0,
) -> str:  # fmt: skip
    """The schedule of a training in words: its length, warm-up and decay, hard negatives and pruning.

    A second sentence says why there are more or fewer epochs than ``training.epochs``.

    Args:
        config: settings.
        points: to train on.
        uses_graphs: whether a graph regularises it.
        max_steps: as of :func:`plan_steps`.
        refit: likewise.
        first_epoch: number of the first epoch, by which negatives are renewed and edges pruned.

    Raises:
        InputError: as :func:`plan_steps`.

    Example:
        >>> from ramen.config import load_config
        >>> words = described(load_config("static", ["training.max_steps=40", "training.min_steps=0"]), points=20_000)
        >>> print(*words.split(". "), sep="\\n")
        2 epochs of 20 batches of 1,024 points: 40 steps, 40 updates, warm-up of 20, linear decay; no hard negatives
        Cut from 10 epochs by training.max_steps=40.
    """
    schedule = plan_steps(config, points, uses_graphs, max_steps, refit)
    epochs = range(first_epoch, first_epoch + schedule.epochs)
    rate = "a constant learning rate" if schedule.scheduler == "constant" else f"{schedule.scheduler} decay"
    counts = f"{_many(schedule.epochs, 'epoch')} of {_many(schedule.per_epoch, 'batch')}"
    parts = [
        f"{counts} of {batch_points(config, points):,} points: {_many(schedule.steps, 'step')}, "
        f"{_many(schedule.updates, 'update')}, warm-up of {int(schedule.warmup):,}, {rate}",
        _described_negatives(config, epochs),
    ]
    pruning = "threshold" if config.graph.prune == "auto" and config.graph.walks == "on" else config.graph.prune
    if uses_graphs and pruning == "threshold":
        due = [epoch for epoch in epochs if epoch >= PRUNE_FROM and (epoch - PRUNE_FROM) % PRUNE_EVERY == 0]
        parts.append(f"edges pruned {_times(len(due))}")
    return " ".join([f"{'; '.join(parts)}.", *_reasons(config, points, uses_graphs, schedule, refit)])


def trainings(config: Config, uses_graphs: bool) -> tuple[int, bool]:
    """How many whole trainings a run has at most, and whether a shortened one on all points follows.

    Example:
        >>> from ramen.config import load_config
        >>> trainings(load_config("transformer"), uses_graphs=True), trainings(load_config("fast"), uses_graphs=True)
        ((3, True), (1, True))
    """
    if not config.training.epochs or config.encoder.kind == "bag_of_words":
        return 0, False
    judged = config.validation.share > 0
    return 3 if judged and uses_graphs and config.graph.lambda_ == "auto" else 1, judged and config.validation.refit


def described_trainings(config: Config, points: int, uses_graphs: bool) -> list[str]:
    """Lines that say what :func:`described` does of each training, and how many there are.

    Args:
        config: settings.
        points: of the data set.
        uses_graphs: whether the run has graphs.
    """
    most, refits = trainings(config, uses_graphs)
    if not most:
        return ["not trained"]
    lines = [described(config, points, uses_graphs)]
    if most > 1:
        lines.append(
            "trained up to three times, as graph.lambda=auto: without graphs, with them, and with other weights"
        )
    if refits:
        again = plan_steps(config, points, uses_graphs, refit=True)
        lines.append(f"then {_many(again.steps, 'step')} more on all points, as validation.refit=true")
    return lines


def _described_negatives(config: Config, epochs: range) -> str:
    settings, first = config.training, max(config.training.hard_from, epochs.start)
    if settings.negatives == "batch" or first >= epochs.stop:
        return "no hard negatives"
    times = 1 + sum((epoch - settings.hard_from) % HARD_EVERY == 0 for epoch in range(first + 1, epochs.stop))
    return f"hard negatives renewed {_times(times)} from epoch {first - epochs.start + 1:,}"


def _reasons(config: Config, points: int, uses_graphs: bool, schedule: Schedule, refit: bool) -> list[str]:
    """Sentences that say why the epochs are not those that are set."""
    asked, whole = config.training.epochs, _epochs(config, points, uses_graphs)
    fewest, most = _bounds(config, points, uses_graphs)
    sentences = []
    if whole > asked:
        key = "training" if fewest == config.training.min_steps else "graph"
        sentences.append(f"Raised from {_many(asked, 'epoch')} by {key}.min_steps={fewest}.")
    elif whole < asked:
        sentences.append(f"Cut from {_many(asked, 'epoch')} by training.max_steps={most}.")
    shorter = max(1, round(REFIT_SHARE * whole)) if refit else whole
    if refit:
        sentences.append(f"A fifth of the {_many(whole, 'epoch')} before, as it goes on with a trained encoder.")
    if schedule.epochs < shorter:
        sentences.append(f"Stopped after {_many(schedule.epochs, 'epoch')} of {shorter:,}.")
    return sentences


def _many(count: int, noun: str) -> str:
    plural = "" if count == 1 else "es" if noun.endswith("ch") and noun != "epoch" else "s"
    return f"{count:,} {noun}{plural}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
