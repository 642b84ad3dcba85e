"""The training loop of encoders: a step function gives the loss of each batch, the loop does all else.

A step is known by its number alone, counted from 0 over all epochs. Whatever it draws comes from :func:`step_rng`, so
that a resumed run has the batches of one that was never stopped, and no state of a generator has to be kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from ramen import distributed
from ramen.checkpoint import Checkpoint
from ramen.losses import check_loss
from ramen.progress import progress
from ramen.training.optimiser import Optimiser
from ramen.training.schedule import Schedule

logger = logging.getLogger("ramen")

_SUM = "sum."  # before the names of the sums that a checkpoint keeps
_READ_EVERY = 50  # steps between two readings of what a GPU computed

Figure = float | torch.Tensor
Step = Callable[[int], tuple[torch.Tensor, Mapping[str, Figure]]]


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
    ends: Callable[[int, bool], bool] | None = None,
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
        ends: called after each step with the number of those done and whether it was the last; returns whether
            training ends with it.

    Raises:
        WorkError: the loss is not finite, or the disk is full when the result is kept.
        InputError: the checkpoint is of another model.
    """
    optimiser = Optimiser(groups, schedule)
    first, stored = checkpoint.restore(model, optimiser.adam) if checkpoint else (0, {})
    if state and stored:
        state.restore(stored)
    if first:
        logger.info("%s: goes on after step %s of %s", stage.name, f"{first:,}", f"{schedule.steps:,}")
    sums = _Sums(stored, stage, schedule)
    model.train()
    name, disable, numbers = stage.name, distributed.progress_disabled(), range(first, schedule.steps)
    for number in progress(numbers, desc=name, total=schedule.steps, initial=first, unit="step", disable=disable):
        seed_dropout(stage.seed, number)
        loss, figures = step(number)
        if loss.device.type == "cpu":
            sums.check(number, loss.item())  # before the weights move
        optimiser.step(loss, number)
        if schedule.ends_epoch(number):
            distributed.sync_weights(model.parameters(), f"{name}, epoch {schedule.epoch_of(number) + 1}")
        sums.add(number, loss.detach(), figures)
        last = number + 1 == schedule.steps
        last = (ends is not None and ends(number + 1, last)) or last
        if (number + 1) % stage.log_every == 0 or last:
            stage.log(stage=name, step=number + 1, **sums.line())
        if checkpoint and (last or (checkpoint.due and not optimiser.waiting)):
            sums.read()  # no weights are kept that a loss has spoilt
            arrays = {**sums.state(), **(state.state() if state else {})}
            done = schedule.steps if last else number + 1
            checkpoint.save(done, model, optimiser.adam, arrays, last=last)
        if last:
            break
    model.eval()
    model.zero_grad(set_to_none=True)  # gives back as much memory as the model takes


class _Sums:
    """Sums of figures over the steps since the last line of the log.

    Figures on a GPU are read some steps at a time: reading one makes the host wait for all that it depends on.
    """

    def __init__(self, state: Mapping[str, np.ndarray], stage: Stage, schedule: Schedule) -> None:
        self._sums = {k.removeprefix(_SUM): float(v[0]) for k, v in state.items() if k.startswith(_SUM)}
        self._stage, self._schedule = stage, schedule
        self._unread: list[tuple[int, torch.Tensor, Mapping[str, Figure]]] = []
        self._since = time.perf_counter()

    def add(self, number: int, loss: torch.Tensor, figures: Mapping[str, Figure]) -> None:
        """Add a step's."""
        self._unread.append((number, loss, {"loss": loss, **figures}))
        if loss.device.type == "cpu" or len(self._unread) >= _READ_EVERY:
            self.read()

    def read(self) -> None:
        """Add up what was not read yet.

        Raises:
            WorkError: a loss is not finite.
        """
        unread, self._unread = self._unread, []
        for (number, _, _), loss in zip(unread, _numbers([loss for _, loss, _ in unread]), strict=True):
            self.check(number, loss)
        names = unread[0][2] if unread else ()
        sums = {name: sum(_numbers([figures[name] for _, _, figures in unread])) for name in names}
        now = time.perf_counter()
        for name, value in {**sums, "steps": len(unread), "seconds": now - self._since}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._since = now

    def check(self, number: int, loss: float) -> None:
        """Raise a WorkError if the loss of a step is not finite."""
        epoch, batch = divmod(number, self._schedule.per_epoch)
        check_loss(loss, self._stage.name, self._stage.lr_setting or f"{self._stage.name}.lr", epoch, batch)

    def line(self) -> dict[str, float]:
        """Means over the steps, and their seconds; the sums start anew."""
        self.read()
        sums, self._sums = self._sums, {}
        seconds, steps = sums.pop("seconds"), sums.pop("steps")
        return {**{name: value / steps for name, value in sums.items()}, "seconds": seconds}

    def state(self) -> dict[str, np.ndarray]:
        """Arrays for a checkpoint."""
        return {_SUM + name: np.array([value]) for name, value in self._sums.items()}


def _numbers(column: list[Figure]) -> list[float]:
    """The values of a figure; those on a GPU are read together."""
    tensors = [value for value in column if isinstance(value, torch.Tensor)]
    if tensors and len(tensors) == len(column):
        return [float(value) for value in torch.stack(tensors).tolist()]
    return [float(value) for value in column]


def seed_dropout(seed: int, number: int) -> None:
    """Seed torch's generator: by step, for resuming, and by rank, as each has other texts."""
    high, low = np.random.SeedSequence([seed, number, distributed.rank()]).generate_state(2)
    torch.manual_seed(int(high) << 31 | int(low) >> 1)
