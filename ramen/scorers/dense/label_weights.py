"""Weights of one-vs-all classifiers as scoring reads and a run folder stores them: numpy, no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ramen.errors import InputError
from ramen.mining.bfloat16 import widened
from ramen.mining.nearest import nearest, products
from ramen.stored import Tensors

Arrays = Mapping[str, np.ndarray]


class LabelWeights(ABC):
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
    def block(self, first: int, last: int) -> np.ndarray:
        """The rows first to last, float32 (last - first, d)."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """What a file keeps; the names tell the kind of rows."""

    @classmethod
    @abstractmethod
    def of(cls, arrays: Arrays) -> LabelWeights:
        """What :meth:`arrays` gave."""

    def whole(self) -> LabelWeights:
        """The rows of all labels, where ranks of a run have a part each; else these."""
        return self

    @property
    def nbytes(self) -> int:
        """Of the weights."""
        return sum(array.nbytes for array in self.arrays().values())


class Float32Weights(LabelWeights):
    """float32 (L, d)."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self.n_labels, self.dim = self.vectors.shape

    def top(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`LabelWeights`."""
        return nearest(queries, self.vectors, k)

    def products(self, queries: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See :class:`LabelWeights`."""
        return products(queries, self.vectors, labels)

    def block(self, first: int, last: int) -> np.ndarray:
        """See :class:`LabelWeights`."""
        return self.vectors[first:last]

    def arrays(self) -> dict[str, np.ndarray]:
        """See :class:`LabelWeights`."""
        return {"vectors": self.vectors}

    @classmethod
    def of(cls, arrays: Arrays) -> Float32Weights:
        """See :class:`LabelWeights`."""
        return cls(arrays["vectors"])


class BFloat16Weights(LabelWeights):
    """bfloat16 (L, d), kept as its bits: half the memory; products in float32.

    Args:
        bits: uint16 (L, d), the upper halves of float32.
    """

    def __init__(self, bits: np.ndarray) -> None:
        self.bits = np.ascontiguousarray(bits, dtype=np.uint16)
        self.n_labels, self.dim = self.bits.shape

    def top(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`LabelWeights`; never widens more than a block of labels."""
        return nearest(queries, self.bits, k)

    def products(self, queries: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See :class:`LabelWeights`."""
        return products(queries, self.bits, labels)

    def block(self, first: int, last: int) -> np.ndarray:
        """See :class:`LabelWeights`."""
        return widened(self.bits[first:last])

    def arrays(self) -> dict[str, np.ndarray]:
        """See :class:`LabelWeights`."""
        return {"bf16": self.bits}

    @classmethod
    def of(cls, arrays: Arrays) -> BFloat16Weights:
        """See :class:`LabelWeights`."""
        return cls(arrays["bf16"])


def read_weights(stored: Tensors) -> LabelWeights:
    """The rows that a file keeps, checked.

    Raises:
        InputError: arrays of no known kind, of another type or shape, or with values that are not finite.
    """
    if "bf16" in stored:
        return BFloat16Weights(stored.bfloat16("bf16", (None, None)))
    return Float32Weights(stored.array("vectors", "f4", (None, None)))


def load_weights(arrays: Arrays, path: Path) -> LabelWeights:
    """The rows in arrays of a training.

    Raises:
        InputError: arrays of no known kind.
    """
    # Kinds of rows by the name of an array that only they have.
    kinds: dict[str, type[LabelWeights]] = {"vectors": Float32Weights, "bf16": BFloat16Weights}
    for name, kind in kinds.items():
        if name in arrays:
            return kind.of(arrays)
    raise InputError(
        f"{path}: found the arrays {', '.join(sorted(arrays)) or 'none'}, expected one of {', '.join(kinds)}"
    )
