"""Adam for rows of weights: all in float32, or weights and both moments in bfloat16 with stochastic rounding.

bfloat16 has eight bits: a step of less than 1/256 of a weight is lost when the sum is rounded to the nearest, and
training stalls; so does the second moment, which moves by a thousandth. Of the two remedies Kahan sums keep what was
lost in a second bfloat16, which is the memory of float32 again; stochastic rounding (up with the probability of what is
cut off) keeps it on average and needs none, so it is used. The first moment moves by a tenth and is rounded to the
nearest. A label then takes 6 d + 4 bytes where it takes 12 d + 4 in float32.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Protocol, cast

import numpy as np
import torch

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8
ROWS, GPU_ROWS = 8_192, 65_536  # widened to float32 at once
State = tuple[torch.Tensor, ...]
_FusedUpdate = Callable[..., None]

logger = logging.getLogger("ramen")


class Optimiser(Protocol):
    """What classifiers need of their optimiser; ``weights`` and ``state`` are of the rows that move."""

    def start(self, weights: torch.Tensor) -> State:
        """State of untrained rows."""

    def step(self, weights: torch.Tensor, state: State, steps: torch.Tensor, gradient: torch.Tensor, lr: float) -> None:
        """Move rows in place; ``gradient``, float32, may be overwritten; ``steps`` (rows, 1) counts this one, too."""


class Adam:
    """Adam (Kingma & Ba, ICLR 2015) with the steps of each row counted by themselves.

    Args:
        weight_decay: λ; each step first multiplies the weights by 1 - lr λ (AdamW, Loshchilov & Hutter, ICLR 2019).
    """

    def __init__(self, weight_decay: float = 0.0) -> None:
        self.weight_decay = weight_decay

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
        if self.weight_decay:
            weights.mul_(1 - lr * self.weight_decay)
        weights.sub_(torch.div(first, denominator, out=denominator).mul_(lr / (1 - _BETA1**steps)))


class BFloat16Adam:
    """:class:`Adam` with weights and moments in bfloat16; float32 is never whole in memory.

    On a GPU one compiled kernel does a step, :func:`fused_update`. On a CPU, and where compiling fails, a step widens
    some rows at a time. The two draw different random bits.

    Args:
        seed: of the rounding.
        weight_decay: see :class:`Adam`.

    Attributes:
        fused: whether to try the compiled kernel on a GPU; set to False when compiling fails.
    """

    def __init__(self, seed: int = 0, weight_decay: float = 0.0) -> None:
        self.seed, self.calls, self.weight_decay = seed, 0, weight_decay
        self.fused, self._has_compiled = True, False

    def start(self, weights: torch.Tensor) -> State:
        """See :class:`Optimiser`."""
        return torch.zeros_like(weights), torch.zeros_like(weights)

    def step(self, weights: torch.Tensor, state: State, steps: torch.Tensor, gradient: torch.Tensor, lr: float) -> None:
        """See :class:`Optimiser`."""
        is_cuda = weights.device.type == "cuda"
        if is_cuda and self.fused and self._step_fused(weights, state, steps, gradient, lr):
            return
        rows = GPU_ROWS if is_cuda else ROWS
        for start in range(0, len(weights), rows):
            part = slice(start, start + rows)
            self.calls += 1
            self._step(weights[part], state[0][part], state[1][part], steps[part], gradient[part], lr)

    def _step_fused(
        self, weights: torch.Tensor, state: State, steps: torch.Tensor, gradient: torch.Tensor, lr: float
    ) -> bool:
        """Whether the compiled kernel has moved the rows; if compiling fails, nothing has moved."""
        self.calls += 1
        bits = np.random.SeedSequence([self.seed, self.calls]).generate_state(1).view(np.int32)
        # Scalars are tensors on the device: numbers would be compiled into the kernel, one for each learning rate.
        seed = torch.full((), int(bits[0]), dtype=torch.int32, device=weights.device)
        rate, decay = (torch.full((), value, device=weights.device) for value in (lr, 1 - lr * self.weight_decay))
        try:
            compiled_update()(weights, *state, steps, gradient, rate, decay, seed)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if self._has_compiled:
                raise
            self.fused = False
            _log_no_compiler(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
            return False
        self._has_compiled = True
        return True

    def _step(
        self, weights: torch.Tensor, first: torch.Tensor, second: torch.Tensor, steps: torch.Tensor,
        gradient: torch.Tensor, lr: float,
    ) -> None:  # fmt: skip
        moment = first.float().mul_(_BETA1).add_(gradient, alpha=1 - _BETA1)
        square = second.float().mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
        denominator = torch.sqrt(square, out=gradient).mul_((1 - _BETA2**steps) ** -0.5).add_(_EPS)
        first.copy_(moment)
        moved = moment.div_(denominator).mul_(-lr / (1 - _BETA1**steps))
        moved.add_(weights, alpha=1 - lr * self.weight_decay)
        # One draw for both: whether a weight and its second moment are rounded up together is of no account.
        noise = random_bits(moved, self.seed * 1_000_003 + self.calls)
        weights.copy_(stochastic_round(moved, noise))
        second.copy_(stochastic_round(square, noise))


def fused_update(
    weights: torch.Tensor, first: torch.Tensor, second: torch.Tensor, steps: torch.Tensor, gradient: torch.Tensor,
    lr: torch.Tensor, decay: torch.Tensor, seed: torch.Tensor,
) -> None:  # fmt: skip
    """A step of Adam in bfloat16, in place, written so that torch compiles it to one kernel.

    A compiled step reads and writes 16 bytes a weight: three bfloat16 numbers both ways, and the gradient. Random bits
    are computed from the position and the seed, not read.

    Args:
        weights: bfloat16 (R, d).
        first: bfloat16 (R, d), first moment.
        second: bfloat16 (R, d), second moment.
        steps: float32 (R, 1), steps of each row with this one.
        gradient: float32 (R, d), left as it is.
        lr: float32 scalar, learning rate.
        decay: float32 scalar, the weights are multiplied by it.
        seed: int32 scalar, another one for each call.

    Example:
        >>> weights, moments = torch.ones(1, 2).bfloat16(), torch.zeros(2, 1, 2).bfloat16()
        >>> scalars = torch.tensor(0.5), torch.tensor(1.0), torch.tensor(3, dtype=torch.int32)
        >>> fused_update(weights, *moments, torch.ones(1, 1), torch.tensor([[1.0, -1.0]]), *scalars)
        >>> weights.tolist()
        [[0.5, 1.5]]
    """
    moment = first.float() * _BETA1 + gradient * (1 - _BETA1)
    square = second.float() * _BETA2 + gradient * gradient * (1 - _BETA2)
    denominator = square.sqrt() * (1 - _BETA2**steps).rsqrt() + _EPS
    moved = weights.float() * decay - moment / denominator * (lr / (1 - _BETA1**steps))
    bits = hashed_bits(weights.shape[0], weights.shape[1], seed)
    first.copy_(moment)
    weights.copy_(_rounded(moved, bits & 0xFFFF))
    second.copy_(_rounded(square, (bits >> 16) & 0xFFFF))


def hashed_bits(rows: int, columns: int, seed: torch.Tensor) -> torch.Tensor:
    """int32 (rows, columns), 32 random bits each, from the position and the seed alone, on the seed's device.

    Source: the integer hash lowbias32 (Wellons, "Prospecting for Hash Functions", 2018).

    Args:
        rows: number of rows.
        columns: number of columns.
        seed: int32 scalar.

    Example:
        >>> hashed_bits(1, 2, torch.tensor(0, dtype=torch.int32)).tolist()
        [[0, 1753845952]]
    """
    row, column = (torch.arange(n, dtype=torch.int32, device=seed.device) for n in (rows, columns))
    bits = row[:, None] * columns + column + seed  # int32 wraps around
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * 0x7FEB352D  # a shift repeats the sign, which is masked
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * (0x846CA68B - 2**32)
    return bits ^ ((bits >> 16) & 0xFFFF)


@cache
def compiled_update() -> _FusedUpdate:
    """:func:`fused_update`, compiled at its first call."""
    return cast(_FusedUpdate, torch.compile(fused_update))


@cache
def _log_no_compiler(reason: str) -> None:
    logger.warning("dense.precision=bf16 trains more slowly: torch.compile failed (%s)", reason)


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


def _rounded(values: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """:func:`stochastic_round` that leaves the values as they are."""
    return ((values.view(torch.int32) + noise) & -65536).view(torch.float32).to(torch.bfloat16)
