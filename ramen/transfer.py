"""Copies of arrays to a GPU, and back, that the host does not wait for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch


def pinned(array: np.ndarray) -> torch.Tensor:
    """A tensor of an array; with a GPU in memory that the GPU reads by itself.

    Example:
        >>> pinned(np.arange(2))
        tensor([0, 1])
    """
    tensor = torch.from_numpy(array)
    return tensor.pin_memory() if torch.cuda.is_available() else tensor


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on a device; to a GPU through pinned memory, so that the copy is only asked for."""
    if device.type == "cuda" and tensor.device.type == "cpu" and torch.cuda.is_available() and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def on_the_way(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Ask for a copy on the host; what is returned waits for it alone, not for what the device is given to do later.

    Example:
        >>> on_the_way(torch.arange(2))()
        tensor([0, 1])
    """
    if tensor.device.type != "cuda":
        return tensor.cpu
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    done = torch.cuda.current_stream(tensor.device).record_event()

    def arrived() -> torch.Tensor:
        done.synchronize()
        return host

    return arrived
