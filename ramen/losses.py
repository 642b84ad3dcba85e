"""Losses over a batch of queries and shared candidates, with other targets masked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
import torch.nn.functional as F

from ramen.errors import WorkError
from ramen.transfer import to_device

MASKED = -1e9  # score of masked candidates
_LOWEST = 0.025  # temperature: e^(-2 / 0.025) is still a float32
_HARDEST = 10  # negatives per row in the triplet loss
_HARDNESS = 0.1  # temperature of their weights


def masked_softmax(
    scores: torch.Tensor, targets: torch.Tensor, not_negative: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Decoupled softmax: each target competes with the negatives only, not with the other targets.

    loss(i, p) = -log( e^{s_ip/τ} / (e^{s_ip/τ} + Σ_{n negative} e^{s_in/τ}) ), the mean over all pairs (i, p).
    Source: DEXML (Gupta et al., ICLR 2024), eq. 4.

    Args:
        scores: float (B, C), cosines.
        targets: bool (B, C), the pairs to pull together.
        not_negative: bool (B, C), pairs that are no negatives: targets, other true pairs, filtered pairs.
        temperature: τ.

    Returns:
        Scalar; 0 without a target.

    Example:
        >>> eye = torch.eye(2)
        >>> round(masked_softmax(eye, eye > 0, eye > 0, 1.0).item(), 4)  # log(1 + e^-1)
        0.3133
    """
    scaled = scores / temperature
    negatives = torch.logsumexp(scaled.masked_fill(not_negative, MASKED), 1, keepdim=True)
    losses = F.softplus(negatives - scaled)
    return (losses * targets).sum() / targets.sum().clamp(min=1)


@dataclass(frozen=True)
class Pairs:
    """The right pairs of a batch's rows and columns, and those that are no negatives.

    The right ones are listed, as finding them in a matrix on a GPU would make the host wait.

    Attributes:
        rows: int64 (P,), of each right pair.
        columns: int64 (P,), likewise.
        not_negative: bool (B, C), the right pairs among them.

    Example:
        >>> Pairs.of(torch.eye(2, dtype=torch.bool)).columns
        tensor([0, 1])
    """

    rows: torch.Tensor
    columns: torch.Tensor
    not_negative: torch.Tensor

    @classmethod
    def of(cls, targets: torch.Tensor, not_negative: torch.Tensor | None = None) -> Self:
        """From matrices, bool (B, C); without the second every other pair is a negative."""
        rows, columns = targets.nonzero(as_tuple=True)
        return cls(rows, columns, targets if not_negative is None else not_negative)

    def to(self, device: torch.device) -> Pairs:
        """The same on a device; from pinned memory the copy is only asked for."""
        return Pairs(*(to_device(part, device) for part in (self.rows, self.columns, self.not_negative)))

    @property
    def T(self) -> Pairs:
        """The same with rows and columns exchanged."""
        return Pairs(self.columns, self.rows, self.not_negative.T)

    @property
    def targets(self) -> torch.Tensor:
        """The right pairs as a matrix, bool (B, C)."""
        targets = torch.zeros_like(self.not_negative)
        targets[self.rows, self.columns] = True
        return targets


def softmax_both_ways(scores: torch.Tensor, pairs: Pairs, temperature: float) -> torch.Tensor:
    """The mean of :func:`masked_softmax` of the scores and of their transpose, in a seventh of the passes over them.

    Both directions share the exponentials, as cosines are at most 1, and the gradient is written out.

    Args:
        scores: float (B, C), cosines.
        pairs: right ones, and those that are no negatives.
        temperature: τ, at least 0.025, or exponentials would underflow.

    Returns:
        Scalar; 0 without a right pair.

    Example:
        >>> eye = torch.eye(2)
        >>> round(softmax_both_ways(eye, Pairs.of(eye > 0), 1.0).item(), 4)
        0.3133
    """
    assert temperature >= _LOWEST
    parts = pairs.rows, pairs.columns, pairs.not_negative
    return cast(torch.Tensor, _SoftmaxBothWays.apply(scores, *parts, temperature))


class _SoftmaxBothWays(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, scores: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, not_negative: torch.Tensor,
        temperature: float,
    ) -> torch.Tensor:  # fmt: skip
        exps = torch.sub(scores.float(), 1.0).div_(temperature).exp_()
        of_targets = exps[rows, columns]
        exps.masked_fill_(not_negative, 0.0)
        by_row, by_column = exps.sum(1)[rows], exps.sum(0)[columns]
        ctx.scale = 0.5 / max(1, len(rows))
        ctx.temperature, ctx.dtype = temperature, scores.dtype
        ctx.save_for_backward(exps, rows, columns, of_targets, by_row, by_column)
        return (torch.log1p(by_row / of_targets) + torch.log1p(by_column / of_targets)).sum() * ctx.scale

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        exps, rows, columns, of_targets, by_row, by_column = ctx.saved_tensors
        scale = gradient * (ctx.scale / ctx.temperature)
        in_row, in_column = scale / (by_row + of_targets), scale / (by_column + of_targets)
        of_rows = exps.new_zeros(exps.shape[0]).index_add_(0, rows, in_row)
        of_columns = exps.new_zeros(exps.shape[1]).index_add_(0, columns, in_column)
        out = exps * of_rows[:, None]
        out.addcmul_(exps, of_columns[None, :])
        out[rows, columns] -= by_row * in_row + by_column * in_column
        return out.to(ctx.dtype), None, None, None, None


def triplet_both_ways(scores: torch.Tensor, pairs: Pairs, margin: float) -> torch.Tensor:
    """The mean of :func:`masked_triplet` of the scores and of their transpose; arguments as above, γ for τ."""
    targets, not_negative = pairs.targets, pairs.not_negative
    forth = masked_triplet(scores, targets, not_negative, margin)
    return (forth + masked_triplet(scores.T, targets.T, not_negative.T, margin)) / 2


def masked_triplet(
    scores: torch.Tensor, targets: torch.Tensor, not_negative: torch.Tensor, margin: float
) -> torch.Tensor:
    """Triplet hinge of a row's mean target against its hardest negatives, these weighted by hardness.

    loss(i) = Σ_n w_n [ s_in - s_ip + γ ]_+ over the ten highest negatives, w = softmax(s_in / 0.1), a constant.
    Source: RAMEN (WWW 2025), section 3, for the hinge; NGAME's public training code for weights and the ten.

    Args:
        scores: float (B, C), cosines.
        targets: bool (B, C), as for :func:`masked_softmax`.
        not_negative: bool (B, C), likewise.
        margin: γ.
    """
    has_target = targets.any(1)
    positive = (scores * targets).sum(1, keepdim=True) / targets.sum(1, keepdim=True).clamp(min=1)
    hardest = scores.masked_fill(not_negative, MASKED).topk(min(_HARDEST, scores.shape[1]), dim=1).values
    hinge = F.relu(hardest - positive + margin)
    of_rows = (hinge * torch.softmax(hardest.detach() / _HARDNESS, 1)).sum(1)
    return (of_rows * has_target).sum() / has_target.sum().clamp(min=1)


def check_loss(value: float, stage: str, lr_setting: str, epoch: int, batch: int) -> None:
    """Raise if the loss is not finite.

    Raises:
        WorkError: names the stage, the epoch and the batch, both counted from 1, and the setting of the learning rate.
    """
    if not math.isfinite(value):
        where = f"epoch {epoch + 1}, batch {batch + 1}"
        cause = f"the last checkpoint is kept; values of the data that are huge, or a large {lr_setting}, do this"
        raise WorkError(f"{stage}: the loss is {value} in {where}; {cause}")
