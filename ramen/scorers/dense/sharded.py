"""Classifiers split by label over the processes of a run: each trains and keeps its shard of the rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch

from ramen import distributed
from ramen.mining.heaps import best
from ramen.scorers.dense.base import Classifier
from ramen.scorers.dense.classifier import DenseClassifier
from ramen.scorers.dense.label_weights import Arrays, LabelWeights, load_weights
from ramen.scorers.dense.reduction import DistributedReduction
from ramen.scorers.dense.shortlist import ShortlistClassifier


class ShardedClassifier(Classifier):
    """The same steps as one process with all labels, up to rounding; processes exchange a number per point and step.

    Every process calls every method with the same arguments. Stochastic rounding of bfloat16 draws other numbers than
    in one process.

    Args:
        start: float32 (L, d), where all labels start.
        make: makes the classifiers of some of the labels.
    """

    def __init__(
        self, start: torch.Tensor, make: Callable[[torch.Tensor], DenseClassifier | ShortlistClassifier]
    ) -> None:
        self.n_labels, self.dim = start.shape
        self.shard = distributed.shard(self.n_labels)
        self.part = make(start[self.shard])
        self.part.reduction = self._reduction = DistributedReduction()

    def fit_step(
        self,
        queries: torch.Tensor,
        targets: sp.csr_matrix,
        filtered: sp.csr_matrix | None,
        lr: float,
        shortlist: np.ndarray | sp.csr_matrix | None = None,
    ) -> torch.Tensor:
        """See :class:`Classifier`."""
        return self.part.fit_step(queries, *self._own(targets, filtered), lr, self._own_list(shortlist))

    def fit_step_with_gradient(
        self,
        queries: torch.Tensor,
        targets: sp.csr_matrix,
        filtered: sp.csr_matrix | None,
        lr: float,
        shortlist: np.ndarray | sp.csr_matrix | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`Classifier`; every process gets the sum over all labels."""
        return self.part.fit_step_with_gradient(queries, *self._own(targets, filtered), lr, self._own_list(shortlist))

    def _own(
        self, targets: sp.csr_matrix, filtered: sp.csr_matrix | None
    ) -> tuple[sp.csr_matrix, sp.csr_matrix | None]:
        """The pairs of this process's labels; the reduction learns how many there are in all."""
        self._reduction.n_pairs = int(targets.nnz)
        return targets[:, self.shard], None if filtered is None else filtered[:, self.shard]

    def _own_list(self, shortlist: np.ndarray | sp.csr_matrix | None) -> np.ndarray | sp.csr_matrix | None:
        if shortlist is None or isinstance(shortlist, sp.csr_matrix):
            return None if shortlist is None else shortlist[:, self.shard]
        inside = (shortlist >= self.shard.start) & (shortlist < self.shard.stop)
        return shortlist[inside] - self.shard.start

    def label_weights(self) -> ShardedWeights:
        """See :class:`Classifier`."""
        return ShardedWeights(self.part.label_weights(), self.n_labels)


class ShardedWeights(LabelWeights):
    """The rows of this rank's labels; every rank asks the same, and gets the answer over all labels.

    Args:
        part: rows of the :func:`ramen.distributed.shard` of this rank.
        n_labels: of all ranks.
    """

    def __init__(self, part: LabelWeights, n_labels: int) -> None:
        self.part, self.n_labels, self.dim = part, n_labels, part.dim
        self.shard = distributed.shard(n_labels)

    def top(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`LabelWeights`: the best of every rank's best."""
        labels, scores = self.part.top(queries, k)
        labels = np.where(labels >= 0, labels + self.shard.start, -1)
        every_label, every_score = (
            np.hstack(list(distributed.all_gather(torch.from_numpy(a)).numpy())) for a in (labels, scores)
        )
        return best(every_label, every_score, every_label >= 0, k)

    def products(self, queries: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See :class:`LabelWeights`."""
        inside = (labels >= self.shard.start) & (labels < self.shard.stop)
        products = self.part.products(queries, np.where(inside, labels - self.shard.start, -1))
        return distributed.all_reduce(torch.from_numpy(products)).numpy()

    def block(self, first: int, last: int) -> np.ndarray:
        """See :class:`LabelWeights`; of all labels."""
        return self.whole().block(first, last)

    def arrays(self) -> dict[str, np.ndarray]:
        """See :class:`LabelWeights`; those of all labels."""
        return {name: self._whole(array) for name, array in self.part.arrays().items()}

    def _whole(self, array: np.ndarray) -> np.ndarray:
        return (
            distributed.all_gather_rows(torch.from_numpy(array.view(np.uint8)), self.n_labels).numpy().view(array.dtype)
        )

    def whole(self) -> LabelWeights:
        """See :class:`LabelWeights`."""
        return type(self.part).of(self.arrays())

    @classmethod
    def of(cls, arrays: Arrays) -> LabelWeights:
        """What :meth:`arrays` gave, as rows of one process."""
        return load_weights(arrays, Path("sharded rows"))
