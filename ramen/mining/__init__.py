"""Nearest neighbours and negative mining: numba kernels."""
