"""The network scorer: words → hidden layer → one logit per label, all trained together.

A classifier of its own for each label learns nothing from the texts of other labels, and one over the encoder's vector
sees no single word. The hidden layer is shared by all labels and sees the words: with many texts a label that is worth
having beside the others. It costs points x labels, so it is for some thousand labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import scipy.sparse as sp

from ramen.files import replacing
from ramen.mining.nearest import nearest, products
from ramen.scorers.base import Arrays, NewLabels, Queries, Scorer, Sizes, TrainedScorer, save_tensors
from ramen.scorers.combined import ConcatenatedScorer
from ramen.scorers.judge import GAIN, Judge, log_sum
from ramen.scorers.vectors import ridge_map
from ramen.stored import Tensors, check_fields, read_json

if TYPE_CHECKING:
    from ramen.config import Config
    from ramen.scorers.views import Views

WORDS = 8_000  # the most frequent ones; rarer ones are the sparse classifiers' part
_BLOCK = 8192  # texts whose hidden layer is computed at once: bounds the memory
_TEMPERATURE = 10.0  # divides logits, so that they are about as large as cosines
_WEIGHTS, _PARAMS = "weights.safetensors", "params.json"


@dataclass(frozen=True)
class NetworkParams:
    """What a search chooses.

    Attributes:
        features: set of word features, the one that the sparse scorer reads.
    """

    features: str


class NetworkScorer(TrainedScorer):
    """logit / 10, with logits = max(0, x · E + e) · w_l + b_l for a text's word features x.

    Args:
        columns: int32 (W,), ascending, the word features that it reads.
        n_features: number of all word features.
        words: float32 (W, d), E.
        words_bias: float32 (d,), e.
        labels: float32 (L, d + 1), w_l and b_l, divided by 10.
        extension_map: float32 (d + 1, d + 1), from the mean hidden layer of a label's texts to its row of ``labels``.
        params: by which it was fitted.
    """

    name = "network"
    Params = NetworkParams
    always_fitted = False  # it takes long to train
    reads_vectors = False
    n_features: int
    extension_map: np.ndarray
    params: NetworkParams

    def __init__(
        self, columns: np.ndarray, n_features: int, words: np.ndarray, words_bias: np.ndarray, labels: np.ndarray,
        extension_map: np.ndarray, params: NetworkParams,
    ) -> None:  # fmt: skip
        self.columns, self.n_features, self.words, self.words_bias = columns, n_features, words, words_bias
        self.labels, self.extension_map, self.params = labels, extension_map, params
        self.n_labels = len(labels)

    @classmethod
    def is_enabled(cls, config: Config, n_labels: int) -> bool:
        """See :class:`TrainedScorer`."""
        return config.network.updates > 0 and n_labels <= config.network.labels

    @classmethod
    def default_params(cls, config: Config) -> None:
        """See :class:`TrainedScorer`."""
        return

    @classmethod
    def search(cls, views: Views, beside: Mapping[str, Scorer], judge: Judge) -> NetworkScorer | None:
        """See :class:`TrainedScorer`; None where the weighted sum gains too little with it."""
        read = (scorer.features for scorer in beside.values() if scorer.features)
        features = next(read, views.source.sets[0])
        if not views.words(features).points.shape[1]:
            return None  # texts that share no word
        trial = cls.fit(views, NetworkParams(features))
        without = judge.best_sum(beside)
        in_sum = {name: beside[name] for name in without.weights}
        summed = judge.weigh({**in_sum, cls.name: trial}, {**without.weights, cls.name: cls.start_weight})
        log_sum(judge, summed, scorer=cls.name)
        is_kept = summed.weights[cls.name] > 0 and summed.value > without.value * GAIN
        values = {"value": summed.value, "value_without": without.value}
        note = {} if is_kept else {"note": "the network is left out: the sum gains less than 0.5 % with it"}
        judge.log(stage="search", decision=cls.name, kept=is_kept, **values, **note)
        return trial if is_kept else None

    @classmethod
    def fit(cls, views: Views, params: NetworkParams) -> Self:
        """See :class:`TrainedScorer`."""
        from ramen import distributed

        rows = views.words(params.features).points[views.rows]
        columns = frequent_columns(rows, WORDS)
        words = sp.csr_matrix(rows[:, columns])
        weights = distributed.broadcast(lambda: _trained(words, views))
        labels = np.column_stack([weights["labels"], weights["labels_bias"]]) / np.float32(_TEMPERATURE)
        counts = np.asarray((views.targets > 0).sum(axis=0)).ravel()
        sums = _hidden_sums(words, views.targets, weights["words"], weights["words_bias"])
        means = sums[counts > 0] / counts[counts > 0, None].astype(np.float32)
        extension_map = ridge_map(means, labels[counts > 0])
        return cls(columns, rows.shape[1], weights["words"], weights["words_bias"], labels, extension_map, params)

    @property
    def features(self) -> str:
        """See :class:`Scorer`."""
        return self.params.features

    def hidden(self, queries: Queries) -> np.ndarray:
        """The hidden layer of queries and a constant 1, float32 (B, d + 1)."""
        assert queries.words is not None
        cached = queries.cache.setdefault(self, {})
        if 0 not in cached:
            cached[0] = (_hidden(sp.csr_matrix(queries.words[:, self.columns]), self.words, self.words_bias),)
        return cached[0][0]

    def propose(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Scorer`."""
        return nearest(self.hidden(queries), self.labels, k)

    def score(self, queries: Queries, labels: np.ndarray) -> np.ndarray:
        """See :class:`Scorer`."""
        return products(self.hidden(queries), self.labels, labels)

    def extend(self, labels: NewLabels) -> dict[str, np.ndarray]:
        """See :class:`TrainedScorer`; a new label's row is estimated from the words of its text and examples."""
        assert labels.words is not None and labels.examples[1] is not None
        own, examples = (_hidden(sp.csr_matrix(words[:, self.columns]), self.words, self.words_bias)
                         for words in (labels.words, labels.examples[1]))  # fmt: skip
        counts = 1.0 + np.diff(labels.links.tocsr().indptr)
        return {"labels": (((own + labels.links @ examples) / counts[:, None]) @ self.extension_map).astype(np.float32)}

    def extended(self, parts: Sequence[Arrays], sizes: Sequence[int]) -> Scorer:
        """See :class:`TrainedScorer`."""
        rows = np.concatenate([part["labels"] for part in parts])
        more = NetworkScorer(
            self.columns, self.n_features, self.words, self.words_bias, rows, self.extension_map, self.params
        )
        return ConcatenatedScorer(self, more)

    def check_part(self, part: Tensors, size: int) -> None:
        """See :class:`TrainedScorer`."""
        part.array("labels", "f4", (size, self.labels.shape[1]))

    def save(self, folder: Path) -> None:
        """See :class:`TrainedScorer`."""
        tensors = {name: getattr(self, name) for name in ("columns", "words", "words_bias", "labels", "extension_map")}
        save_tensors(folder / _WEIGHTS, tensors)
        with replacing(folder / _PARAMS) as part:
            part.write_text(json.dumps({"features": self.params.features, "words": self.n_features}) + "\n")

    @classmethod
    def load(cls, folder: Path, full: bool = True) -> Self:
        """See :class:`TrainedScorer`."""
        path = folder / _PARAMS
        facts = check_fields(path, read_json(path), {"features": "a string", "words": "a whole number of at least 1"})
        stored = Tensors(folder / _WEIGHTS, full)
        columns = stored.integers("columns", "i4", (None,), 0, facts["words"])
        words = stored.array("words", "f4", (len(columns), None))
        width = words.shape[1]
        return cls(
            columns,
            facts["words"],
            words,
            stored.array("words_bias", "f4", (width,)),
            stored.array("labels", "f4", (None, width + 1)),
            stored.array("extension_map", "f4", (width + 1, width + 1)),
            NetworkParams(facts["features"]),
        )

    @classmethod
    def memory(cls, sizes: Sizes, config: Config) -> tuple[float, float]:
        """See :class:`TrainedScorer`: weights, gradients and two averages; three numbers for each label of a batch."""
        from ramen.scorers.network.train import BATCH

        weights = 4.0 * (WORDS + sizes.labels) * config.network.width
        return 4 * weights + 16.0 * BATCH * sizes.labels, weights


