"""The training loop of encoders: a step function gives the loss of each batch, the loop does all else.

A step is known by its number alone, counted from 0 over all epochs. Whatever it draws comes from :func:`step_rng`, so
that a resumed run has the batches of one that was never stopped, and no state of a generator has to be kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ramen import distributed
from ramen.losses import check_loss
from ramen.training.checkpoint import Checkpoint
from ramen.training.optimiser import Optimiser, Schedule

_SUM = "sum."  # before the names of the sums that a checkpoint keeps

Step = Callable[[int], tuple[torch.Tensor, Mapping[str, float]]]


class Stateful(Protocol):
    """What a step has besides the model and the optimiser, such as mined negatives."""

    def state(self) -> dict[str, np.ndarray]:
        """Arrays that a resumed run goes on from."""
        ...

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from such arrays; empty where nothing was kept."""
        ...


@dataclass(frozen=True)
class Stage:
    """How a training is named, seeded and logged.

    Attributes:
        name: for the progress bar, the log and errors.
        seed: of dropout.
        log: called with ``stage``, ``step`` (steps done), means of the loss and of the step's figures, ``seconds``.
        log_every: steps between lines; the last step has one, too.
        lr_setting: setting that the error of a diverging loss names; ``<name>.lr`` unless given.
    """

    name: str
    seed: int
    log: Callable[..., None]
    log_every: int
    lr_setting: str = ""


def step_rng(seed: int, use: int, epoch: int, batch: int = 0) -> np.random.Generator:
    """The random generator of one use in one batch of an epoch; other uses and batches have their own.

    Example:
        >>> bool(step_rng(0, 1, 2, 3).random() == step_rng(0, 1, 2, 3).random())
        True
    """
    return np.random.default_rng([seed, use, epoch, batch])


def run_steps(
    model: nn.Module,
    groups: list[dict[str, Any]],
    schedule: Schedule,
    step: Step,
    stage: Stage,
    checkpoint: Checkpoint | None,
    state: Stateful | None = None,
) -> None:
    """Train a model in place for the steps of a schedule, going on from a checkpoint, and leave it in ``eval()``.

    Args:
        model: in ``train()`` at every step; of several processes each has the same weights.
        groups: parameter groups for AdamW, each with ``params`` and ``lr``.
        schedule: steps, learning rate, accumulation and clipping.
        step: given a step's number, returns the loss and figures to log (``loss`` among them where another than the
            whole is to be logged). At an epoch's first number it may renew what the epoch is made of. A loss that
            requires no gradient says that the step has added its gradients itself.
        stage: how it is named, seeded and logged.
        checkpoint: where to go on from; kept every so often, only between updates, and after the last step.
        state: of the step, kept with the weights.

    Raises:
        WorkError: the loss is not finite, or the disk is full when the result is kept.
        InputError: the checkpoint is of another model.
    """
    optimiser = Optimiser(groups, schedule)
    first, stored = checkpoint.restore(model, optimiser.adam) if checkpoint else (0, {})
    if state and stored:
        state.restore(stored)
    sums = _Sums(stored)
    model.train()
    name, disable, numbers = stage.name, distributed.progress_disabled(), range(first, schedule.steps)
    for number in tqdm(numbers, name, schedule.steps, initial=first, unit="step", disable=disable, leave=False):
        start, last = time.perf_counter(), number + 1 == schedule.steps
        seed_dropout(stage.seed, number)
        loss, figures = step(number)
        epoch, batch = divmod(number, schedule.per_epoch)
        value = loss.item()
        check_loss(value, name, stage.lr_setting or f"{name}.lr", epoch, batch)
        optimiser.step(loss, number)
        if schedule.ends_epoch(number):
            distributed.sync_weights(model.parameters(), f"{name}, epoch {epoch + 1}")
        sums.add({"loss": value, **figures, "steps": 1, "seconds": time.perf_counter() - start})
        if (number + 1) % stage.log_every == 0 or last:
            stage.log(stage=name, step=number + 1, **sums.line())
        if checkpoint and (last or (checkpoint.due and not optimiser.waiting)):
            arrays = {**sums.state(), **(state.state() if state else {})}
            checkpoint.save(number + 1, model, optimiser.adam, arrays, last=last)
    model.eval()
    model.zero_grad(set_to_none=True)  # gives back as much memory as the model takes


class _Sums:
    """Sums of figures over the steps since the last line of the log."""

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        self._sums = {k.removeprefix(_SUM): float(v[0]) for k, v in state.items() if k.startswith(_SUM)}

    def add(self, figures: Mapping[str, float]) -> None:
        """Add a step's."""
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def line(self) -> dict[str, float]:
        """Means over the steps, and their seconds; the sums start anew."""
        sums, self._sums = self._sums, {}
        seconds, steps = sums.pop("seconds"), sums.pop("steps")
        return {**{name: value / steps for name, value in sums.items()}, "seconds": seconds}

    def state(self) -> dict[str, np.ndarray]:
        """Arrays for a checkpoint."""
        return {_SUM + name: np.array([value]) for name, value in self._sums.items()}


def seed_dropout(seed: int, number: int) -> None:
    """Seed torch's generator: by step, for resuming, and by rank, as each has other texts."""
    high, low = np.random.SeedSequence([seed, number, distributed.rank()]).generate_state(2)
    torch.manual_seed(int(high) << 31 | int(low) >> 1)
