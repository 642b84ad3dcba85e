"""Scores by inner product with a vector per label: what the encoder's and the dense scorer share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from ramen.scorers.base import Arrays, Queries, Scorer, SearchSpace, TrainedScorer, save_tensors
from ramen.scorers.combined import ConcatenatedScorer
from ramen.scorers.dense.label_weights import Float32Weights, LabelWeights, read_weights
from ramen.stored import Tensors

_FILE, _MAP = "vectors.safetensors", "extension_map"
_PROPOSED, _RECALLED = 100, 10  # labels by which an index is timed, and by which it is judged
_SAMPLE = 20_000  # labels from which a map is fitted
_RIDGE = 0.01  # of the mean of the diagonal


class VectorScorer(TrainedScorer):
    """q · w_l.

    Args:
        weights: the w_l, or float32 (L, d).
        extension_map: float32 (d, d), which takes a vector of a new label to its w_l; None where no labels can be
            added.
        params: by which it was fitted.
    """

    def __init__(
        self, weights: LabelWeights | np.ndarray, extension_map: np.ndarray | None = None, params: Any = None
    ) -> None:
        self.weights = weights if isinstance(weights, LabelWeights) else Float32Weights(weights)
        self.extension_map, self.params = extension_map, params
        self.n_labels, self.dim = self.weights.n_labels, self.weights.dim

    def propose(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Scorer`."""
        cached = queries.cache.setdefault(self, {})
        if k not in cached:
            index, weights = self.index, self.weights
            cached[k] = index.top(queries.vectors, k, weights.products) if index else weights.top(queries.vectors, k)
        labels, scores = cached[k]
        return labels, scores

    def score(self, queries: Queries, labels: np.ndarray) -> np.ndarray:
        """See :class:`Scorer`."""
        return self.weights.products(queries.vectors, labels)

    def extended(self, parts: Sequence[Arrays], sizes: Sequence[int]) -> Scorer:
        """See :class:`TrainedScorer`."""
        return ConcatenatedScorer(self, type(self)(np.concatenate([part["vectors"] for part in parts])))

    def check_part(self, part: Tensors, size: int) -> None:
        """See :class:`TrainedScorer`."""
        part.array("vectors", ("f4", "f8"), (size, self.dim))

    def search_space(self) -> SearchSpace:
        """See :class:`TrainedScorer`."""
        weights = self.weights
        return SearchSpace(
            rows=weights.n_labels,
            dim=weights.dim,
            k=_PROPOSED,
            recall_k=_RECALLED,
            block=weights.block,
            top=weights.top,
            products=weights.products,
            samples=np.empty((0, weights.dim), dtype=np.float32),
        )

    def save(self, folder: Path) -> None:
        """See :class:`TrainedScorer`."""
        extension = {} if self.extension_map is None else {_MAP: self.extension_map}
        save_tensors(folder / _FILE, {**self.weights.arrays(), **extension})

    @classmethod
    def load(cls, folder: Path, full: bool = True) -> Self:
        """See :class:`TrainedScorer`."""
        stored = Tensors(folder / _FILE, full)
        weights = read_weights(stored)
        return cls(weights, stored.array(_MAP, "f4", (weights.dim, weights.dim)) if _MAP in stored else None)


def sampled_rows(n: int) -> np.ndarray:
    """Evenly spaced rows from which :func:`ridge_map` is fitted, int64."""
    return np.unique(np.linspace(0, n - 1, min(_SAMPLE, n)).astype(np.int64))


def ridge_map(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The matrix M that minimises |vectors M - rows|² + λ|M|², float32 (d, d): ridge regression.

    Args:
        vectors: float32 (n, d).
        rows: float32 (n, d).

    Example:
        >>> ridge_map(np.eye(2, dtype=np.float32), 2 * np.eye(2, dtype=np.float32)).round(1).tolist()
        [[2.0, 0.0], [0.0, 2.0]]
    """
    squares = vectors.T.astype(np.float64) @ vectors
    squares += _RIDGE * max(float(np.trace(squares)) / len(squares), 1e-12) * np.eye(len(squares))
    return np.linalg.solve(squares, vectors.T.astype(np.float64) @ rows).astype(np.float32)
