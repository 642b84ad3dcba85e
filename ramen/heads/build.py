"""The head that the settings name."""

from __future__ import annotations

from functools import partial

import torch

from ramen import distributed
from ramen.config import HeadConfig
from ramen.errors import InputError
from ramen.heads.base import Head
from ramen.heads.dense import DenseHead
from ramen.heads.sharded import ShardedHead
from ramen.heads.shortlist import ShortlistHead

_A_POINT = 200  # labels of a point's list, about


def make_head(start: torch.Tensor, settings: HeadConfig, seed: int = 0) -> Head:
    """An untrained head; where a run has several ranks, of this one's labels.

    Args:
        start: float32 (L, d), label vectors that it starts from.
        settings: kind and size.
        seed: of the rounding of bfloat16.

    Raises:
        InputError: settings that do not go together.
    """
    check_head(settings)
    make = partial(_make, settings=settings, seed=seed)
    if distributed.world_size() == 1:
        return make(start)
    return ShardedHead(start, make)


def _make(start: torch.Tensor, settings: HeadConfig, seed: int) -> DenseHead | ShortlistHead:
    if settings.kind == "shortlist":
        return ShortlistHead(start, settings.temperature, settings.loss)
    return DenseHead(start, settings.temperature, settings.chunk, settings.precision, settings.loss, seed)


def check_head(settings: HeadConfig) -> None:
    """Refuse settings that do not go together."""
    if settings.precision != "fp32" and settings.kind != "dense":
        raise InputError(f"head.precision={settings.precision}: only head.kind=dense has it, found {settings.kind}")


def head_memory(labels: int, dim: int, settings: HeadConfig) -> int:
    """Bytes that training the head takes at its peak, before anything is allocated."""
    if settings.kind == "shortlist":
        return ShortlistHead.memory(labels, dim, settings.batch_size, _A_POINT)
    return DenseHead.memory(labels, dim, settings.batch_size, settings.chunk, settings.precision)
