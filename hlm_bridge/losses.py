"""Losses of the three phases: a contrastive loss with masked false negatives, and four alignment losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ramen.losses import MASKED, masked_softmax


def contrastive(
    queries: torch.Tensor,
    documents: torch.Tensor,
    not_negative: torch.Tensor,
    temperature: float,
    margin: float | None,
    hard_negatives: torch.Tensor | None = None,
    not_negative_hard: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return Qwen3-Embedding's contrastive loss over pairs (query i, document i), or plain InfoNCE.

    L = -mean_i log( e^{s(q_i,d_i)/τ} / Z_i ), Z_i = e^{s(q_i,d_i)/τ} + Σ m e^{s/τ}, the sum over s(q_i,d_j), s(q_i,q_j)
    and s(d_i,d_j) for j ≠ i, and s(q_i,h) for hard negatives h. m = 0 for a pair that is not a negative and where
    s > s(q_i,d_i) + margin. Computed by :func:`ramen.losses.masked_softmax`.
    Source: Qwen3 Embedding (arXiv 2506.05176), eq. 1. InfoNCE leaves out s(q_i,q_j), s(d_i,d_j) and the margin.

    Args:
        queries: float (B, d), unit vectors.
        documents: float (B, d), of each query's positive.
        not_negative: bool (B, B), True where document j is relevant to query i, the diagonal included.
        temperature: τ.
        margin: of the mask; None for InfoNCE.
        hard_negatives: float (H, d), documents that compete with every query's positive.
        not_negative_hard: bool (B, H), True where such a document is relevant to query i.

    Returns:
        Scalar.

    Example:
        >>> eye = torch.eye(2)
        >>> round(contrastive(eye, eye, eye > 0, 1.0, None).item(), 4)  # log(1 + e^-1)
        0.3133
    """
    scores, masks = [queries @ documents.T], [not_negative]
    if margin is not None:
        scores += [queries @ queries.T, documents @ documents.T]
        masks += [not_negative | not_negative.T] * 2
    if hard_negatives is not None and len(hard_negatives):
        scores.append(queries @ hard_negatives.T)
        masks.append(torch.zeros_like(scores[-1]) > 0 if not_negative_hard is None else not_negative_hard)
    candidates, masked = torch.cat(scores, 1), torch.cat(masks, 1)
    if margin is not None:
        masked = masked | (candidates.detach() > candidates.detach().diagonal()[:, None] + margin)
    targets = torch.zeros_like(masked)
    targets.fill_diagonal_(True)
    return masked_softmax(candidates, targets, masked, temperature)


def alignment(
    student: torch.Tensor,
    teacher: torch.Tensor,
    kind: str,
    temperature: float = 0.05,
    nested: Sequence[int] = (),
) -> torch.Tensor:
    """Return the distance of a student's unit vectors from the teacher's for the same texts.

    - ``l2``: mean ‖s - t‖², in [0, 4]; for unit vectors 2 - 2 cos, so ``cosine`` (1 - cos) is half of it.
    - ``kl``: Σ_j p_j log(p_j / q_j), p and q the softmax of t·t_j / τ and s·t_j / τ over the other texts of the batch.
    - ``kernel``: mean (s_i·s_j - t_i·t_j)² over i ≠ j, which compares relative geometry only.

    Source: HARNESS-LM (arXiv 2605.23572) names L2, KL and kernel alignment; the forms are ours.

    Args:
        student: float (B, d).
        teacher: float (B, d).
        kind: l2, cosine, kl or kernel.
        temperature: τ of ``kl``.
        nested: numbers of leading dimensions to align as well (Matryoshka); the loss is the mean over all.

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
    diagonal = torch.eye(len(student), dtype=torch.bool, device=student.device)
    similarities = teacher @ teacher.T
    if kind == "kernel":
        pairs = max(1, len(student) * (len(student) - 1))
        return (student @ student.T - similarities).square().masked_fill(diagonal, 0).sum() / pairs
    log_p = torch.log_softmax((similarities / temperature).masked_fill(diagonal, MASKED), 1)
    log_q = torch.log_softmax((student @ teacher.T / temperature).masked_fill(diagonal, MASKED), 1)
    return F.kl_div(log_q, log_p, log_target=True, reduction="batchmean")
