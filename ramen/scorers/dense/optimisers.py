"""Adam for rows of weights: all in float32, or weights and both moments in bfloat16 with stochastic rounding.

bfloat16 has eight bits: a step of less than 1/256 of a weight is lost when the sum is rounded to the nearest, and
training stalls; so does the second moment, which moves by a thousandth. Of the two remedies Kahan sums keep what was
lost in a second bfloat16, which is the memory of float32 again; stochastic rounding (up with the probability of what is
cut off) keeps it on average and needs none, so it is used. The first moment moves by a tenth and is rounded to the
nearest. A label then takes 6 d + 4 bytes where it takes 12 d + 4 in float32.
"""

from __future__ import annotations

from typing import Protocol

import torch

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8
ROWS, GPU_ROWS = 8_192, 65_536  # widened to float32 at once
State = tuple[torch.Tensor, ...]


class Optimiser(Protocol):
    """What classifiers need of their optimiser; ``weights`` and ``state`` are of the rows that move."""

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


class BFloat16Adam:
    """:class:`Adam` with weights and moments in bfloat16, some rows at a time: float32 is never whole in memory.

    Args:
        seed: of the rounding.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.calls = seed, 0

    def start(self, weights: torch.Tensor) -> State:
        """See :class:`Optimiser`."""
        return torch.zeros_like(weights), torch.zeros_like(weights)

    def step(self, weights: torch.Tensor, state: State, steps: torch.Tensor, gradient: torch.Tensor, lr: float) -> None:
        """See :class:`Optimiser`."""
        rows = GPU_ROWS if weights.is_cuda else ROWS
        for start in range(0, len(weights), rows):
            part = slice(start, start + rows)
            self.calls += 1
            self._step(weights[part], state[0][part], state[1][part], steps[part], gradient[part], lr)

    def _step(
        self, weights: torch.Tensor, first: torch.Tensor, second: torch.Tensor, steps: torch.Tensor,
        gradient: torch.Tensor, lr: float,
    ) -> None:  # fmt: skip
        moment = first.float().mul_(_BETA1).add_(gradient, alpha=1 - _BETA1)
        square = second.float().mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
        denominator = torch.sqrt(square, out=gradient).mul_((1 - _BETA2**steps) ** -0.5).add_(_EPS)
        first.copy_(moment)
        moved = moment.div_(denominator).mul_(-lr / (1 - _BETA1**steps)).add_(weights)
        # One draw for both: whether a weight and its second moment are rounded up together is of no account.
        noise = random_bits(moved, self.seed * 1_000_003 + self.calls)
        weights.copy_(stochastic_round(moved, noise))
        second.copy_(stochastic_round(square, noise))


def random_bits(like: torch.Tensor, seed: int) -> torch.Tensor:
    """int32 of the shape of ``like``, sixteen random bits each; the same on any number of threads."""
    generator = torch.Generator(like.device).manual_seed(seed)
    words = torch.empty(-(-like.numel() // 2), dtype=torch.int32, device=like.device)
    words.random_(-(2**31), 2**31 - 1, generator=generator)  # two at a time
    halves = words.view(torch.int16)[: like.numel()].view(like.shape)
    return halves.to(torch.int32).bitwise_and_(0xFFFF)


def stochastic_round(values: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Values as bfloat16: up with the probability of what is cut off, so that the mean is kept.

    Args:
        values: float32, finite; overwritten.
        noise: int32 of that shape, 0 to 65,535 by chance.

    Example:
        >>> stochastic_round(torch.tensor([1.0, -2.5]), torch.tensor([7, 65535], dtype=torch.int32))
        tensor([ 1.0000, -2.5000], dtype=torch.bfloat16)
    """
    values.view(torch.int32).add_(noise).bitwise_and_(-65536)
    return values.to(torch.bfloat16)
