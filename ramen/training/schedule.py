"""How many steps a training has, which of them update the weights, and with what learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ramen.config import Config
from ramen.errors import InputError

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
    fewest, most = _bounds(config, points, uses_graphs)
    epochs = max(-(-fewest // per_epoch), settings.epochs)
    if most:
        epochs = min(epochs, max(1, most // per_epoch, -(-fewest // per_epoch)))
    if refit:
        epochs = max(1, round(REFIT_SHARE * epochs))
    if max_steps is not None:
        epochs = min(epochs, -(-max_steps // per_epoch))
    parts = {"accumulate": settings.accumulate, "clip": settings.clip, "scheduler": settings.scheduler}
    schedule = Schedule(epochs * per_epoch, per_epoch, weight_decay=settings.weight_decay, **parts)  # type: ignore[arg-type]
    return _warmed_up(schedule, settings.warmup_steps, shortened=refit or max_steps is not None)


def _bounds(config: Config, points: int, uses_graphs: bool) -> tuple[int, int]:
    """The fewest steps, and the most (0 for any number)."""
    longer = uses_graphs and batch_points(config, points) <= LONG_BATCH
    return max(config.training.min_steps, config.graph.min_steps if longer else 0), config.training.max_steps


def _warmed_up(schedule: Schedule, warmup: int, shortened: bool) -> Schedule:
    if warmup > schedule.updates and not shortened:
        raise InputError(
            f"training.warmup_steps={warmup:,}: expected at most the {schedule.updates:,} updates of this training"
        )
    if warmup < 0:
        warmup = _WARMUP
    return replaced(schedule, warmup=float(max(1, min(warmup, schedule.updates))))


def replaced(schedule: Schedule, **changes: Any) -> Schedule:
    """The schedule with other values."""
    return Schedule(**{**schedule.__dict__, **changes})
