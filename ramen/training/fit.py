"""Fit the scorers on the rows of a split: the same code for choosing and for the run's own weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from tqdm import tqdm

from ramen import distributed
from ramen.encoders.base import Encoder
from ramen.encoders.distilled import procrustes
from ramen.graph.lambdas import Lambdas
from ramen.mining.approximate import nearest_of_each
from ramen.mining.inverted import InvertedIndex
from ramen.mining.nearest import nearest
from ramen.mining.negatives import mined_negatives
from ramen.ranking.learned import LearnedRanking
from ramen.ranking.overlap import LabelWords, word_columns
from ramen.ranking.pair_features import PairFeatures
from ramen.ranking.trees import Trees
from ramen.scorers.base import Queries, StoredScorer, title_of
from ramen.scorers.dense.base import Head
from ramen.scorers.dense.train import fit_epochs, fit_head
from ramen.scorers.neighbours import Neighbours
from ramen.scorers.sparse.classifier import SparseClassifier, fit_sparse
from ramen.scorers.sparse.prior import word_prior
from ramen.scorers.sparse.scorer import SparseWords
from ramen.scorers.sparse.search import SparseChoice
from ramen.scorers.sparse.words import SETS, WordFeatures
from ramen.scorers.vectors import LabelVectors
from ramen.training.material import Material
from ramen.training.ranking import SUM, RankingChoice
from ramen.training.split import Split

_EXACT = 200_000  # points up to which the nearest are searched exactly: the time grows with their square
_NAME = 120  # characters of a point's name
_COMMON = 0.03  # words that a larger share of the points has are not looked at for the nearest by words


class WordRows:
    """Features of one set, fitted on a split's points and all labels, and the rows of every text."""

    def __init__(self, material: Material, split: Split, kind: str) -> None:
        points, labels, config = material.texts["points"], material.texts["labels"], material.config
        anchors = (material.texts[graph] for graph in (config.graphs if config.graph.words else ()))
        texts = chain((points[row] for row in split.rows), labels, *anchors)
        self.features = WordFeatures.fit(texts, kind, config.sparse.min_count, config.sparse.max_share)
        self.points, self.labels = self.features.transform(points), self.features.transform(labels)
        self._texts, self._anchors = material.texts, dict[str, sp.csr_matrix]()

    def anchors(self, graph: str) -> sp.csr_matrix:
        """Rows of a graph's anchors, CSR (M, F)."""
        if graph not in self._anchors:
            self._anchors[graph] = self.features.transform(self._texts[graph])
        return self._anchors[graph]


