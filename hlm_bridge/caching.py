"""Gradient caching: contrastive batches whose activations do not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

Forward = Callable[[slice], torch.Tensor]


def backward(
    encoders: Sequence[tuple[Forward, int]],
    loss: Callable[..., torch.Tensor],
    chunk: int,
) -> torch.Tensor:
    """Backpropagate a loss over several sets of vectors, with the activations of one chunk in memory at a time.

    Computes all vectors without gradients and differentiates the loss with respect to them. Then encodes each chunk
    again, with the same dropout, and backpropagates its part of that gradient. Source: Gao et al. 2021
    (arXiv 2101.06983).

    Args:
        encoders: for each set, a function from a slice to its vectors, and the number of vectors.
        loss: function of one float (n, d) tensor per set.
        chunk: vectors encoded at once; 0 encodes each set in one pass, without caching.

    Returns:
        The detached loss.
    """
    if not chunk:
        value = loss(*(encode(slice(0, count)) for encode, count in encoders))
        value.backward()
        return value.detach()
    parts = [[slice(at, min(at + chunk, count)) for at in range(0, count, chunk)] for _, count in encoders]
    states: list[list[torch.Tensor]] = []
    vectors = []
    with torch.no_grad():
        for (encode, _), slices in zip(encoders, parts, strict=True):
            states.append([])
            chunks = []
            for part in slices:
                states[-1].append(_random_state())
                chunks.append(encode(part))
            vectors.append(torch.cat(chunks).requires_grad_())
    value = loss(*vectors)
    value.backward()
    after = _random_state()
    for (encode, _), slices, of_set, whole in zip(encoders, parts, states, vectors, strict=True):
        for part, state in zip(slices, of_set, strict=True):
            _set_random_state(state)
            again = encode(part)
            if whole.grad is not None:
                (again * whole.grad[part]).sum().backward()
    _set_random_state(after)
    return value.detach()


def _random_state() -> torch.Tensor:
    if torch.cuda.is_available():
        return torch.cat([torch.get_rng_state(), torch.cuda.get_rng_state()])
    return torch.get_rng_state()


def _set_random_state(state: torch.Tensor) -> None:
    cpu_size = len(torch.get_rng_state())
    torch.set_rng_state(state[:cpu_size])
    if len(state) > cpu_size:
        torch.cuda.set_rng_state(state[cpu_size:])
