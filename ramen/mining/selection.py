"""Selection for kernels: the k largest of a stream of keys, each a score and its row in one int64.

A full buffer of 2 k keys is cut to its k largest. A key so costs a few steps on average, where a heap of k takes
log k for each that enters it; with hundreds of candidates that is most of a search over some ten thousand rows.
"""

from __future__ import annotations

import numpy as np

from ramen.compiled import kernel

_LAST_ROW = np.int64(0xFFFFFFFF)
_MINUS_ZERO = np.int64(-0x80000000)  # the bits of -0.0 as an int32


@kernel(inline="always")
def key_of(bits: int, row: int) -> np.int64:
    """Return a key that is larger for a higher score and, of equal scores, for the smaller row.

    Args:
        bits: of the score, a float32 that is no NaN, as an int32. 0.0 and -0.0 are equal.
        row: 0 to 2^32 - 1.
    """
    level = np.int64(bits)
    if level < 0:  # floats keep sign and magnitude: the bits of negative ones ascend as the score falls
        level = _MINUS_ZERO - level
    return (level << np.int64(32)) | (_LAST_ROW - np.int64(row))


@kernel(inline="always")
def score_of(key: np.int64) -> np.float32:
    """Return the score of a key, float32."""
    level = key >> np.int64(32)
    if level < 0:
        level = _MINUS_ZERO - level
    return np.int32(level).view(np.float32)


@kernel(inline="always")
def row_of(key: np.int64) -> np.int64:
    """Return the row of a key."""
    return _LAST_ROW - (key & _LAST_ROW)


@kernel
def keep_largest(keys: np.ndarray, size: int, k: int) -> int:
    """Move the k largest of the first ``size`` keys to the front, unordered (quickselect); return how many are left.

    Args:
        keys: int64, distinct ones.
        size: keys in use.
        k: at least 1.
    """
    first, last = np.int64(0), np.int64(size - 1)
    while size > k and first < last:
        one, two, three = keys[first], keys[(first + last) // 2], keys[last]
        pivot = max(min(one, two), min(max(one, two), three))
        left, right = first, last
        while left <= right:
            while keys[left] > pivot:
                left += 1
            while keys[right] < pivot:
                right -= 1
            if left <= right:
                keys[left], keys[right] = keys[right], keys[left]
                left, right = left + 1, right - 1
        if k - 1 <= right:  # the k-th largest lies among the large ones
            last = right
        elif k - 1 >= left:
            first = left
        else:
            break
    return min(size, k)
