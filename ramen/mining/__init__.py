"""Who is a hard negative: numba kernels."""
