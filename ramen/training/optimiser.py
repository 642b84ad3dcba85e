"""AdamW with a warm-up and a linear decay of the learning rate, accumulated batches and clipped gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ramen import distributed


@dataclass(frozen=True)
class Schedule:
    """How many steps there are, which of them update the weights, and with what learning rate.

    Attributes:
        steps: batches in all epochs together.
        per_epoch: batches in an epoch.
        warmup: updates over which the learning rate rises linearly.
        last_lr: share of the learning rate at the end of the linear decay.
        accumulate: batches whose mean gradient makes one update; an epoch's last update may have fewer.
        clip: maximum gradient norm; 0 for no clipping.
    """

    steps: int
    per_epoch: int
    warmup: float = 20.0
    last_lr: float = 0.02
    accumulate: int = 1
    clip: float = 0.0

    def factor(self, step: int) -> float:
        """Factor of the learning rate at a step, counted from 0.

        Example:
            >>> [Schedule(steps=4, per_epoch=4, warmup=2).factor(step) for step in range(4)]
            [0.5, 0.75, 0.5, 0.25]
        """
        update, updates = step // self.accumulate, -(-self.steps // self.accumulate)
        return min(1.0, (update + 1) / self.warmup) * max(self.last_lr, 1 - update / updates)

    def ends_epoch(self, step: int) -> bool:
        """Whether a step, counted from 0, is the last one of its epoch or of all."""
        return (step + 1) % self.per_epoch == 0 or step + 1 == self.steps


class Optimiser:
    """AdamW over parameter groups; parameters without ``requires_grad`` are left out.

    Args:
        groups: each with ``params`` and ``lr``.
        schedule: of the steps.

    Attributes:
        adam: the optimiser itself, for a checkpoint.
        waiting: batches whose gradients the next update takes.
    """

    def __init__(self, groups: list[dict[str, Any]], schedule: Schedule) -> None:
        trained = [{**group, "params": [p for p in group["params"] if p.requires_grad]} for group in groups]
        trained = [group for group in trained if group["params"]]
        self.adam = torch.optim.AdamW(trained, weight_decay=0.0, fused=True)
        self.schedule, self.waiting = schedule, 0
        self._rates = [group["lr"] for group in trained]
        self._parameters = [parameter for group in trained for parameter in group["params"]]
        for parameter in self._parameters:
            parameter.grad = torch.zeros_like(parameter)  # kept, so that sparse gradients are added into dense ones

    def step(self, loss: torch.Tensor, number: int) -> None:
        """Add a batch's gradient; update where it is the last of those accumulated, or of the epoch.

        Args:
            loss: of the batch; one that requires no gradient has added its gradients already.
            number: of the batch, from 0 over all epochs.
        """
        if loss.requires_grad:
            loss.backward()
        self.waiting += 1
        schedule = self.schedule
        if self.waiting < schedule.accumulate and not schedule.ends_epoch(number):
            return
        self.waiting = 0
        for group, rate in zip(self.adam.param_groups, self._rates, strict=True):
            group["lr"] = rate * schedule.factor(number)
        if schedule.accumulate > 1:
            for parameter in self._parameters:
                assert parameter.grad is not None
                parameter.grad.div_(schedule.accumulate)
        distributed.average_gradients(p.grad for p in self._parameters if p.grad is not None)
        if schedule.clip:
            torch.nn.utils.clip_grad_norm_(self._parameters, schedule.clip)
        self.adam.step()
        self.adam.zero_grad(set_to_none=False)
