"""Gradient caching: contrastive batches whose activations do not fit into memory.

Vectors are computed without gradients, the loss is differentiated with respect to them, and each part is encoded again,
with the same dropout, to backpropagate its share. Source: Gao et al. 2021 (arXiv 2101.06983).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from ramen.encoders.base import Batch, Encoder


def cached_parts(calls: Sequence[Callable[[], torch.Tensor]]) -> tuple[list[torch.Tensor], Callable[[], None]]:
    """What each call returns, with the activations of one of them in memory at a time.

    Args:
        calls: each encodes some texts, with gradients where they are enabled.

    Returns:
        Tensors that collect gradients; and what hands these on to the weights, to be called after ``backward()``.

    Example:
        >>> weight = torch.ones(2, requires_grad=True)
        >>> (one,), replay = cached_parts([lambda: 3 * weight])
        >>> one.sum().backward(); replay()
        >>> weight.grad
        tensor([3., 3.])
    """
    states, vectors = [], []
    with torch.no_grad():
        for call in calls:
            states.append(_random_state())
            vectors.append(call())
    leaves = [part.detach().requires_grad_() for part in vectors]

    def replay() -> None:
        after = _random_state()
        for call, state, leaf in zip(calls, states, leaves, strict=True):
            if leaf.grad is not None:
                _set_random_state(state)
                (call() * leaf.grad).sum().backward()
        _set_random_state(after)

    return leaves, replay


def cached_vectors(encoder: Encoder, batch: Batch) -> tuple[torch.Tensor, Callable[[], None]]:
    """The vectors of a batch of several parts, as of :func:`cached_parts`."""
    parts, replay = cached_parts([partial(encoder.embed, part) for part in batch.parts])
    return encoder.gathered(batch, parts), replay


def _random_state() -> torch.Tensor:
    if torch.cuda.is_available():
        return torch.cat([torch.get_rng_state(), torch.cuda.get_rng_state()])
    return torch.get_rng_state()


def _set_random_state(state: torch.Tensor) -> None:
    cpu_size = len(torch.get_rng_state())
    torch.set_rng_state(state[:cpu_size])
    if len(state) > cpu_size:
        torch.cuda.set_rng_state(state[cpu_size:])
