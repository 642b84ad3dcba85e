"""Dense one-vs-all head: one fp32 vector per label, trained on every label, chunked so that memory stays bounded."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from ramen.heads.base import Head
from ramen.heads.rows import DenseRows

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8


class DenseHead(Head):
    """Scores q·w_l with a vector w_l per label, started from the label's embedding.

    The loss is the decoupled softmax over all labels (DEXML, ICLR 2024, eq. 4): each true label competes with every
    label that is neither true nor filtered. Gradients are written out, so no L x d gradient and no B x L matrix
    beyond one chunk is ever whole in memory; Adam runs chunk by chunk.

    Args:
        start: float32 (L, d), copied.
        temperature: of the scores in the loss.
        chunk: labels scored at once.

    Example:
        >>> head = DenseHead(torch.eye(3), temperature=0.1)
        >>> head.scores(torch.tensor([[1.0, 0.0, 0.0]])).argmax().item()
        0
    """

    def __init__(self, start: torch.Tensor, temperature: float = 0.05, chunk: int = 100_000) -> None:
        self.weights = start.clone()
        self.n_labels, self.dim = start.shape
        self.temperature = temperature
        self.chunk = chunk
        self._moments: tuple[torch.Tensor, torch.Tensor] | None = None
        self._buffers: dict[str, torch.Tensor] = {}
        self._steps = torch.zeros(len(start), 1)  # of each label: with a shortlist they differ

    @staticmethod
    def memory(labels: int, dim: int, batch_size: int, chunk: int) -> int:
        """Bytes that training takes: weights, two moments, and a chunk's scores and gradient."""
        return 4 * (3 * labels * dim + min(labels, chunk) * (batch_size + dim))

    def scores(self, queries: torch.Tensor) -> torch.Tensor:
        """float32 (B, L)."""
        return queries @ self.weights.T

    def fit_step(
        self,
        queries: torch.Tensor,
        targets: sp.csr_matrix,
        filtered: sp.csr_matrix | None,
        lr: float,
        shortlist: np.ndarray | None = None,
    ) -> float:
        """See :class:`Head`; Adam."""
        if not targets.nnz:
            return 0.0
        known = targets if filtered is None else (targets + filtered).tocsr()
        if self._moments is None:
            self._moments = (torch.zeros_like(self.weights), torch.zeros_like(self.weights))
        state = (self.weights, *self._moments, self._steps)
        if shortlist is None:
            return self._step(state, queries, targets, known, lr)
        rows = torch.from_numpy(shortlist)
        part = tuple(tensor[rows] for tensor in state)
        loss = self._step(part, queries, targets[:, shortlist], known[:, shortlist], lr)
        for tensor, moved in zip(state, part, strict=True):
            tensor[rows] = moved
        return loss

    def rows(self) -> DenseRows:
        """See :class:`Head`."""
        return DenseRows(self.weights.numpy())

    def state(self) -> dict[str, torch.Tensor]:
        """See :class:`Head`."""
        first, second = self._moments or (torch.empty(0), torch.empty(0))
        return {"weights": self.weights, "first": first, "second": second, "steps": self._steps}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """See :class:`Head`."""
        self.weights, self._steps = state["weights"], state["steps"]
        self._moments = (state["first"], state["second"]) if len(state["first"]) else None

    def _step(
        self, state: tuple[torch.Tensor, ...], queries: torch.Tensor, targets: sp.csr_matrix, known: sp.csr_matrix,
        lr: float,
    ) -> float:  # fmt: skip
        """Move the weights, moments and step counts of some labels in place."""
        weights, _, _, steps = state
        pairs = targets.tocoo()
        rows, columns = torch.from_numpy(pairs.row.astype(np.int64)), torch.from_numpy(pairs.col.astype(np.int64))
        bounds = list(range(0, len(weights), self.chunk))
        scaled = queries / self.temperature
        true_scores = (scaled[rows] * weights[columns]).sum(1)
        logsum = torch.full((len(queries),), -torch.inf)
        exponentials, highest, total = torch.empty(0), torch.empty(0), torch.empty(0)
        for start in bounds:
            exponentials = self._masked_scores(weights, scaled, known, start)
            highest = exponentials.amax(1)
            total = exponentials.sub_(highest[:, None]).exp_().sum(1)
            logsum = torch.logaddexp(logsum, highest + total.log())
        margins = logsum[rows] - true_scores
        pull = torch.sigmoid(margins)  # -d loss / d score of each true pair
        push = torch.zeros(len(queries)).index_add_(0, rows, pull)
        steps += 1
        for start in bounds:
            if len(bounds) > 1:  # one chunk's exponentials are still there
                exponentials = self._masked_scores(weights, scaled, known, start).sub_(logsum[:, None]).exp_()
                total = torch.ones(len(queries))
            gradient = exponentials.mul_((push / total)[:, None])
            inside = (columns >= start) & (columns < start + self.chunk)
            gradient[rows[inside], columns[inside] - start] = -pull[inside]
            step = self._buffer("step", gradient.shape[1], scaled.shape[1])
            self._adam(state, start, torch.mm(gradient.T, scaled / len(queries), out=step), lr)
        return float(F.softplus(margins).mean())

    def _masked_scores(
        self, weights: torch.Tensor, scaled: torch.Tensor, known: sp.csr_matrix, start: int
    ) -> torch.Tensor:
        part = weights[start : start + self.chunk]
        scores = torch.mm(scaled, part.T, out=self._buffer("scores", len(scaled), len(part)))
        inside = (known if scores.shape[1] == known.shape[1] else known[:, start : start + self.chunk]).tocoo()
        scores[torch.from_numpy(inside.row.astype(np.int64)), torch.from_numpy(inside.col.astype(np.int64))] = -1e9
        return scores

    def _buffer(self, name: str, rows: int, columns: int) -> torch.Tensor:
        """Memory kept from step to step: to be given hundreds of new megabytes costs as much as to fill them."""
        kept = self._buffers.get(name)
        if kept is None or kept.numel() < rows * columns:
            kept = self._buffers[name] = torch.empty(rows * columns)
        return kept[: rows * columns].view(rows, columns)

    @staticmethod
    def _adam(state: tuple[torch.Tensor, ...], start: int, gradient: torch.Tensor, lr: float) -> None:
        weights, first, second, steps = (tensor[start : start + len(gradient)] for tensor in state)
        first.mul_(_BETA1).add_(gradient, alpha=1 - _BETA1)
        second.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
        # gradient's memory takes the denominator
        denominator = torch.sqrt(second, out=gradient).mul_((1 - _BETA2**steps) ** -0.5).add_(_EPS)
        weights.sub_(torch.div(first, denominator, out=denominator).mul_(lr / (1 - _BETA1**steps)))
