"""RAMEN's regulariser: rows of the batch are pulled to their anchors, away from the other anchors of the batch.

R_x = Σ_i Σ_{p linked, n not linked} [ E(x_i)·E(a_n) - E(x_i)·E(a_p) + γ ]_+, and R_z likewise for labels.
Source: RAMEN (WWW 2025 Companion, doi 10.1145/3701716.3715230), section 3. Nothing of it is left at inference.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch

from ramen.encoders.base import Encoder, Tokens

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def sample_column(matrix: sp.csr_matrix, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One random stored column for each row that has any.

    Returns:
        bool (len(rows),) which rows have one, and the int64 columns of those.
    """
    counts = matrix.indptr[rows + 1] - matrix.indptr[rows]
    has = counts > 0
    at = matrix.indptr[rows[has]] + (rng.random(int(has.sum())) * counts[has]).astype(np.int64)
    return has, matrix.indices[at].astype(np.int64)


def block(matrix: sp.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> torch.Tensor:
    """The stored entries among some rows and columns, bool (len(rows), len(columns))."""
    return torch.from_numpy(matrix[rows][:, columns].toarray() != 0)


def both_ways(
    loss: Loss, queries: torch.Tensor, keys: torch.Tensor, targets: torch.Tensor, known: torch.Tensor
) -> torch.Tensor:
    """Mean of the loss from queries to keys and from keys to queries."""
    scores = queries @ keys.T
    targets, known = targets.to(scores.device), known.to(scores.device)
    return (loss(scores, targets, known) + loss(scores.T, targets.T, known.T)) / 2


class GraphRegulariser:
    """λ_x R_x + λ_z R_z of one graph kind.

    Args:
        anchors: token ids of the anchors' texts.
        points: CSR, training points x anchors, or None.
        labels: CSR, labels x anchors, or None.
        lambda_x, lambda_z: weights of the two sides; a side of weight 0 is left out.
        loss: of (scores, targets, known).
    """

    def __init__(
        self,
        anchors: Tokens,
        points: sp.csr_matrix | None,
        labels: sp.csr_matrix | None,
        lambda_x: float,
        lambda_z: float,
        loss: Loss,
    ) -> None:
        self.anchors = anchors
        self.sides = [(points, lambda_x), (labels, lambda_z)]
        self.loss = loss

    def __call__(
        self,
        encoder: Encoder,
        rows: tuple[np.ndarray, np.ndarray],
        vectors: tuple[torch.Tensor, torch.Tensor],
        rng: np.random.Generator,
    ) -> tuple[torch.Tensor, int]:
        """The regulariser for the points and labels of a batch, and the number of anchors that it encoded.

        Args:
            encoder: encodes the batch's unique anchors, once for both sides.
            rows: int64 point rows and label rows of the batch.
            vectors: their unit vectors.
            rng: draws one anchor per row; rows without an anchor drop out.
        """
        drawn = [
            (matrix, weight, *sample_column(matrix, side_rows, rng), side_rows, side_vectors)
            for (matrix, weight), side_rows, side_vectors in zip(self.sides, rows, vectors, strict=True)
            if matrix is not None and weight > 0
        ]
        total = vectors[0].sum() * 0.0
        columns = np.unique(np.concatenate([np.empty(0, np.int64), *(picked for _, _, _, picked, _, _ in drawn)]))
        if len(columns) < 2:  # no negative among one anchor
            return total, 0
        keys = encoder(self.anchors, columns)
        for matrix, weight, has, _, side_rows, side_vectors in drawn:
            if has.any():
                linked = block(matrix, side_rows[has], columns)
                queries = side_vectors[torch.from_numpy(has).to(side_vectors.device)]
                total = total + weight * both_ways(self.loss, queries, keys, linked, linked)
        return total, len(columns)
