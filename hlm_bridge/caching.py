"""Gradient caching over several sets of vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from ramen.training.gradient_cache import cached_parts

Forward = Callable[[slice], torch.Tensor]


def backward(
    encoders: Sequence[tuple[Forward, int]],
    loss: Callable[..., torch.Tensor],
    chunk: int,
) -> torch.Tensor:
    """Backpropagate a loss over several sets of vectors, with the activations of one chunk in memory at a time.

    See :mod:`ramen.training.gradient_cache`.

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
    vectors, replays = [], []
    for encode, count in encoders:
        slices = [slice(at, min(at + chunk, count)) for at in range(0, count, chunk)]
        parts, replay = cached_parts([partial(encode, part) for part in slices])
        vectors.append(torch.cat(parts))
        replays.append(replay)
    value = loss(*vectors)
    value.backward()
    for replay in replays:
        replay()
    return value.detach()
