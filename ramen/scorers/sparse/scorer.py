"""The sparse scorer: a linear classifier per label over word features, asked through an inverted index."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from ramen.files import replacing
from ramen.mining.inverted import InvertedIndex
from ramen.scorers.base import Arrays, NewLabels, Queries, Scorer, Sizes, TrainedScorer
from ramen.scorers.combined import ConcatenatedScorer
from ramen.scorers.sparse.classifier import SparseClassifier
from ramen.scorers.sparse.prior import word_prior
from ramen.stored import Tensors, check_fields, read_json

if TYPE_CHECKING:
    from ramen.config import Config
    from ramen.scorers.judge import Judge
    from ramen.scorers.views import Views

_STEEPNESS = 4.0  # of the logistic curve that brings margins, which have no bound, into the range of cosines
_SHOWN = 6  # words among the reasons for a label
_FIELDS = {"T": "title", "L": "first words"}  # marks of features
_WEIGHTS = 250  # of a label, about
_A_TOKEN = 10.4  # bytes of its feature
_WEIGHTS_FILE, _PARAMS_FILE = "weights.safetensors", "params.json"
_PARAMS = {"features": "a string", "C": "a number", "prior": "a number", "anchors": "an object of numbers"}


@dataclass(frozen=True)
class SparseParams:
    """What a search chooses.

    Attributes:
        features: set of word features: ``words`` or ``words+pairs``; of bags of words ``words`` or ``words+idf``.
        C: cost of errors.
        prior: λ, how strongly weights are pulled towards the words of the label's own text.
        anchors: by graph the weight of its anchors' words in the prior.
    """

    features: str
    C: float
    prior: float
    anchors: dict[str, float]


class SparseScorer(TrainedScorer):
    """1 / (1 + exp(-4 margin)), with the classifier's margin.

    Args:
        classifier: its weights are kept by feature only, as the index reads them.
        params: by which it was fitted.
    """

    name = "sparse"
    Params = SparseParams
    start_weight = 2.0  # classifiers count twice
    reads_vectors = False
    params: SparseParams

    def __init__(self, classifier: SparseClassifier, params: SparseParams) -> None:
        self.classifier = SparseClassifier(classifier.weights.tocsc(), classifier.bias)
        self.params = params
        self.n_labels, self.n_features = classifier.weights.shape
        self._inverted = InvertedIndex(self.classifier.weights, classifier.bias)

    @classmethod
    def is_enabled(cls, config: Config, n_labels: int) -> bool:
        """See :class:`TrainedScorer`."""
        return config.sparse.passes > 0

    @classmethod
    def default_params(cls, config: Config) -> SparseParams:
        """See :class:`TrainedScorer`; with the anchors of every graph."""
        settings = config.sparse
        anchors = {graph: settings.anchors for graph in config.graphs if settings.anchors}
        return SparseParams(settings.features, settings.C, settings.prior, anchors)

    @classmethod
    def search(cls, views: Views, beside: Mapping[str, Scorer], judge: Judge) -> SparseScorer:
        """See :class:`TrainedScorer`."""
        from ramen.scorers.sparse.search import search_sparse

        return search_sparse(views, beside, judge)

    @classmethod
    def fit(cls, views: Views, params: SparseParams) -> SparseScorer:
        """See :class:`TrainedScorer`."""
        from ramen.scorers.sparse.fit import fit_on_views

        return cls(fit_on_views(views, params), params)

    @property
    def features(self) -> str:
        """See :class:`Scorer`."""
        return self.params.features

    def propose(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Scorer`. Offers labels that share a word with the query."""
        labels, margins = self._inverted.top(queries.words, k)
        return labels, np.where(labels >= 0, squash(margins), np.float32(-np.inf))

    def score(self, queries: Queries, labels: np.ndarray) -> np.ndarray:
        """See :class:`Scorer`."""
        return np.where(labels >= 0, squash(self._inverted.scores(queries.words, labels)), np.float32(0.0))

    def explain(self, queries: Queries, labels: np.ndarray, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """See :class:`Scorer`: words and pairs of words of the text with the largest weights."""
        if features is None or queries.words is None:
            return [{} for _ in labels]
        largest, terms = self._inverted.largest_terms(queries.words, labels, _SHOWN)
        names = {at: readable(features[at]) for at in np.unique(largest[largest >= 0]).tolist()}
        return [
            {"words": [{"word": names[at], "weight": round(term, 4)} for at, term in of_label if at >= 0]}
            for of_label in map(zip, largest.tolist(), terms.tolist())
        ]

    def extend(self, labels: NewLabels) -> dict[str, np.ndarray]:
        """See :class:`TrainedScorer`; weights are the prior's, on the words of a label's text and examples."""
        _, words, _ = labels.examples
        strength = self.params.prior or 1.0
        weights = word_prior(labels.words, [(labels.links, words, 1.0)], strength, max_degree=1)
        bias = np.full(weights.shape[0], self.classifier.bias.mean(), dtype=np.float32)
        return {
            "indptr": weights.indptr.astype(np.int64),
            "indices": weights.indices.astype(np.int32),
            "data": weights.data,
            "bias": bias,
        }

    def extended(self, parts: Sequence[Arrays], sizes: Sequence[int]) -> Scorer:
        """See :class:`TrainedScorer`."""
        width = self.classifier.weights.shape[1]
        rows = [
            sp.csr_matrix((part["data"], part["indices"], part["indptr"]), shape=(size, width))
            for part, size in zip(parts, sizes, strict=True)
        ]
        bias = np.concatenate([part["bias"] for part in parts])
        added = SparseScorer(SparseClassifier(sp.vstack(rows, format="csr"), bias), self.params)
        return ConcatenatedScorer(self, added)

    def check_part(self, part: Tensors, size: int) -> None:
        """See :class:`TrainedScorer`."""
        assert self.n_features is not None
        data = part.array("data", "f4", (None,))
        part.offsets("indptr", size, len(data))
        part.integers("indices", "i4", data.shape, 0, self.n_features)
        part.array("bias", "f4", (size,))

    def save(self, folder: Path) -> None:
        """See :class:`TrainedScorer`."""
        self.classifier.save(folder / _WEIGHTS_FILE)
        with replacing(folder / _PARAMS_FILE) as part:
            part.write_text(json.dumps(asdict(self.params)) + "\n")

    @classmethod
    def load(cls, folder: Path, full: bool = True) -> SparseScorer:
        """See :class:`TrainedScorer`."""
        path = folder / _PARAMS_FILE
        params = SparseParams(**check_fields(path, read_json(path), _PARAMS))
        return cls(SparseClassifier.load(folder / _WEIGHTS_FILE, full), params)

    @classmethod
    def memory(cls, sizes: Sizes, config: Config) -> tuple[float, float]:
        """See :class:`TrainedScorer`."""
        settings = config.sparse
        retained = 8.0 * sizes.labels * min(settings.max_weights, _WEIGHTS)
        pairs = sizes.points * 2.0 * settings.near * max(1.0, sizes.pairs / max(sizes.points, 1))
        mined = 24.0 * min(pairs, float(sizes.points) * sizes.labels)
        features = _A_TOKEN * sizes.tokens
        return features + max(mined, mined / 2 + 3 * retained), retained


def readable(feature: str) -> str:
    """A feature as people read it.

    Example:
        >>> readable("T:apple"), readable("red apple")
        ('apple (title)', 'red apple')
    """
    mark, colon, word = feature.partition(":")
    return f"{word} ({_FIELDS[mark]})" if colon else feature


def squash(margins: np.ndarray) -> np.ndarray:
    """The scores of margins, float32 of their shape."""
    with np.errstate(over="ignore"):
        return (1.0 / (1.0 + np.exp(-_STEEPNESS * margins))).astype(np.float32)
