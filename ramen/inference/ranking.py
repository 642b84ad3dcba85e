"""Rank labels for query vectors: head, encoder and neighbours, summed with the weights that validation chose."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import scipy.sparse as sp
import torch

_BLOCK_ENTRIES = 1 << 24  # scores of one block: 64 MB


@dataclass(frozen=True)
class Fusion:
    """score = head · (q·w_l) + encoder · (q·z_l) + neighbours · vote_l(q).

    Attributes:
        head, encoder, neighbours: weights of the three.
        temperature: of the softmax over neighbours' cosines.
    """

    head: float
    encoder: float
    neighbours: float
    temperature: float

    def as_dict(self) -> dict[str, float]:
        """For json."""
        return asdict(self)


class Neighbours:
    """The nearest training points vote for their labels.

    Args:
        vectors: float32 (N, d), unit vectors of training points.
        targets: CSR (N, L).
        k: points that vote.
    """

    def __init__(self, vectors: torch.Tensor, targets: sp.csr_matrix, k: int) -> None:
        self.vectors, self.targets, self.k = vectors, targets, min(k, len(vectors))

    def nearest(self, queries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and rows of the k nearest points, (B, k) each, exact."""
        rows_a_block = max(1, _BLOCK_ENTRIES // max(1, len(self.vectors)))
        parts = [(part @ self.vectors.T).topk(self.k, dim=1) for part in queries.split(rows_a_block)]
        return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])

    def votes(self, cosines: torch.Tensor, rows: torch.Tensor, temperature: float) -> sp.csr_matrix:
        """Votes for labels, CSR (B, L): the softmax of cosine / temperature, summed over points with the label."""
        shares = torch.softmax(cosines / temperature, dim=1).numpy()
        indptr = np.arange(0, shares.size + 1, self.k)
        shape = (len(shares), len(self.vectors))
        return (sp.csr_matrix((shares.ravel(), rows.numpy().ravel(), indptr), shape=shape) @ self.targets).tocsr()


class Ranker:
    """Top labels of query vectors.

    Args:
        head: float32 (L, d), the head's vectors.
        labels: float32 (L, d), the encoder's label vectors.
        neighbours: see :class:`Neighbours`.
        fusion: the weights.
    """

    def __init__(self, head: torch.Tensor, labels: torch.Tensor, neighbours: Neighbours, fusion: Fusion) -> None:
        # Both products are with the same query: one matrix does for the two.
        self.matrix = fusion.head * head + fusion.encoder * labels
        self.neighbours = neighbours
        self.fusion = fusion

    def rank(
        self, queries: torch.Tensor, k: int, filtered: sp.csr_matrix | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels (int64) and scores (float32) of each query, best first, (B, min(k, L)) each.

        Args:
            queries: float32 (B, d), unit vectors.
            k: labels a query.
            filtered: CSR (B, L) of labels to leave out; they rank last with a score of -inf.
        """
        k = min(k, len(self.matrix))
        rows_a_block = max(1, _BLOCK_ENTRIES // max(1, len(self.matrix)))
        indices, values = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        for start in range(0, len(queries), rows_a_block):
            part = slice(start, min(start + rows_a_block, len(queries)))
            scores = queries[part] @ self.matrix.T
            if self.fusion.neighbours:
                votes = self.neighbours.votes(*self.neighbours.nearest(queries[part]), self.fusion.temperature).tocoo()
                scores[votes.row, votes.col] += self.fusion.neighbours * torch.from_numpy(votes.data)
            if filtered is not None:
                out = filtered[part].tocoo()
                scores[out.row, out.col] = -torch.inf
            top = scores.topk(k, dim=1)
            indices[part], values[part] = top.indices.numpy(), top.values.numpy()
        return indices, values
