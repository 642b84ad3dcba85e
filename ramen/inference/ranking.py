"""Rank labels for query vectors: head, encoder and neighbours, summed with the weights that validation chose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import scipy.sparse as sp

_BLOCK_ENTRIES = 1 << 24  # scores of one block: 64 MB


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows such that a rows x columns block of scores stays small."""
    size = max(1, _BLOCK_ENTRIES // max(1, columns))
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def top(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of each row's k highest scores, highest first; of equal ones the smaller column first."""
    columns = np.argpartition(-scores, k - 1, axis=1)[:, :k] if k < scores.shape[1] else _all_columns(scores)
    lowest = np.take_along_axis(scores, columns, axis=1).min(axis=1, keepdims=True)
    for row in np.flatnonzero(
        np.count_nonzero(scores >= lowest, axis=1) > k
    ):  # argpartition takes any of the equal ones
        above, level = np.flatnonzero(scores[row] > lowest[row]), np.flatnonzero(scores[row] == lowest[row])
        columns[row] = np.concatenate([above, level[: k - len(above)]])
    columns.sort(axis=1)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)


def _all_columns(scores: np.ndarray) -> np.ndarray:
    return np.tile(np.arange(scores.shape[1]), (len(scores), 1))


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

    def __init__(self, vectors: np.ndarray, targets: sp.csr_matrix, k: int) -> None:
        self.vectors, self.targets, self.k = vectors, targets, min(k, len(vectors))

    def nearest(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and rows of the k nearest points, (B, k) each, best first, exact."""
        parts = [top(queries[part] @ self.vectors.T, self.k) for part in blocks(len(queries), len(self.vectors))]
        return np.concatenate([values for _, values in parts]), np.concatenate([rows for rows, _ in parts])

    def votes(self, cosines: np.ndarray, rows: np.ndarray, temperature: float) -> sp.csr_matrix:
        """Votes for labels, CSR (B, L): the softmax of cosine / temperature, summed over points with the label."""
        shares = np.exp((cosines - cosines[:, :1]) / temperature)
        shares /= shares.sum(1, keepdims=True)
        indptr = np.arange(0, shares.size + 1, self.k)
        shape = (len(shares), len(self.vectors))
        return (sp.csr_matrix((shares.ravel(), rows.ravel(), indptr), shape=shape) @ self.targets).tocsr()


class Ranker:
    """Top labels of query vectors.

    Args:
        head: float32 (L, d), the head's vectors.
        labels: float32 (L, d), the encoder's label vectors.
        neighbours: see :class:`Neighbours`.
        fusion: the weights.
    """

    def __init__(self, head: np.ndarray, labels: np.ndarray, neighbours: Neighbours, fusion: Fusion) -> None:
        # Both products are with the same query: one matrix does for the two.
        self.matrix = np.float32(fusion.head) * head + np.float32(fusion.encoder) * labels
        self.neighbours = neighbours
        self.fusion = fusion

    def rank(self, queries: np.ndarray, k: int, filtered: sp.csr_matrix | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Labels (int64) and scores (float32) of each query, best first, (B, min(k, L)) each.

        Args:
            queries: float32 (B, d), unit vectors.
            k: labels a query.
            filtered: CSR (B, L) of labels to leave out; they rank last with a score of -inf.
        """
        k = min(k, len(self.matrix))
        indices, values = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        for part in blocks(len(queries), len(self.matrix)):
            scores = queries[part] @ self.matrix.T
            if self.fusion.neighbours:
                votes = self.neighbours.votes(*self.neighbours.nearest(queries[part]), self.fusion.temperature).tocoo()
                scores[votes.row, votes.col] += self.fusion.neighbours * votes.data
            if filtered is not None:
                out = filtered[part].tocoo()
                scores[out.row, out.col] = -np.inf
            indices[part], values[part] = top(scores, k)
        return indices, values
