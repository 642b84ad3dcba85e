"""Align a teacher's label vectors with the encoder's space, for classifiers that start from them."""

from __future__ import annotations

import torch


def procrustes(teacher: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """The teacher's vectors turned so that they lie as near the encoder's own as a rotation allows.

    Training moves the encoder's space away from the teacher's, and a score across two spaces means nothing. Source:
    orthogonal Procrustes (Schönemann 1966): with U S V\u1d40 = teacher\u1d40 reference, the rotation is U V\u1d40.

    Args:
        teacher: float32 (L, d), to be turned.
        reference: float32 (L, d) of the same labels.

    Returns:
        float32 (L, d).

    Example:
        >>> swapped = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> torch.allclose(procrustes(swapped, torch.eye(2)), torch.eye(2), atol=1e-6)
        True
    """
    u, _, vt = torch.linalg.svd(teacher.T @ reference)
    return teacher @ (u @ vt)
