"""Steps of the encoder's optimiser: warm-up and linear decay, accumulated batches, clipped gradients."""

from __future__ import annotations

import torch

from ramen import distributed
from ramen.config import Stage1Config
from ramen.encoders.base import Encoder

_WARMUP_STEPS = 20
_LAST_LR = 0.02  # share of the learning rate at the end of the linear decay


class Optimiser:
    """AdamW over an encoder for a known number of batches.

    Attributes:
        waiting: batches whose gradients the next update takes.

    Args:
        encoder: its parameter groups set the learning rates.
        settings: of stage 1.
        batches: in all epochs together.
    """

    def __init__(self, encoder: Encoder, settings: Stage1Config, batches: int) -> None:
        self.encoder, self.settings = encoder, settings
        self.adam = torch.optim.AdamW(encoder.parameter_groups(settings.lr), weight_decay=0.0, fused=True)
        self.updates = -(-batches // settings.accumulate)
        self.waiting = 0
        self._rates = [group["lr"] for group in self.adam.param_groups]
        for parameter in encoder.parameters():
            parameter.grad = torch.zeros_like(parameter)  # kept, so that sparse gradients are added into dense ones

    def step(self, value: torch.Tensor, number: int, last: bool) -> None:
        """Add a batch's gradient, and update where it is the last of those accumulated, or of the epoch.

        Args:
            value: the batch's loss.
            number: of the batch, from 0 over all epochs.
            last: of its epoch: a checkpoint keeps no half update.
        """
        accumulate = self.settings.accumulate
        (value / accumulate).backward()
        self.waiting += 1
        if self.waiting < accumulate and not last:
            return
        self.waiting = 0
        update = number // accumulate
        factor = min(1.0, (update + 1) / _WARMUP_STEPS) * max(_LAST_LR, 1 - update / self.updates)
        for group, rate in zip(self.adam.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        distributed.average_gradients(
            parameter.grad for parameter in self.encoder.parameters() if parameter.grad is not None
        )
        if self.settings.clip:
            torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), self.settings.clip)
        self.adam.step()
        self.adam.zero_grad(set_to_none=False)
