"""Inverse propensities: weights that reward hits on rare labels."""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.metrics.ranking import binary_csr


def inverse_propensity(train_targets: sp.csr_matrix, A: float, B: float) -> np.ndarray:
    """Return 1 / propensity of every label from its training frequency (Jain et al., KDD 2016, eq. 2).

    ``1 + (ln N - 1) (B + 1)^A (n_l + B)^-A`` with N training rows, n_l of which carry label l. Usual constants:
    A 0.5, B 0.4 for Wikipedia; A 0.6, B 2.6 for Amazon; A 0.55, B 1.5 otherwise.

    Args:
        train_targets: sparse N x L of the **training** split. With fewer than 3 rows propensities would exceed 1;
            then all weights are 1.
        A: exponent, at least 0.
        B: offset, at least 0; with 0, a label that never occurs in training counts as one that occurs once.

    Returns:
        float64 (L,), each at least 1, larger for rarer labels.

    Raises:
        InputError: constants out of range.

    Example:
        >>> targets = sp.csr_matrix([[1, 0], [1, 0], [1, 1], [1, 0]])
        >>> inverse_propensity(targets, A=0.55, B=1.5).round(3)
        array([1.25 , 1.386])
    """
    if not (math.isfinite(A) and A >= 0):
        raise InputError(f"propensity constant A is {A}, expected a number of at least 0")
    if not (math.isfinite(B) and B >= 0):
        raise InputError(f"propensity constant B is {B}, expected a number of at least 0")
    binary = binary_csr(train_targets, "train_targets")
    n_rows, n_labels = binary.shape
    frequency = np.bincount(binary.indices, minlength=n_labels)
    if B == 0:
        frequency = np.maximum(frequency, 1)  # 0 to a negative power
    scale = max(0.0, math.log(max(n_rows, 1)) - 1.0)
    return 1.0 + scale * (B + 1.0) ** A * (frequency + B) ** -A
