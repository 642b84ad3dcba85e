"""Batches of (query, label) pairs with hard negatives, for the two contrastive phases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from ramen.graph.side import block, sample_column
from ramen.mining.nearest import nearest


@dataclass
class Batch:
    """Pairs and what competes with them.

    Attributes:
        points: int64 (B,), rows of the queries.
        labels: int64 (B,), a right label of each.
        hard: int64 (H,), labels that are hard negatives of some of them, without repeats.
        known: bool (B, B), which of ``labels`` are no negatives of which point; the diagonal is among them.
        known_hard: bool (B, H), likewise of ``hard``.
    """

    points: np.ndarray
    labels: np.ndarray
    hard: np.ndarray
    known: torch.Tensor
    known_hard: torch.Tensor


class Pairs:
    """Draws batches; each number gives the same batch whatever was drawn before.

    Args:
        targets: CSR (N, L), right labels.
        known: CSR (N, L), right or filtered labels.
        rows: int64, points to draw from: those with a label.
        batch_size: pairs.
        per_point: hard negatives of each pair.
        seed: of the draws.
        most: pairs of an epoch, at most.
    """

    def __init__(
        self,
        targets: sp.csr_matrix,
        known: sp.csr_matrix,
        rows: np.ndarray,
        batch_size: int,
        per_point: int,
        seed: int,
        most: int | None = None,
    ) -> None:
        self.targets, self.known, self.per_point, self.seed = targets, known, per_point, seed
        self.rows = rows[np.diff(targets.indptr)[rows] > 0]
        self.size = min(batch_size, len(self.rows))
        self.per_epoch = max(1, min(most or len(self.rows), len(self.rows)) // self.size)
        self.wrong: sp.csr_matrix | None = None  # N x L, hard negatives of each point

    def mine(self, points: np.ndarray, labels: np.ndarray, k: int) -> None:
        """Renew the hard negatives: of each point its ``k`` nearest labels that are not known to be right.

        Args:
            points: float32 (len(rows), d), vectors of ``rows``.
            labels: float32 (L, d).
            k: how many.
        """
        own = self.known[self.rows]
        spare = int(np.diff(own.indptr).max(initial=0))
        found = nearest(points, labels, min(k + spare, len(labels)))[0]
        at = np.repeat(self.rows, found.shape[1])
        near = sp.csr_matrix((np.ones(found.size, np.float32), (at, found.ravel())), shape=self.known.shape)
        wrong = sp.csr_matrix(near - near.multiply(self.known > 0))
        wrong.eliminate_zeros()
        self.wrong = wrong

    def batch(self, number: int) -> Batch:
        """The batch of a step."""
        epoch, at = divmod(number, self.per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.rows)
        points = order[at * self.size : (at + 1) * self.size]
        rng = np.random.default_rng([self.seed, epoch, at])
        labels = sample_column(self.targets, points, rng)[1]
        hard = np.empty(0, dtype=np.int64)
        if self.wrong is not None and self.per_point:
            drawn = [sample_column(self.wrong, points, rng)[1] for _ in range(self.per_point)]
            hard = np.setdiff1d(np.concatenate(drawn), labels)
        unique, back = np.unique(labels, return_inverse=True)
        known = block(self.known, points, unique)[:, torch.from_numpy(back)]
        known |= torch.from_numpy(labels[:, None] == labels)  # a mirrored pair may be gone from the known ones
        return Batch(points, labels, hard, known, block(self.known, points, hard))

    def state(self) -> dict[str, np.ndarray]:
        """The hard negatives, for a checkpoint."""
        return {} if self.wrong is None else {"indptr": self.wrong.indptr, "indices": self.wrong.indices}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a checkpoint."""
        ones = np.ones(len(state["indices"]), dtype=np.float32)
        self.wrong = sp.csr_matrix((ones, state["indices"], state["indptr"]), shape=self.known.shape)
