"""The learning rate of the dense classifiers in each step."""

from __future__ import annotations

import math

from ramen.config import DenseConfig
from ramen.errors import InputError


class LearningRate:
    """Linear warm-up, then one of four schedules over all steps of ``dense.epochs``.

    Of T steps w are warm-up. The rate of step t, from 0, is ``lr`` times min(1, (t + 1) / w) times a factor: 1 with
    ``constant``; 0.5^epoch with ``halving``; 1 - p with ``linear``; (1 + cos(π p)) / 2 with ``cosine`` (SGDR, ICLR
    2017, eq. 5). Here p = (t - w) / (T - w), and 0 during the warm-up.

    Args:
        settings: with ``lr``, ``scheduler``, ``warmup_steps`` and ``epochs``.
        points: training points, which make the number of steps of an epoch with ``batch_size``.

    Raises:
        InputError: the warm-up is longer than training.

    Example:
        >>> rate = LearningRate(DenseConfig(epochs=2, batch_size=10, lr=1.0, scheduler="linear", warmup_steps=2), 20)
        >>> [rate(step) for step in range(4)]
        [0.5, 1.0, 1.0, 0.5]
    """

    def __init__(self, settings: DenseConfig, points: int) -> None:
        self.settings, self.per_epoch = settings, max(1, math.ceil(points / settings.batch_size))
        self.steps = settings.epochs * self.per_epoch
        if settings.epochs and settings.warmup_steps > self.steps:
            raise InputError(
                f"dense.warmup_steps={settings.warmup_steps:,}: expected at most the {self.steps:,} steps of "
                f"dense.epochs={settings.epochs}"
            )

    def __call__(self, step: int) -> float:
        """The learning rate of a step, counted from 0 over all epochs."""
        warmup, scheduler = self.settings.warmup_steps, self.settings.scheduler
        done = max(0, step - warmup) / max(1, self.steps - warmup)
        factor = {
            "halving": 0.5 ** (step // self.per_epoch),
            "linear": 1 - done,
            "cosine": (1 + math.cos(math.pi * done)) / 2,
            "constant": 1.0,
        }[scheduler]
        return self.settings.lr * factor * min(1.0, (step + 1) / max(1, warmup))
