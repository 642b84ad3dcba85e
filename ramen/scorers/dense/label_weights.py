"""Weights of one-vs-all classifiers as scoring reads and a run folder stores them: numpy, no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ramen.compiled import FAST, kernel
from ramen.errors import InputError
from ramen.mining.heaps import best, no_rows
from ramen.mining.nearest import device_for, nearest, products
from ramen.stored import Tensors
from ramen.threads import parallel_for

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


_BLOCK = 65_536  # rows widened at once


class BFloat16Weights(LabelWeights):
    """bfloat16 (L, d), kept as its bits: half the memory; products in float32.

    Args:
        bits: uint16 (L, d), the upper halves of float32.
    """

    def __init__(self, bits: np.ndarray) -> None:
        self.bits = np.ascontiguousarray(bits, dtype=np.uint16)
        self.n_labels, self.dim = self.bits.shape

    def top(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`LabelWeights`; a block of labels is widened at a time, on a GPU none on the host."""
        device = device_for(len(queries), self.bits.size)
        if device is not None:
            from ramen.mining.on_device import nearest_on

            return nearest_on(device, queries, self.bits, k)
        labels, scores = no_rows(len(queries), k)
        for start in range(0, self.n_labels, _BLOCK):
            nearest_labels, values = nearest(queries, widened(self.bits[start : start + _BLOCK]), k)
            all_labels = np.concatenate([labels, np.where(nearest_labels >= 0, nearest_labels + start, -1)], axis=1)
            labels, scores = best(all_labels, np.concatenate([scores, values], axis=1), all_labels >= 0, k)
        return labels, scores

    def products(self, queries: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See :class:`LabelWeights`."""
        out, work = np.zeros(labels.shape, dtype=np.float32), 1.0 + labels.shape[1] * self.dim
        parallel_for(len(queries), _half_products, np.ascontiguousarray(queries), self.bits, labels, out, work=work)
        return out

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


def widened(bits: np.ndarray) -> np.ndarray:
    """The float32 that bfloat16 bits stand for.

    Example:
        >>> widened(np.array([0x3F80, 0xC020], dtype=np.uint16))
        array([ 1. , -2.5], dtype=float32)
    """
    return (bits.astype(np.uint32) << 16).view(np.float32)


@kernel(fastmath=FAST)
def _half_products(
    first: int, last: int, queries: np.ndarray, bits: np.ndarray, labels: np.ndarray, out: np.ndarray
) -> None:
    for query in range(first, last):
        for place in range(labels.shape[1]):
            label = labels[query, place]
            if label >= 0:
                total = np.float32(0.0)
                for j in range(queries.shape[1]):
                    total += queries[query, j] * np.uint32(np.uint32(bits[label, j]) << np.uint32(16)).view(np.float32)
                out[query, place] = total


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
