"""Gradient caching: a contrastive batch larger than the activations that memory holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

Forward = Callable[[slice], torch.Tensor]


def backward(
    encoders: Sequence[tuple[Forward, int]],
    loss: Callable[..., torch.Tensor],
    chunk: int,
) -> torch.Tensor:
    """Add the gradients of a loss of several sets of vectors, keeping the activations of one chunk at a time.

    Vectors are computed without gradients, the loss is differentiated by the vectors, then each chunk is computed
    again, with the same dropout, and that gradient is led through it. Source: Gao et al. 2021 (arXiv 2101.06983).

    Args:
        encoders: for each set, what computes a slice of its vectors, and how many there are.
        loss: of one float (n, d) tensor per set.
        chunk: vectors computed at once; 0 for all of a set, in one pass without caching.

    Returns:
        The loss, without gradient.
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
            found = []
            for part in slices:
                states[-1].append(_random_state())
                found.append(encode(part))
            vectors.append(torch.cat(found).requires_grad_())
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
    own = len(torch.get_rng_state())
    torch.set_rng_state(state[:own])
    if len(state) > own:
        torch.cuda.set_rng_state(state[own:])
