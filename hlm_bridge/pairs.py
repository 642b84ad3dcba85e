"""Sampling of batches of (query, label) pairs with hard negatives, for the two contrastive phases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from ramen.graph.bipartite import block, sample_column
from ramen.training.loop import step_rng
from ramen.training.negatives import MinedNegatives

_ORDER, _BATCH = range(2)  # streams of the RNG


@dataclass
class Batch:
    """A batch of pairs and their negatives.

    Attributes:
        points: int64 (B,), rows of the queries.
        labels: int64 (B,), one target of each point.
        hard_negatives: int64 (H,), hard negatives of any of the points, distinct.
        not_negative: bool (B, B), True where a label of ``labels`` is not a negative of the point, as on the diagonal.
        not_negative_hard: bool (B, H), likewise for ``hard_negatives``.
    """

    points: np.ndarray
    labels: np.ndarray
    hard_negatives: np.ndarray
    not_negative: torch.Tensor
    not_negative_hard: torch.Tensor


class Pairs(MinedNegatives):
    """Samples batches; a step always gets the same batch, whatever was sampled before.

    Args:
        targets: CSR (N, L).
        not_negative: CSR (N, L), targets and filtered pairs.
        rows: int64, points to sample from; those without a target are skipped.
        batch_size: pairs in a batch.
        per_point: hard negatives per pair, after :meth:`mine` was called with the vectors of ``rows``.
        seed: of the sampling.
        most: maximum number of pairs in an epoch.
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
        """Return the batch of a step."""
        epoch, at = divmod(number, self.per_epoch)
        order = step_rng(self.seed, _ORDER, epoch).permutation(len(self.rows))
        drawn = order[at * self.size : (at + 1) * self.size]
        rng = step_rng(self.seed, _BATCH, epoch, at)
        labels = sample_column(self.targets, drawn, rng)[1]
        hard_negatives = np.setdiff1d(self.draw(drawn, self.per_point, rng), labels)
        unique, inverse = np.unique(labels, return_inverse=True)
        not_negative = block(self.not_negative, drawn, unique)[:, torch.from_numpy(inverse)]
        not_negative |= torch.from_numpy(labels[:, None] == labels)  # a mirrored pair may be missing there
        not_negative_hard = block(self.not_negative, drawn, hard_negatives)
        return Batch(self.rows[drawn], labels, hard_negatives, not_negative, not_negative_hard)
