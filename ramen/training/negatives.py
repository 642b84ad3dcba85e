"""Hard negatives of stage 1: batches of clusters (NGAME), or the nearest wrong labels (ANCE), renewed as it trains."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ramen import distributed
from ramen.config import Stage1Config
from ramen.encoders.base import Encoder
from ramen.graph.side import sample_column
from ramen.mining.clusters import balanced_clusters, cluster_batches
from ramen.mining.nearest import nearest
from ramen.training.data import TrainingData
from ramen.training.split import Split

_A_POINT = 2  # of its nearest wrong labels, a step


class HardNegatives:
    """Batches of an epoch, and the labels that each of them scores besides its own.

    Args:
        material: settings and token ids.
        split: rows to train on.
        known: CSR (N, L), pairs that are no negatives.
    """

    def __init__(self, material: TrainingData, split: Split, known: sp.csr_matrix) -> None:
        self.settings: Stage1Config = material.config.stage1
        self.tokens, self.seed, self.split, self.known = material.tokens, material.config.seed, split, known
        self.clusters: np.ndarray | None = None  # int64 (points of the split + labels,)
        self.wrong: sp.csr_matrix | None = None  # points of the split x labels

    def refresh(self, epoch: int, encoder: Encoder) -> None:
        """Renew them by the encoder as it is, where this epoch is due."""
        settings, since = self.settings, epoch - self.settings.hard_from
        known = self.clusters is not None or self.wrong is not None
        if settings.negatives == "batch" or since < 0 or (known and since % settings.hard_every):
            return
        points = encoder.encode(self.tokens["points"]).numpy()[self.split.rows]
        labels = encoder.encode_labels(self.tokens["labels"]).numpy()
        if settings.negatives == "clusters":
            rows = np.concatenate([points, labels])
            self.clusters = distributed.broadcast(
                lambda: balanced_clusters(rows, settings.cluster_size, self.seed + epoch)
            )
        else:
            self.wrong = distributed.broadcast(lambda: self._nearest_wrong(points, labels))

    def _nearest_wrong(self, points: np.ndarray, labels: np.ndarray) -> sp.csr_matrix:
        own = self.known[self.split.rows]
        spare = int(np.diff(own.indptr).max(initial=0))
        found = nearest(points, labels, min(self.settings.nearest + spare, len(labels)))[0]
        rows = np.repeat(np.arange(len(points)), found.shape[1])
        columns = found.ravel()
        rows, columns = rows[columns >= 0], columns[columns >= 0]
        near = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=own.shape)
        wrong = sp.csr_matrix(near - near.multiply(own > 0))
        wrong.eliminate_zeros()
        return wrong

    def batches(self, size: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Positions in the split's rows, int64, each once."""
        n = len(self.split.rows)
        if self.clusters is not None:
            return cluster_batches(self.clusters[:n], size, rng)
        order = rng.permutation(n)
        return [order[start : start + size] for start in range(0, n, size)]

    def labels(self, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Labels to score although no point of the batch may have them, int64."""
        if self.clusters is not None:
            of_labels = self.clusters[len(self.split.rows) :]
            return np.flatnonzero(np.isin(of_labels, self.clusters[batch]))
        if self.wrong is not None:
            return np.concatenate([sample_column(self.wrong, batch, rng)[1] for _ in range(_A_POINT)])
        return np.empty(0, dtype=np.int64)

    def state(self) -> dict[str, np.ndarray]:
        """What a resumed run goes on from."""
        if self.clusters is not None:
            return {"clusters": self.clusters}
        if self.wrong is not None:
            return {"wrong.indptr": self.wrong.indptr, "wrong.indices": self.wrong.indices}
        return {}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a state."""
        self.clusters = state.get("clusters")
        if "wrong.indptr" in state:
            indices, indptr = state["wrong.indices"], state["wrong.indptr"]
            ones = np.ones(len(indices), dtype=np.float32)
            self.wrong = sp.csr_matrix((ones, indices, indptr), shape=(len(self.split.rows), self.known.shape[1]))
