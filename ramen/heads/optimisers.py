"""Steps of a head's rows: Adam in float32, or one second moment a row and bfloat16 weights, rounded by chance.

Weights in bfloat16 have eight bits: a step of less than 1/256 of a weight is lost when the sum is rounded to the
nearest, and training stalls. Of the two remedies Kahan sums keep what was lost in a second bfloat16, which is the
memory of float32 again; stochastic rounding (up with the probability of what is cut off) keeps it on average and
needs none, so it is used. The second moment is one number a row, as all entries of a row see gradients of one size,
and there is no first: a label then takes 2 d + 8 bytes where it takes 12 d + 4 with Adam.
"""

from __future__ import annotations

from typing import Protocol

import torch

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8
State = tuple[torch.Tensor, ...]


class Optimiser(Protocol):
    """What a head asks of its optimiser; ``weights`` and ``state`` are of the rows that move."""

    def start(self, weights: torch.Tensor) -> State:
        """State of untrained rows."""

    def step(self, weights: torch.Tensor, state: State, steps: torch.Tensor, gradient: torch.Tensor, lr: float) -> None:
        """Move rows in place; ``gradient``, float32, may be overwritten; ``steps`` (rows, 1) counts this one, too."""


class Adam:
    """Adam (Kingma & Ba, ICLR 2015) with the steps of each row counted by themselves."""

    def start(self, weights: torch.Tensor) -> State:
        """See :class:`Optimiser`."""
        return torch.zeros_like(weights), torch.zeros_like(weights)

    def step(self, weights: torch.Tensor, state: State, steps: torch.Tensor, gradient: torch.Tensor, lr: float) -> None:
        """See :class:`Optimiser`."""
        first, second = state
        first.mul_(_BETA1).add_(gradient, alpha=1 - _BETA1)
        second.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
        # gradient's memory takes the denominator
        denominator = torch.sqrt(second, out=gradient).mul_((1 - _BETA2**steps) ** -0.5).add_(_EPS)
        weights.sub_(torch.div(first, denominator, out=denominator).mul_(lr / (1 - _BETA1**steps)))


class RowAdam:
    """One second moment a row; weights of any float type, bfloat16 rounded by chance.

    Args:
        seed: of the rounding.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.calls = seed, 0

    def start(self, weights: torch.Tensor) -> State:
        """See :class:`Optimiser`."""
        return (torch.zeros(len(weights), 1, device=weights.device),)

    def step(self, weights: torch.Tensor, state: State, steps: torch.Tensor, gradient: torch.Tensor, lr: float) -> None:
        """See :class:`Optimiser`."""
        (second,) = state
        second.mul_(_BETA2).add_(gradient.square().mean(1, keepdim=True), alpha=1 - _BETA2)
        moved = gradient.mul_(-lr / ((second / (1 - _BETA2**steps)).sqrt_() + _EPS)).add_(weights)
        if weights.dtype == torch.bfloat16:
            self.calls += 1
            weights.copy_(rounded_by_chance(moved, self.seed * 1_000_003 + self.calls))
        else:
            weights.copy_(moved)


def rounded_by_chance(values: torch.Tensor, seed: int) -> torch.Tensor:
    """Values as bfloat16: up with the probability of what is cut off, so that the mean is kept.

    Args:
        values: float32, finite; overwritten.
        seed: of the chance; the same on any number of threads.

    Example:
        >>> rounded_by_chance(torch.tensor([1.0, -2.5]), seed=0)
        tensor([ 1.0000, -2.5000], dtype=torch.bfloat16)
    """
    generator = torch.Generator(values.device).manual_seed(seed)
    bits = values.view(torch.int32)
    # Sixteen random bits for each of the sixteen that are cut off, drawn two at a time.
    words = -(-values.numel() // 2)
    noise = torch.empty(words, dtype=torch.int32, device=values.device).random_(
        -(2**31), 2**31 - 1, generator=generator
    )
    halves = noise.view(torch.int16)[: values.numel()].view(values.shape).to(torch.int32)
    bits.add_(halves.bitwise_and_(0xFFFF)).bitwise_and_(-65536)
    return values.to(torch.bfloat16)