def frequent_columns(rows: sp.csr_matrix, most: int) -> np.ndarray:
    """Return the columns with the most entries, of equal ones the first, int32, ascending.

    Example:
        >>> frequent_columns(sp.csr_matrix([[1.0, 0.0, 2.0], [1.0, 3.0, 0.0], [1.0, 0.0, 0.0]]), 2)
        array([0, 1], dtype=int32)
    """
    counts = np.bincount(rows.indices, minlength=rows.shape[1])
    return np.sort(np.argsort(-counts, kind="stable")[:most]).astype(np.int32)


def _trained(words: sp.csr_matrix, views: Views) -> dict[str, np.ndarray]:
    from ramen import distributed
    from ramen.scorers.network.train import train_network

    config = views.config
    disable = distributed.progress_disabled()
    return train_network(words, views.targets, views.filtered, config.network, config.seed, disable)


def _hidden_sums(words: sp.csr_matrix, targets: sp.csr_matrix, vectors: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The sum of the hidden layers of each label's texts, float32 (L, d + 1)."""
    sums = np.zeros((targets.shape[1], vectors.shape[1] + 1), dtype=np.float32)
    for first in range(0, words.shape[0], _BLOCK):
        part = slice(first, first + _BLOCK)
        has_label = sp.csr_matrix((targets[part] > 0).T, dtype=np.float32)
        sums += has_label @ _hidden(words[part], vectors, bias)
    return sums


def _hidden(words: sp.csr_matrix, vectors: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The hidden layer and a constant 1, float32 (B, d + 1)."""
    hidden = np.ones((words.shape[0], vectors.shape[1] + 1), dtype=np.float32)
    hidden[:, :-1] = np.maximum(words @ vectors + bias, 0.0)
    return hidden