class Fitter:
    """Fits scorers on the rows of a split, by a trained encoder.

    Args:
        material: of the run.
        split: rows and targets to fit on.
        encoder: trained on the same split.

    Attributes:
        first: name of the scorer of the labels' own vectors.
        sets: of features that the sparse head may read.
        uniform: negatives of each label that are drawn by chance.
        starts: label vectors from which the dense head may start, by name; the first unless validation says otherwise.
    """

    first = "encoder"
    sets = SETS
    _kept: tuple[SparseChoice, SparseWords] | None = None

    def __init__(self, material: Material, split: Split, encoder: Encoder) -> None:
        self.material, self.split, self.config = material, split, material.config
        self.uniform = self.config.sparse.uniform
        self.points = encoder.encode(material.tokens["points"])
        self.labels = encoder.encode_labels(material.tokens["labels"])
        self.starts = {"own": self.labels}
        if material.teacher_labels is not None and material.config.stage1.epochs:
            teacher = procrustes(material.teacher_labels, self.labels)
            self.starts = {"teacher": teacher, **(self.starts if self.config.encoder.labels == "auto" else {})}
        elif material.teacher_labels is not None:  # the encoder still lives in its teacher's space
            self.labels = material.teacher_labels
            self.starts = {"teacher": self.labels}
        self.start_from(next(iter(self.starts)))
        self.targets = split.targets[split.rows]
        self.filtered = material.filtered[split.rows]
        self._fitted = self.points[torch.from_numpy(split.rows)].contiguous()
        self._words: dict[str, WordRows] = {}

    def start_from(self, name: str) -> None:
        """Let the dense head start from these label vectors, one of ``starts``."""
        self._start = self.starts[name]

    def queries(self, rows: np.ndarray, features: str | None) -> Queries:
        """Some of the training points, with words of that set of features, if any."""
        words = self.words(features).points[rows] if features else None
        points = self.material.texts.get("points")  # none of bags of words
        titles = None if points is None else [title_of(points[row]) for row in rows.tolist()]
        return Queries(self.points.numpy()[rows], words, titles)

    def words(self, features: str) -> WordRows:
        """Words of one set of features, made once."""
        if features not in self._words:
            self._words[features] = WordRows(self.material, self.split, features)
        return self._words[features]

    def label_words(self, features: str) -> LabelWords:
        """Words of every label, as the learned ranking reads them."""
        words = self.words(features)
        titles = (title_of(text) for text in self.material.texts["labels"])
        return LabelWords.of(word_columns(words.features.names), words.labels, titles)

    def encoder(self) -> LabelVectors:
        """The labels' own vectors."""
        return LabelVectors(self.labels.numpy())

    def neighbours(self, temperature: float) -> Neighbours:
        """The points that vote."""
        return Neighbours(self._fitted.numpy(), self.targets, self.config.neighbours.k, temperature)

    def _names(self) -> list[str]:
        """The beginning of each point's title, or its uid: by which people know it again."""
        texts = self.material.dataset.train
        return [
            (texts.titles[row] or texts.contents[row])[:_NAME] or texts.uids[row] for row in self.split.rows.tolist()
        ]

    @cached_property
    def negatives(self) -> sp.csr_matrix:
        """Mined negatives of every label among the split's rows, CSR (L, rows)."""
        return distributed.broadcast(self._mined)

    def _mined(self) -> sp.csr_matrix:
        words, own = self.words("words").points[self.split.rows], np.arange(len(self.split.rows))
        k = min(self.config.sparse.near, max(1, len(own) - 1))
        by_words = InvertedIndex(words, max_share=_COMMON).top(words, k, own)[0]
        vectors = self._fitted.numpy()
        if len(own) <= _EXACT:
            by_vectors = nearest(vectors, vectors, k, own)[0]
        else:
            by_vectors = nearest_of_each(vectors, k, self.config.seed)[0]
        return mined_negatives([by_words, by_vectors], self.targets)

    def sparse(self, choice: SparseChoice) -> SparseWords:
        """The sparse head of these settings; where it is also the run's own, the last one fitted is kept."""
        if self._kept and self._kept[0] == choice:
            return self._kept[1]
        settings, words = self.config.sparse, self.words(choice.features)
        graphs = [
            (links, words.anchors(kind), weight)
            for kind, weight in choice.anchors.items()
            if weight and (links := self.material.dataset.graphs[kind].labels) is not None
        ]
        prior = word_prior(words.labels, graphs, choice.prior, settings.max_degree) if choice.prior else None
        n_labels = self.targets.shape[1]
        own = distributed.shard(n_labels)
        with tqdm(
            total=own.stop - own.start,
            desc="sparse head",
            unit="label",
            disable=distributed.progress_disabled(),
            leave=False,
        ) as bar:
            head = fit_sparse(
                words.points[self.split.rows], self.targets.T.tocsr(), self.negatives, self.filtered.T.tocsr(), prior,
                C=choice.C, passes=settings.passes, uniform=self.uniform, min_weight=settings.min_weight,
                max_weights=settings.max_weights, seed=self.config.seed, progress=bar.update,
                labels=own,
            )  # fmt: skip
        bias = distributed.all_gather_rows(torch.from_numpy(head.bias), n_labels).numpy()
        scorer = SparseWords(SparseClassifier(distributed.all_gather_csr(head.weights, n_labels), bias))
        if not self.config.validation.refit:
            self._kept = choice, scorer
        return scorer

    def head_epochs(self) -> Iterator[tuple[int, Head, float]]:
        """The dense head after each epoch; see :func:`fit_epochs`."""
        return fit_epochs(self._fitted, self._start, self.targets, self.filtered, lambda: self.negatives, self.config)

    def scorers(self, choice: Choice, log: Callable[..., None]) -> dict[str, StoredScorer]:
        """The labels' own vectors and every other scorer that was chosen."""
        scorers: dict[str, StoredScorer] = {self.first: self.encoder()}
        if choice.labels:
            self.start_from(choice.labels)
        used = choice.scorers
        if "head" in used:
            scorers["head"] = LabelVectors(fit_head(self.head_epochs(), choice.head_epochs, log).whole())
        if "neighbours" in used:
            voters = self.neighbours(choice.temperature)
            voters.names = self._names()
            scorers["neighbours"] = voters
        if "sparse" in used and choice.sparse:
            scorers["sparse"] = self.sparse(choice.sparse)
        return scorers


@dataclass(frozen=True)
class Choice:
    """All that validation picks.

    Attributes:
        weights: of the scorers; 0 for one that takes no part.
        head_epochs: of the dense head.
        temperature: of the neighbours.
        sparse: of the sparse head, or None where there is none.
        lambdas: λ_x and λ_z of each graph; for the bandit where it starts.
        walks: whether the graphs are densified.
        labels: vectors from which the dense head starts, where there is a choice.
        ranking: how the scorers are ranked together; None without validation.
    """

    weights: dict[str, float]
    head_epochs: int
    temperature: float
    sparse: SparseChoice | None
    lambdas: Lambdas = field(default_factory=dict)
    walks: bool = False
    labels: str = ""
    ranking: RankingChoice | None = None

    @property
    def scorers(self) -> set[str]:
        """Names of those that have a say; in the weighted sum not those of weight 0."""
        if self.ranking is not None and self.ranking.trees is not None:
            return set(self.ranking.scorers)
        return {name for name, weight in self.weights.items() if weight}

    @property
    def calibration(self) -> dict[str, list[float]] | None:
        """Probabilities of the joint scores, :meth:`Calibration.facts`."""
        return self.ranking.calibration if self.ranking else None

    def features(self, otherwise: str) -> str:
        """The set of features of exact words."""
        return self.sparse.features if self.sparse else otherwise

    def metrics(self, figures: dict[str, float]) -> dict[str, Any]:
        """What ``metrics.json`` tells of it."""
        chosen = asdict(self)
        ranking = chosen.pop("ranking") or {}
        return {
            "chosen": {**chosen, "ranking": ranking.get("model", SUM)},
            "validation": figures,
            "validation_of_scorers": ranking.get("scorers", {}),
        }


def learned_ranking(fitter: Fitter, scorers: Mapping[str, StoredScorer], choice: Choice) -> LearnedRanking | None:
    """The trees that were chosen, over the scorers that a run keeps; None for the weighted sum."""
    ranking = choice.ranking
    if ranking is None or ranking.trees is None:
        return None
    words = fitter.label_words(choice.features(fitter.sets[0]))
    features = PairFeatures.of(scorers, choice.weights, fitter.targets.getnnz(0), words)
    assert [list(name) for name in features.names] == ranking.features
    return LearnedRanking(
        Trees.read(ranking.trees), ranking.scale, features, np.array(ranking.by_sum), len(features.counts)
    )
