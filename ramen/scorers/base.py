"""The contract of a scorer, and what it is asked about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp


@dataclass(eq=False)
class Queries:
    """A batch of texts to find labels for.

    Attributes:
        vectors: float32 (B, d), the encoder's unit vectors.
        words: CSR float32 (B, F), features of exact words; None where no scorer reads them.
        titles: B of them, for the learned ranking; None where there are none.
        memory: what a scorer has computed of this batch, by scorer, so that proposing and scoring share it.
    """

    vectors: np.ndarray
    words: sp.csr_matrix | None = None
    titles: Sequence[str] | None = None
    memory: WeakKeyDictionary[Scorer, Any] = field(default_factory=WeakKeyDictionary)

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, part: slice | np.ndarray) -> Queries:
        titles = self.titles
        if titles is not None:
            titles = [titles[row] for row in np.arange(len(self))[part].tolist()]
        return Queries(self.vectors[part], None if self.words is None else self.words[part], titles)


def title_of(text: str) -> str:
    """The title of ``title\\ncontent``, or the only field.

    Example:
        >>> title_of("red apple\\na fruit"), title_of("\\na fruit")
        ('red apple', 'a fruit')
    """
    title, _, content = text.partition("\n")
    return title or content


class Scorer(ABC):
    """Scores labels for queries, by itself.

    Attributes:
        n_labels: L.
    """

    n_labels: int

    @abstractmethod
    def propose(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Its best labels of each query.

        Args:
            queries: B of them.
            k: labels a query, at least 1.

        Returns:
            int64 labels and float32 scores, (B, k) each, best first, of equal scores the smaller label first; -1 and
            -inf where it has fewer to offer. Scores are those of :meth:`score`, up to rounding.
        """

    @abstractmethod
    def score(self, queries: Queries, labels: np.ndarray) -> np.ndarray:
        """Scores of given labels, exact, float32 (B, C); 0 where ``labels``, int64 (B, C), is -1."""


class StoredScorer(Scorer):
    """A scorer that training makes and a run folder keeps."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what it needs into its own folder of the run, which exists and is empty."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> StoredScorer:
        """What :meth:`save` wrote."""


def save_tensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write arrays as safetensors, whole or not at all."""
    from safetensors.numpy import save_file

    from ramen.files import replacing

    with replacing(path) as part:
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, part)
