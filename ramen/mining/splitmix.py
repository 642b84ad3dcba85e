"""Counter-based random numbers for kernels (splitmix64), independent of the number of threads.

Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from __future__ import annotations

import numpy as np

from ramen.compiled import kernel

GOLDEN = 0x9E3779B97F4A7C15  # the step of the counter


@kernel(inline="always")
def mix(x: np.uint64) -> np.uint64:
    """Return a hash of 64 bits: states a step of ``GOLDEN`` apart become unrelated numbers."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
