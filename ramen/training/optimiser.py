"""AdamW on a schedule, with accumulated batches and clipped gradients."""

from __future__ import annotations

from typing import Any

import torch

from ramen import distributed
from ramen.training.schedule import Schedule


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
        trained = [part for group in groups for part in _by_decay(group, schedule.weight_decay) if part["params"]]
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


def _by_decay(group: dict[str, Any], decay: float) -> list[dict[str, Any]]:
    """The trained parameters of a group: matrices, which decay, and the others (biases, norms), which do not."""
    trained = [p for p in group["params"] if p.requires_grad]
    if not decay:
        return [{**group, "params": trained}]
    matrices, others = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
    return [{**group, "params": matrices, "weight_decay": decay}, {**group, "params": others}]
