"""Matrix products of an encoder's training step, in bfloat16 where the processor has it."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ramen.encoders.precision import computes_bfloat16

_MULTIPLE = 64  # rows: oneDNN compiles code for each new shape, and keeps it


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return a bᵀ of matrices (n, d) and (m, d), float32, with gradients.

    On a CPU that has it bfloat16 multiplies two to three times as fast. It rounds the result to eight bits; sums are in
    float32. A GPU does as torch does.

    Example:
        >>> product(torch.eye(2), torch.tensor([[1.0, 2.0]])).tolist()
        [[1.0], [2.0]]
    """
    if a.device.type != "cpu" or a.dtype != torch.float32 or not computes_bfloat16(a.device):
        return a @ b.T
    return (_padded(a) @ _padded(b).T)[: len(a), : len(b)].float()


def _padded(rows: torch.Tensor) -> torch.Tensor:
    """In bfloat16, with rows of zeros up to a multiple of 64."""
    return F.pad(rows.to(torch.bfloat16), (0, 0, 0, -len(rows) % _MULTIPLE))
