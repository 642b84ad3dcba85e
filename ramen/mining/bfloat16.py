"""bfloat16 numbers as numpy and kernels see them: their bits, uint16, the upper halves of float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.extending import overload


def widened(bits: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return the float32 numbers that bits stand for.

    Args:
        bits: uint16.
        out: float32 of the same shape, to write them to; None makes one.

    Example:
        >>> widened(np.array([0x3F80, 0xC020], dtype=np.uint16))
        array([ 1. , -2.5], dtype=float32)
    """
    out = np.empty(bits.shape, dtype=np.float32) if out is None else out
    np.left_shift(bits, np.uint32(16), out=out.view(np.uint32))
    return out


def as_float32(value: Any) -> Any:  # noqa: ANN401 - a number of either kind
    """Return an element of a float32 array, or what an element of bits stands for; for kernels only."""
    raise NotImplementedError


@overload(as_float32, strict=False)  # strict would compare the annotations, which a lambda lacks
def _as_float32(value: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - numba's type of the element
    if isinstance(value, numba.types.Integer):
        return lambda value: np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)
    return lambda value: value
