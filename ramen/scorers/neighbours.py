"""The nearest training points vote for their labels."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from ramen.files import replacing
from ramen.mapped import Continued, StringTable
from ramen.mining.heaps import best
from ramen.mining.inverted import InvertedIndex
from ramen.mining.nearest import nearest, products
from ramen.scorers.base import Arrays, NewLabels, Queries, Scorer, SearchSpace, Sizes, TrainedScorer, save_tensors
from ramen.scorers.judge import GAIN, Judge, log_sum
from ramen.stored import Tensors, check_fields, read_json

if TYPE_CHECKING:
    from ramen.config import Config
    from ramen.scorers.views import Views

TEMPERATURE = 0.1  # of the softmax over cosines, where a search starts
_SHOWN = 4  # points among the reasons for a label
_VOTES = {"k": "a whole number of at least 1", "temperature": "a number above 0"}
_VOTES |= {"labels": "a whole number of at least 1"}


@dataclass(frozen=True)
class NeighbourParams:
    """What a search chooses.

    Attributes:
        temperature: of the softmax over the cosines.
    """

    temperature: float


class NeighbourScorer(TrainedScorer):
    """Σ over the k nearest points p with label l of softmax(cosine(q, p) / temperature).

    Args:
        vectors: float32 (N, d), unit vectors of training points.
        targets: CSR (N, L).
        k: points that vote.
        temperature: of the softmax over the k cosines.
        names: of the points, for people; None where there are none.

    Attributes:
        index: of the points, by which the nearest are found; None for an exact search.
    """

    name = "neighbours"
    Params = NeighbourParams
    _added: np.ndarray | None = None

    def __init__(
        self, vectors: np.ndarray, targets: sp.csr_matrix, k: int, temperature: float,
        names: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        self.vectors, self.targets = np.ascontiguousarray(vectors, dtype=np.float32), targets
        self.k, self.temperature, self.names = min(k, len(vectors)), temperature, names
        self.n_labels, self.dim = targets.shape[1], self.vectors.shape[1]
        self._labels_of = InvertedIndex(sp.csc_matrix(targets.T, dtype=np.float32))

    @property
    def params(self) -> NeighbourParams:
        """By which it was fitted."""
        return NeighbourParams(self.temperature)

    @classmethod
    def default_params(cls, config: Config) -> NeighbourParams:
        """See :class:`TrainedScorer`."""
        return NeighbourParams(TEMPERATURE)

    @classmethod
    def search(cls, views: Views, beside: Mapping[str, Scorer], judge: Judge) -> NeighbourScorer:
        """See :class:`TrainedScorer`; halves or doubles the temperature as long as that helps."""
        first = cls.fit(views, cls.default_params(views.config))
        scorer, best = first, judge.weigh({**beside, cls.name: first})
        for factor in (0.5, 2.0):
            trial = first.sharpened(scorer.temperature * factor)
            while (summed := judge.weigh({**beside, cls.name: trial})).value > best.value * GAIN:
                scorer, best = trial, summed
                trial = first.sharpened(scorer.temperature * factor)
        log_sum(judge, best, scorer=cls.name, temperature=scorer.temperature)
        return scorer

    def sharpened(self, temperature: float) -> NeighbourScorer:
        """The same points with another temperature."""
        other = copy.copy(self)
        other.temperature = temperature
        return other

    @classmethod
    def fit(cls, views: Views, params: NeighbourParams) -> NeighbourScorer:
        """See :class:`TrainedScorer`."""
        k = views.config.neighbours.k
        return cls(views.vectors, views.targets, k, params.temperature, views.names())

    def propose(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Scorer`. Offers labels of the k points only."""
        return self._labels_of.top(self.shares(queries), k)

    def score(self, queries: Queries, labels: np.ndarray) -> np.ndarray:
        """See :class:`Scorer`."""
        return self._labels_of.scores(self.shares(queries), labels)

    def near(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest points of each query, int64 (B, k), and their cosines, best first."""
        if self.index is None:
            near, similar = nearest(vectors, self.vectors, self.k)
        else:
            near, similar = self.index.top(vectors, self.k, lambda queries, rows: products(queries, self.vectors, rows))
        if self._added is None:
            return near, similar
        rows, cosines = nearest(vectors, self._added, self.k)
        rows = np.concatenate([near, np.where(rows >= 0, rows + len(self.vectors), -1)], axis=1)
        return best(rows, np.concatenate([similar, cosines], axis=1), rows >= 0, self.k)

    def extend(self, labels: NewLabels) -> dict[str, np.ndarray]:
        """See :class:`TrainedScorer`; the text itself becomes a point, so that a label without examples gets votes."""
        vectors, _, names = labels.examples
        texts, table = np.arange(len(labels.vectors)), StringTable.of([*labels.names, *names])
        return {
            "vectors": np.concatenate([labels.vectors, vectors]),
            "labels": np.concatenate([texts, labels.links.tocsc().indices]).astype(np.int32),
            "text": table.text,
            "ends": table.ends,
        }

    def extended(self, parts: Sequence[Arrays], sizes: Sequence[int]) -> NeighbourScorer:
        """See :class:`TrainedScorer`."""
        starts = np.concatenate([[0], np.cumsum(sizes)])
        labels = np.concatenate([part["labels"] + start for part, start in zip(parts, starts[:-1], strict=True)])
        names = [name for part in parts for name in StringTable(part["text"], part["ends"])]
        return self.with_points(np.concatenate([part["vectors"] for part in parts]), labels, int(starts[-1]), names)

    def check_part(self, part: Tensors, size: int) -> None:
        """See :class:`TrainedScorer`."""
        n = len(part.array("vectors", "f4", (None, self.dim)))
        part.integers("labels", "i4", (n,), 0, size)
        part.strings(n)

    def with_points(self, vectors: np.ndarray, labels: np.ndarray, n_labels: int, names: list[str]) -> NeighbourScorer:
        """The same points and some more, each with one label behind those of the others.

        Args:
            vectors: float32 (E, d).
            labels: int (E,), 0 to n_labels - 1.
            n_labels: labels more.
            names: of the points.
        """
        targets = self.targets
        indptr = np.concatenate([targets.indptr, targets.indptr[-1] + np.arange(1, len(labels) + 1)])
        indices = np.concatenate([targets.indices, labels + self.n_labels])
        shape = (targets.shape[0] + len(labels), self.n_labels + n_labels)
        targets = sp.csr_matrix((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=shape)
        more = Continued(self.names if self.names is not None else [""] * len(self.vectors), names, {})
        scorer = NeighbourScorer(self.vectors, targets, self.k, self.temperature, more)
        scorer.index, scorer._added = self.index, np.ascontiguousarray(vectors, dtype=np.float32)
        return scorer

    def shares(self, queries: Queries) -> sp.csr_matrix:
        """What each near point's vote counts, CSR (B, N)."""
        cached = queries.cache.setdefault(self, {})
        if self.k not in cached:
            cached[self.k] = self.near(queries.vectors)
        rows, cosines = cached[self.k]
        shares = np.exp((cosines - cosines[:, :1]) / self.temperature)
        shares /= shares.sum(1, keepdims=True)
        starts = np.arange(0, shares.size + 1, self.k)
        return sp.csr_matrix((shares.ravel(), rows.ravel(), starts), shape=(len(rows), self.targets.shape[0]))

    def explain(self, queries: Queries, labels: np.ndarray, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """See :class:`Scorer`: the nearest points that have a label, and their share of the votes."""
        shares, targets = self.shares(queries), self.targets
        shown: dict[int, list[dict[str, Any]]] = {label: [] for label in labels.tolist()}
        for vote in np.argsort(-shares.data, kind="stable").tolist():
            point, share = int(shares.indices[vote]), round(float(shares.data[vote]), 4)
            of_point = targets.indices[targets.indptr[point] : targets.indptr[point + 1]].tolist()
            wanting = [label for label in of_point if label in shown and len(shown[label]) < _SHOWN]
            name = self._name_of(point) if wanting else ""
            for label in wanting:
                shown[label].append({"text": name, "share": share})
        return [{"neighbours": neighbours} for neighbours in shown.values()]

    def _name_of(self, point: int) -> str:
        return self.names[point] if self.names else f"point {point}"

    def search_space(self) -> SearchSpace:
        """See :class:`TrainedScorer`."""
        vectors = self.vectors
        return SearchSpace(
            rows=len(vectors),
            dim=vectors.shape[1],
            k=self.k,
            recall_k=self.k,  # all that vote
            block=lambda first, last: vectors[first:last],
            top=lambda queries, k: nearest(queries, vectors, k),
            products=lambda queries, rows: products(queries, vectors, rows),
            samples=vectors,
        )

    @classmethod
    def memory(cls, sizes: Sizes, config: Config) -> tuple[float, float]:
        """See :class:`TrainedScorer`."""
        vectors = 4.0 * sizes.dim * sizes.points
        return vectors, vectors

    def save(self, folder: Path) -> None:
        """See :class:`TrainedScorer`."""
        indptr, indices = self.targets.indptr.astype(np.int64), self.targets.indices.astype(np.int32)
        tensors = {"vectors": self.vectors, "indptr": indptr, "indices": indices}
        save_tensors(folder / "points.safetensors", tensors)
        if self.names is not None:
            table = StringTable.of(self.names)
            save_tensors(folder / "names.safetensors", {"text": table.text, "ends": table.ends})
        with replacing(folder / "votes.json") as part:
            part.write_text(json.dumps({"k": self.k, "temperature": self.temperature, "labels": self.n_labels}) + "\n")

    @classmethod
    def load(cls, folder: Path, full: bool = True) -> NeighbourScorer:
        """See :class:`TrainedScorer`."""
        votes = check_fields(folder / "votes.json", read_json(folder / "votes.json"), _VOTES)
        stored, n_labels = Tensors(folder / "points.safetensors", full), votes["labels"]
        vectors = stored.array("vectors", "f4", (None, None))
        indices = stored.integers("indices", "i4", (None,), 0, n_labels)
        indptr = stored.offsets("indptr", len(vectors), len(indices))
        parts = (np.ones(len(indices), dtype=np.float32), indices, indptr)
        targets = sp.csr_matrix(parts, shape=(len(vectors), n_labels))
        path = folder / "names.safetensors"
        names = Tensors(path, full).strings(len(vectors)) if path.exists() else None
        return cls(vectors, targets, votes["k"], votes["temperature"], names)
