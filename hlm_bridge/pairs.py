"""Batches of (query, label) pairs with hard negatives, for the two contrastive phases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from ramen.graph.bipartite import block, sample_column
from ramen.training.loop import step_rng
from ramen.training.negatives import MinedNegatives

_ORDER, _BATCH = range(2)  # uses of chance


@dataclass
class Batch:
    """Pairs and what competes with them.

    Attributes:
        points: int64 (B,), rows of the queries.
        labels: int64 (B,), a target of each.
        hard_negatives: int64 (H,), labels that are hard negatives of some of them, without repeats.
        not_negative: bool (B, B), which of ``labels`` are no negatives of which point; the diagonal is among them.
        not_negative_hard: bool (B, H), likewise of ``hard_negatives``.
    """

    points: np.ndarray
    labels: np.ndarray
    hard_negatives: np.ndarray
    not_negative: torch.Tensor
    not_negative_hard: torch.Tensor


class Pairs(MinedNegatives):
    """Draws batches; each number gives the same batch whatever was drawn before.

    Args:
        targets: CSR (N, L).
        not_negative: CSR (N, L), targets and filtered pairs.
        rows: int64, points to draw from: those with a target.
        batch_size: pairs.
        per_point: hard negatives of each pair, once :meth:`mine` has found some by the vectors of ``rows``.
        seed: of the draws.
        most: pairs of an epoch, at most.
    """

    def __init__(
        self,
        targets: sp.csr_matrix,
        not_negative: sp.csr_matrix,
        rows: np.ndarray,
        batch_size: int,
        per_point: int,
        seed: int,
        most: int | None = None,
    ) -> None:
        self.rows = rows[np.diff(targets.indptr)[rows] > 0]
        super().__init__(not_negative[self.rows])
        self.targets, self.per_point, self.seed = targets[self.rows], per_point, seed
        self.size = min(batch_size, len(self.rows))
        self.per_epoch = max(1, min(most or len(self.rows), len(self.rows)) // self.size)

    def batch(self, number: int) -> Batch:
        """The batch of a step."""
        epoch, at = divmod(number, self.per_epoch)
        order = step_rng(self.seed, _ORDER, epoch).permutation(len(self.rows))
        drawn = order[at * self.size : (at + 1) * self.size]
        rng = step_rng(self.seed, _BATCH, epoch, at)
        labels = sample_column(self.targets, drawn, rng)[1]
        hard = np.setdiff1d(self.draw(drawn, self.per_point, rng), labels)
        unique, back = np.unique(labels, return_inverse=True)
        not_negative = block(self.not_negative, drawn, unique)[:, torch.from_numpy(back)]
        not_negative |= torch.from_numpy(labels[:, None] == labels)  # a mirrored pair may be missing from them
        return Batch(self.rows[drawn], labels, hard, not_negative, block(self.not_negative, drawn, hard))
