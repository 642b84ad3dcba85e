"""Losses of the three phases: contrastive with false negatives masked, and four ways to align a student."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

_MASKED = -1e9


def contrastive(
    queries: torch.Tensor,
    documents: torch.Tensor,
    known: torch.Tensor,
    temperature: float,
    margin: float | None,
    hard: torch.Tensor | None = None,
    known_hard: torch.Tensor | None = None,
) -> torch.Tensor:
    """Qwen3-Embedding's contrastive loss over pairs (query i, document i), or plain InfoNCE.

    L = -mean_i log( e^{s(q_i,d_i)/τ} / Z_i ), Z_i = e^{s(q_i,d_i)/τ} + Σ m e^{s/τ}, the sum over s(q_i,d_j), s(q_i,q_j)
    and s(d_i,d_j) for j ≠ i, and s(q_i,h) for hard negatives h; m = 0 for a known pair and where
    s > s(q_i,d_i) + margin.
    Source: Qwen3 Embedding (arXiv 2506.05176), eq. 1. InfoNCE leaves out s(q_i,q_j), s(d_i,d_j) and the margin.

    Args:
        queries: float (B, d), unit vectors.
        documents: float (B, d), of each query's positive.
        known: bool (B, B), where document j is right for query i, the diagonal included.
        temperature: τ.
        margin: for the mask; None for InfoNCE.
        hard: float (H, d), documents that compete with every query's positive.
        known_hard: bool (B, H), where such a document is right for query i.

    Returns:
        Scalar.

    Example:
        >>> eye = torch.eye(2)
        >>> round(contrastive(eye, eye, eye > 0, 1.0, None).item(), 4)  # log(1 + e^-1)
        0.3133
    """
    positive = (queries * documents).sum(1, keepdim=True)
    scores, masks = [queries @ documents.T], [known]
    if margin is not None:
        scores += [queries @ queries.T, documents @ documents.T]
        masks += [known | known.T, known | known.T]
    if hard is not None and len(hard):
        scores.append(queries @ hard.T)
        masks.append(torch.zeros_like(scores[-1], dtype=torch.bool) if known_hard is None else known_hard)
    negatives, masked = torch.cat(scores, 1), torch.cat(masks, 1)
    if margin is not None:
        masked = masked | (negatives.detach() > positive.detach() + margin)
    rest = torch.logsumexp((negatives / temperature).masked_fill(masked, _MASKED), 1)
    return F.softplus(rest - positive[:, 0] / temperature).mean()


def alignment(
    student: torch.Tensor,
    teacher: torch.Tensor,
    kind: str,
    temperature: float = 0.05,
    nested: Sequence[int] = (),
) -> torch.Tensor:
    """How far a student's unit vectors are from the teacher's of the same texts.

    - ``l2``: mean ‖s - t‖², in [0, 4]; for unit vectors 2 - 2 cos, so ``cosine`` (1 - cos) is half of it.
    - ``kl``: Σ_j p_j log(p_j / q_j), p and q the softmax of t·t_j / τ and s·t_j / τ over the other texts of the batch.
    - ``kernel``: mean (s_i·s_j - t_i·t_j)² over i ≠ j: relative geometry alone.

    Source: HARNESS-LM (arXiv 2605.23572) names L2, KL and kernel alignment; the forms are ours.

    Args:
        student: float (B, d).
        teacher: float (B, d).
        kind: l2, cosine, kl or kernel.
        temperature: τ of ``kl``.
        nested: leading dimensions that are to be aligned by themselves, too (Matryoshka); the mean over all is taken.

    Example:
        >>> alignment(torch.eye(2), torch.eye(2).flip(0), "l2").item()
        2.0
    """
    dims = [student.shape[1], *(dim for dim in nested if dim < student.shape[1])]
    parts = [
        _aligned(F.normalize(student[:, :dim], dim=1), F.normalize(teacher[:, :dim], dim=1), kind, temperature)
        for dim in dims
    ]
    return torch.stack(parts).mean()


def _aligned(student: torch.Tensor, teacher: torch.Tensor, kind: str, temperature: float) -> torch.Tensor:
    if kind == "l2":
        return (student - teacher).square().sum(1).mean()
    if kind == "cosine":
        return 1 - (student * teacher).sum(1).mean()
    own = torch.eye(len(student), dtype=torch.bool, device=student.device)
    theirs = teacher @ teacher.T
    if kind == "kernel":
        return (student @ student.T - theirs).square().masked_fill(own, 0).sum() / max(1, len(own) * (len(own) - 1))
    wanted = torch.log_softmax((theirs / temperature).masked_fill(own, _MASKED), 1)
    found = torch.log_softmax((student @ teacher.T / temperature).masked_fill(own, _MASKED), 1)
    return F.kl_div(found, wanted, log_target=True, reduction="batchmean")
