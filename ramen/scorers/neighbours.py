"""The nearest training points vote for their labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.files import replacing
from ramen.mapped import Continued, StringTable, map_tensors
from ramen.mining.heaps import best
from ramen.mining.inverted import InvertedIndex
from ramen.mining.nearest import nearest, products
from ramen.mining.signs import SignIndex
from ramen.scorers.base import Queries, StoredScorer, save_tensors


class Neighbours(StoredScorer):
    """Σ over the k nearest points p with label l of softmax(cosine(q, p) / temperature).

    Args:
        vectors: float32 (N, d), unit vectors of training points.
        targets: CSR (N, L).
        k: points that vote.
        temperature: of the softmax over the k cosines; it may be changed at any time.

    Attributes:
        names: of the points, for people; None where nobody kept them.
        index: of the points, by which the nearest are found; None for an exact search.
    """

    names: Sequence[str] | None = None
    index: SignIndex | None = None
    _more: np.ndarray | None = None

    def __init__(self, vectors: np.ndarray, targets: sp.csr_matrix, k: int, temperature: float) -> None:
        self.vectors, self.targets = np.ascontiguousarray(vectors, dtype=np.float32), targets
        self.k, self.temperature = min(k, len(vectors)), temperature
        self.n_labels = targets.shape[1]
        self._labels_of = InvertedIndex(sp.csc_matrix(targets.T, dtype=np.float32))

    def propose(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Scorer`. Offers labels of the k points only."""
        return self._labels_of.top(self.shares(queries), k)

    def score(self, queries: Queries, labels: np.ndarray) -> np.ndarray:
        """See :class:`Scorer`."""
        return self._labels_of.scores(self.shares(queries), labels)

    def near(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest points of each query, int64 (B, k), and their cosines, best first."""
        if self.index is None:
            found = nearest(vectors, self.vectors, self.k)
        else:
            found = self.index.top(vectors, self.k, lambda queries, rows: products(queries, self.vectors, rows))
        if self._more is None:
            return found
        rows, cosines = nearest(vectors, self._more, self.k)
        rows = np.concatenate([found[0], np.where(rows >= 0, rows + len(self.vectors), -1)], axis=1)
        return best(rows, np.concatenate([found[1], cosines], axis=1), rows >= 0, self.k)

    def with_more(self, vectors: np.ndarray, labels: np.ndarray, count: int, names: list[str]) -> Neighbours:
        """The same points and some more, each with one label behind those of the others.

        Args:
            vectors: float32 (E, d).
            labels: int (E,), 0 to count - 1.
            count: labels more.
            names: of the points.
        """
        own = self.targets
        indptr = np.concatenate([own.indptr, own.indptr[-1] + np.arange(1, len(labels) + 1)])
        indices = np.concatenate([own.indices, labels + self.n_labels])
        shape = (own.shape[0] + len(labels), self.n_labels + count)
        parts = (np.ones(len(indices), dtype=np.float32), indices, indptr)
        found = Neighbours(self.vectors, sp.csr_matrix(parts, shape=shape), self.k, self.temperature)
        found.index, found._more = self.index, np.ascontiguousarray(vectors, dtype=np.float32)
        found.names = Continued(self.names if self.names is not None else [""] * len(self.vectors), names, {})
        return found

    def shares(self, queries: Queries) -> sp.csr_matrix:
        """What each near point's vote counts, CSR (B, N)."""
        if self not in queries.memory:
            queries.memory[self] = self.near(queries.vectors)
        rows, cosines = queries.memory[self]
        shares = np.exp((cosines - cosines[:, :1]) / self.temperature)
        shares /= shares.sum(1, keepdims=True)
        starts = np.arange(0, shares.size + 1, self.k)
        return sp.csr_matrix((shares.ravel(), rows.ravel(), starts), shape=(len(rows), self.targets.shape[0]))

    def save(self, folder: Path) -> None:
        """See :class:`Scorer`."""
        indptr, indices = self.targets.indptr.astype(np.int64), self.targets.indices.astype(np.int32)
        tensors = {"vectors": self.vectors, "indptr": indptr, "indices": indices}
        save_tensors(folder / "points.safetensors", tensors)
        if self.names is not None:
            table = StringTable.of(self.names)
            save_tensors(folder / "names.safetensors", {"text": table.text, "ends": table.ends})
        with replacing(folder / "votes.json") as part:
            part.write_text(json.dumps({"k": self.k, "temperature": self.temperature, "labels": self.n_labels}) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Neighbours:
        """See :class:`Scorer`."""
        stored, votes = map_tensors(folder / "points.safetensors"), json.loads((folder / "votes.json").read_text())
        parts = (np.ones(len(stored["indices"]), dtype=np.float32), stored["indices"], stored["indptr"])
        targets = sp.csr_matrix(parts, shape=(len(stored["vectors"]), votes["labels"]))
        found = cls(stored["vectors"], targets, votes["k"], votes["temperature"])
        if (folder / "names.safetensors").exists():
            table = map_tensors(folder / "names.safetensors")
            found.names = StringTable(table["text"], table["ends"])
        return found
