"""Detects native bfloat16 support; emulated bfloat16 is slower than float32."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
_CPUINFO = Path("/proc/cpuinfo")


@cache
def computes_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 matrices in hardware.

    Args:
        device: CUDA devices are queried by the driver, CPUs by their Linux flags. Other devices and systems give
            False.

    Example:
        >>> computes_bfloat16(torch.device("meta"))
        False
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        try:
            return bool(_CPU_FLAGS & set(_CPUINFO.read_text().split()))
        except OSError:
            return False
    return False
