"""Whether a device computes bfloat16 natively: emulated, it is slower than float32."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
_CPUINFO = Path("/proc/cpuinfo")


@cache
def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware.

    Args:
        device: a CUDA device is asked through its driver, a CPU by the flags that Linux lists. Of other devices and
            systems nothing is known, and the answer is no.

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
