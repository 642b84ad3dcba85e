"""The learned ranking: gradient-boosted trees over features of each candidate, and its files in a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.ranking.associations import Associations
from ramen.ranking.candidates import Gathered
from ramen.ranking.grams import BUCKETS, TitleGrams
from ramen.ranking.grams import NAMES as GRAMS
from ramen.ranking.overlap import FieldWords, LabelWords
from ramen.ranking.pair_features import TOGETHER, WORDS, PairFeatures
from ramen.ranking.shapley import GroupValues
from ramen.ranking.trees import Trees
from ramen.scorers.base import Queries, Scorer, save_tensors
from ramen.stored import Tensors, check_fields

_LEAST_SLOPE, _TILT = 1e-3, 0.01
MEAN = "mean"  # of the trees' scores over their training pairs: the base value of contributions
TREES, _LABELS = "trees.safetensors", "labels.safetensors"


@dataclass
class LearnedRanking:
    """Scores candidates by a scaled weighted sum plus the output of trees.

    Labels added after training are unlike any that the trees have seen. Each gets the mean score of trained labels
    with the same weighted sum; a small slope keeps the score strictly increasing in the sum.

    Attributes:
        trees: over ``features``.
        scale: of the weighted sum.
        features: of pairs of query and candidate.
        by_sum: ascending weighted sums and the mean score of trained labels there, float64 (2, knots).
        trained: number of trained labels; labels from this one on were added later.
    """

    trees: Trees
    scale: float
    features: PairFeatures
    by_sum: np.ndarray
    trained: int

    @property
    def scorers(self) -> list[str]:
        """Names of the scorers whose scores are features."""
        return list(self.features.weights)

    def scores(self, queries: Queries, gathered: Gathered) -> np.ndarray:
        """Score the candidates, float32 (B, C)."""
        rows = self._features_of(queries, gathered)
        sums = rows[:, :, self.features.sum_column]
        scores = self.trees.scores(rows.reshape(-1, rows.shape[2])).reshape(rows.shape[:2]) + self.scale * sums
        later = gathered.labels >= self.trained
        if later.any():
            scores[later] = self._of_later(sums[later])
        return scores.astype(np.float32)

    @property
    def terms(self) -> list[str]:
        """Names of the terms that :meth:`contributions` returns: groups of features, and the mean."""
        return [*dict.fromkeys(group for group, _ in self.features.names), MEAN]

    def contributions(self, queries: Queries, gathered: Gathered, places: np.ndarray) -> dict[str, np.ndarray]:
        """Return the contribution of each group of features to candidates' scores, float64 (B, K) each.

        The contributions sum to the scores. That of a scorer includes its term of the weighted sum.

        Args:
            queries: B queries.
            gathered: their candidates.
            places: int64 (B, K), columns of ``gathered``; contributions are 0 where it is -1.
        """
        wanted = places >= 0
        at = np.nonzero(wanted)[0], places[wanted]  # rows and columns of the candidates
        rows = self._features_of(queries, gathered)[at]
        names = self.terms
        parts = self._group_values.of_rows(rows)
        for name, weight in self.features.weights.items():
            parts[:, names.index(name)] += self.scale * weight * gathered.scores[name][at]
        later = gathered.labels[at] >= self.trained
        parts[later] = 0.0
        parts[later, names.index(TOGETHER)] = self._of_later(rows[later][:, self.features.sum_column])
        terms = np.zeros((len(names), *places.shape))
        terms[:, wanted] = parts.T
        return dict(zip(names, terms, strict=True))

    @cached_property
    def _group_values(self) -> GroupValues:
        """Of the trees, with the groups of :attr:`terms`."""
        names = self.terms
        return GroupValues.of(self.trees, np.array([names.index(group) for group, _ in self.features.names]))

    def _features_of(self, queries: Queries, gathered: Gathered) -> np.ndarray:
        if gathered.features is None or gathered.features[0] is not self.features:
            gathered.features = self.features, self.features.matrix(queries, gathered)
        return gathered.features[1]

    def _of_later(self, sums: np.ndarray) -> np.ndarray:
        """Score labels added after training by their weighted sums, float64; strictly increasing in the sum."""
        slope = max(self.scale, _LEAST_SLOPE)
        beyond = sums - np.clip(sums, self.by_sum[0, 0], self.by_sum[0, -1])
        return np.interp(sums, *self.by_sum) + slope * (beyond + _TILT * sums)

    def with_more(self, words: sp.csr_matrix, titles: Sequence[str], texts: Sequence[str]) -> LearnedRanking:
        """Append labels added after training, from their word features, titles and texts."""
        features = self.features
        counts = np.append(features.counts, np.zeros(words.shape[0], dtype=np.float32))
        associations = features.associations and features.associations.with_more(texts)
        more = features.words.with_more(words, titles)
        features = replace(features, counts=counts, words=more, associations=associations)
        return replace(self, features=features)

    def save(self, folder: Path) -> None:
        """Write the arrays into an existing folder."""
        save_tensors(folder / TREES, self.trees.arrays())
        words = self.features.words
        rows = {f"texts.{part}": array for part, array in zip(_PARTS, words.texts.arrays(), strict=True)}
        if words.titles:
            rows |= {f"titles.{name}": getattr(words.titles, name) for name in _GRAMS}
        if self.features.associations:
            rows |= {f"associations.{name}": array for name, array in self.features.associations.arrays().items()}
        arrays = {"counts": self.features.counts, "columns": words.columns, "by_sum": self.by_sum, **rows}
        save_tensors(folder / _LABELS, arrays)

    def facts(self) -> dict[str, Any]:
        """Return the metadata that belongs to the arrays, as JSON."""
        facts = {"scorers": self.scorers, "scale": self.scale, "features": [list(name) for name in self.features.names]}
        associations = self.features.associations
        return {**facts, **({"common_words": associations.facts()} if associations else {})}

    @classmethod
    def load(
        cls, folder: Path, facts: Mapping[str, Any], scorers: Mapping[str, Scorer], weights: Mapping[str, float],
        n_features: int, full: bool = True,
    ) -> LearnedRanking:  # fmt: skip
        """Load what :meth:`save` wrote.

        Args:
            folder: of the run's ranking.
            facts: from :meth:`facts`.
            scorers: of the run.
            weights: of its weighted sum.
            n_features: number of word features.
            full: check all values of the arrays, too.

        Raises:
            InputError: the run lacks a scorer, the features are of another version, or the files are damaged.
        """
        path = folder / "ranking.json"
        check_fields(f"{path}: learned", facts, _FACTS, {"common_words": "an object"})
        for name in facts["scorers"]:
            if name not in scorers:
                raise InputError(f"{path}: found the scorer {name!r}, expected one of {', '.join(sorted(scorers))}")
        if len(set(facts["scorers"])) < len(facts["scorers"]):
            raise InputError(f"{path}: scorers: found one twice, expected each once")
        stored, n_labels = Tensors(folder / _LABELS, full), next(iter(scorers.values())).n_labels
        counts = stored.array("counts", "f4", (n_labels,))
        if full and len(counts) and counts.min() < 0:
            raise InputError(f"{stored.path}: counts: found {counts.min()}, expected numbers of at least 0")
        columns = stored.integers("columns", "i4", (n_features,), -1, n_features)
        titles = _titles(stored.part("titles."), n_labels) if [WORDS, GRAMS[0]] in facts["features"] else None
        words = LabelWords(columns, _rows(stored.part("texts."), n_labels, n_features), titles)
        associations = None
        if "common_words" in facts:
            try:
                associations = Associations.read(stored.part("associations."), facts["common_words"], n_labels)
            except InputError as error:
                raise InputError(str(error) if str(stored.path) in str(error) else f"{path}: {error}") from error
        features = PairFeatures.of(facts["scorers"], weights, counts, words, associations)
        if [list(name) for name in features.names] != facts["features"]:
            raise InputError(f"{path}: found features of another version; train the run again")
        trees = _trees(folder / TREES, len(features.names))
        return cls(trees, float(facts["scale"]), features, _by_sum(stored), n_labels)


_FACTS = {"scorers": "a list of strings", "scale": "a number", "features": "a list"}
_GRAMS = ("idf", "starts", "grams")
_PARTS = ("starts", "words", "weights", "in_title")


def _rows(stored: Tensors, n: int, width: int) -> FieldWords:
    words = stored.integers("words", "i4", (None,), 0, width)
    weights = stored.array("weights", "f4", words.shape)
    in_title = stored.integers("in_title", "u1", words.shape, 0, 2)
    rows = sp.csr_matrix((n, width), dtype=np.float32)
    rows.data, rows.indices, rows.indptr = weights, words, stored.offsets("starts", n, len(words))
    return FieldWords(rows, in_title)


def _titles(stored: Tensors, n: int) -> TitleGrams:
    idf = stored.array("idf", "f4", (BUCKETS,))
    grams = stored.integers("grams", "i4", (None,), 0, BUCKETS)
    return TitleGrams(idf, stored.offsets("starts", n, len(grams)), grams)


def _by_sum(stored: Tensors) -> np.ndarray:
    by_sum = stored.array("by_sum", "f8", (2, None))
    if not by_sum.size or not np.isfinite(by_sum).all() or (np.diff(by_sum) < 0).any():
        raise InputError(f"{stored.path}: by_sum: found others, expected finite sums and scores that ascend")
    return by_sum


def _trees(path: Path, n_features: int) -> Trees:
    stored = Tensors(path)  # small
    features, values = stored.array("features", "i4", (None,)), stored.array("values", "f8", (None,))
    trees = Trees(
        roots=stored.array("roots", "i4", (None,)),
        features=features,
        thresholds=stored.array("thresholds", "f8", features.shape),
        children=stored.array("children", "i4", (len(features), 2)),
        node_counts=stored.array("node_counts", "f4", features.shape),
        leaf_counts=stored.array("leaf_counts", "f4", values.shape),
        values=values,
    )
    try:
        trees.check(n_features)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return trees
