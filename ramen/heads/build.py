"""The head that the settings name."""

from __future__ import annotations

import torch

from ramen.config import HeadConfig
from ramen.heads.base import Head
from ramen.heads.dense import DenseHead


def make_head(start: torch.Tensor, settings: HeadConfig) -> Head:
    """An untrained head.

    Args:
        start: float32 (L, d), label vectors that it starts from.
        settings: kind and size.
    """
    return DenseHead(start, settings.temperature, settings.chunk)
