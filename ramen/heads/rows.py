"""Weights of a one-vs-all head as scoring reads them and a run folder keeps them: numpy, no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ramen.errors import InputError
from ramen.mining.nearest import nearest, products

Arrays = Mapping[str, np.ndarray]


class LabelRows(ABC):
    """A row w_l per label.

    Attributes:
        n_labels: L.
        dim: d.
    """

    n_labels: int
    dim: int

    @abstractmethod
    def top(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels with the highest q · w_l, best first, of equal ones the smaller first.

        Args:
            queries: float32 (B, d).
            k: labels a query, at least 1.

        Returns:
            int64 labels and float32 products, (B, k) each; -1 and -inf where there are fewer than k labels.
        """

    @abstractmethod
    def products(self, queries: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Products q · w_l of given labels, float32 (B, C); 0 where ``labels``, int64 (B, C), is -1."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """What a file keeps; the names tell the kind of rows."""

    @classmethod
    @abstractmethod
    def of(cls, arrays: Arrays) -> LabelRows:
        """What :meth:`arrays` gave."""

    @property
    def nbytes(self) -> int:
        """Of the weights."""
        return sum(array.nbytes for array in self.arrays().values())


class DenseRows(LabelRows):
    """float32 (L, d)."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self.n_labels, self.dim = self.vectors.shape

    def top(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`LabelRows`."""
        return nearest(queries, self.vectors, k)

    def products(self, queries: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See :class:`LabelRows`."""
        return products(queries, self.vectors, labels)

    def arrays(self) -> dict[str, np.ndarray]:
        """See :class:`LabelRows`."""
        return {"vectors": self.vectors}

    @classmethod
    def of(cls, arrays: Arrays) -> DenseRows:
        """See :class:`LabelRows`."""
        return cls(arrays["vectors"])


KINDS: dict[str, type[LabelRows]] = {"vectors": DenseRows}
"""Kinds of rows by the name of an array that only they have."""


def rows_of(arrays: Arrays, path: Path) -> LabelRows:
    """The rows that a file keeps.

    Raises:
        InputError: arrays of no known kind.
    """
    for name, kind in KINDS.items():
        if name in arrays:
            return kind.of(arrays)
    raise InputError(
        f"{path}: found the arrays {', '.join(sorted(arrays)) or 'none'}, expected one of {', '.join(KINDS)}"
    )
