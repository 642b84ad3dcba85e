"""One training loop for every phase: schedule, clipping, progress, checkpoints that a stopped phase goes on from."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ramen.training.checkpoint import Checkpoint

_WARMUP = 0.1  # of the steps, at most 50
_LAST_LR = 0.02
_CLIP = 1.0
_LINES = 10  # in the log


class Mined(Protocol):
    """Something that training renews as it goes."""

    def state(self) -> dict[str, np.ndarray]:
        """Arrays to keep."""
        ...

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from them."""
        ...


def fit(
    model: nn.Module,
    groups: list[dict[str, Any]],
    steps: int,
    step: Callable[[int], float],
    name: str,
    checkpoint: Path,
    log: Callable[..., None],
    mined: Mined | None = None,
) -> None:
    """AdamW over ``steps`` steps: warm-up, then linear decay; clipped to norm 1.

    A step draws from generators of its own number alone, so that a resumed phase has the batches of one that was never
    stopped.

    Args:
        model: trained in place, left in ``eval()``.
        groups: for the optimiser, each with ``params`` and ``lr``.
        steps: how many.
        step: given a number, adds the gradients of its batch and returns its loss.
        name: of the phase, for the progress bar and the log.
        checkpoint: file to go on from; removed by who saves the phase's result.
        log: called with ten lines of figures.
        mined: what else a resumed phase goes on from.
    """
    parameters = [parameter for group in groups for parameter in group["params"]]
    adam = torch.optim.AdamW(groups, weight_decay=0.0)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)  # kept, so that sparse gradients are added into dense ones
    rates = [group["lr"] for group in adam.param_groups]
    warmup = max(1.0, min(50.0, _WARMUP * steps))
    kept = Checkpoint(checkpoint)
    first, arrays = kept.restore(model, adam)
    if mined and arrays:
        mined.restore(arrays)
    model.train()
    total, counted, start = 0.0, 0, time.perf_counter()
    every = max(1, steps // _LINES)
    for number in tqdm(
        range(first, steps), desc=name, unit="step", initial=first, total=steps, disable=None, leave=False
    ):
        torch.manual_seed(number)  # dropout
        factor = min(1.0, (number + 1) / warmup) * max(_LAST_LR, 1 - number / steps)
        for group, rate in zip(adam.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        total += step(number)
        counted += 1
        torch.nn.utils.clip_grad_norm_(parameters, _CLIP)
        adam.step()
        adam.zero_grad(set_to_none=False)
        if (number + 1) % every == 0 or number + 1 == steps:
            log(stage=name, step=number + 1, loss=total / counted, seconds=time.perf_counter() - start)
            total, counted, start = 0.0, 0, time.perf_counter()
        kept.save(number + 1, model, adam, mined.state() if mined else None)
    model.eval()
    model.zero_grad(set_to_none=True)
