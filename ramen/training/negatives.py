"""Hard negatives of the encoder: batches of clusters (NGAME), or mined labels (ANCE), renewed as it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import scipy.sparse as sp
import torch

from ramen import distributed
from ramen.config import TrainingConfig
from ramen.encoders.base import Encoder
from ramen.graph.bipartite import sample_column
from ramen.mining.clusters import balanced_clusters, cluster_batches
from ramen.mining.negatives import nearest_negatives
from ramen.training.data import TrainingData
from ramen.training.split import Split

CLUSTER_SIZE = 16  # points and labels
NEAREST = 20  # wrong labels mined for each point
HARD_EVERY = 2  # epochs between two renewals
_A_POINT = 2  # of its mined labels, a step


class MinedNegatives:
    """The nearest labels of each point that are negatives of it, mined by the vectors of an encoder in training.

    Args:
        not_negative: CSR (n, L), pairs that are no negatives.

    Attributes:
        mined: CSR (n, L) of ones; None before the first mining.
    """

    def __init__(self, not_negative: sp.csr_matrix) -> None:
        self.not_negative = not_negative
        self.mined: sp.csr_matrix | None = None

    def mine(self, points: np.ndarray, labels: np.ndarray, k: int) -> None:
        """Replace them by those of other vectors, float32 (n, d) and (L, d); ``k`` a point, at least."""
        self.mined = distributed.broadcast(lambda: nearest_negatives(points, labels, self.not_negative, k))

    def draw(self, points: np.ndarray, per_point: int, rng: np.random.Generator) -> np.ndarray:
        """Some mined labels of each of these points, int64, with repeats."""
        if self.mined is None or not per_point:
            return np.empty(0, dtype=np.int64)
        return np.concatenate([sample_column(self.mined, points, rng)[1] for _ in range(per_point)])

    def state(self) -> dict[str, np.ndarray]:
        """Arrays that a resumed run goes on from."""
        return {} if self.mined is None else {"mined.indptr": self.mined.indptr, "mined.indices": self.mined.indices}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""
        if "mined.indptr" in state:
            indptr, indices = state["mined.indptr"], state["mined.indices"]
            ones = np.ones(len(indices), dtype=np.float32)
            self.mined = sp.csr_matrix((ones, indices, indptr), shape=self.not_negative.shape)


class HardNegatives:
    """Batches of an epoch, and the labels that each of them scores besides its own.

    Args:
        data: settings.
        split: rows to train on.
        not_negative: CSR (N, L), pairs that are no negatives.
    """

    def __init__(self, data: TrainingData, split: Split, not_negative: sp.csr_matrix) -> None:
        self.settings: TrainingConfig = data.config.training
        self.seed, self.split = data.config.seed, split
        self.clusters: np.ndarray | None = None  # int64 (points of the split + labels,)
        self.nearest = MinedNegatives(not_negative[split.train_rows])

    def refresh(self, epoch: int, vectors: Callable[[str], np.ndarray], encoder: Encoder) -> None:
        """Renew them, where this epoch is due, by the encoder's present vectors of ``"points"`` and ``"labels"``."""
        settings, since = self.settings, epoch - self.settings.hard_from
        if settings.negatives == "batch" or since < 0 or (self.state() and since % HARD_EVERY):
            return
        points = vectors("points")[self.split.train_rows]
        labels = encoder.labels_of(torch.from_numpy(vectors("labels"))).numpy()
        if settings.negatives == "clusters":
            rows = np.concatenate([points, labels])
            del points, labels  # a third of the memory that an epoch takes
            # Bisected: k-means took a fifth of the training, and joint rankings are none the better for it.
            seed = self.seed + epoch
            self.clusters = distributed.broadcast(lambda: balanced_clusters(rows, CLUSTER_SIZE, seed, at_once=1))
        else:
            self.nearest.mine(points, labels, NEAREST)

    def batches(self, size: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Positions in the split's rows, int64, each once."""
        n = len(self.split.train_rows)
        if self.clusters is not None:
            return cluster_batches(self.clusters[:n], size, rng)
        order = rng.permutation(n)
        return [order[start : start + size] for start in range(0, n, size)]

    def labels(self, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Labels to score although no point of the batch may have them, int64."""
        if self.clusters is not None:
            of_labels = self.clusters[len(self.split.train_rows) :]
            return np.flatnonzero(np.isin(of_labels, self.clusters[batch]))
        return self.nearest.draw(batch, _A_POINT, rng)

    def state(self) -> dict[str, np.ndarray]:
        """Arrays that a resumed run goes on from."""
        return self.nearest.state() if self.clusters is None else {"clusters": self.clusters}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""
        self.clusters = state.get("clusters")
        self.nearest.restore(state)
