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
from ramen.mapped import map_tensors
from ramen.ranking.associations import Associations
from ramen.ranking.candidates import Gathered
from ramen.ranking.grams import TitleGrams
from ramen.ranking.overlap import FieldWords, LabelWords
from ramen.ranking.pair_features import TOGETHER, PairFeatures
from ramen.ranking.shapley import GroupValues
from ramen.ranking.trees import Trees
from ramen.scorers.base import Queries, Scorer, save_tensors

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
        cls, folder: Path, facts: Mapping[str, Any], scorers: Mapping[str, Scorer], weights: Mapping[str, float]
    ) -> LearnedRanking:
        """Load what :meth:`save` wrote.

        Args:
            folder: of the run's ranking.
            facts: from :meth:`facts`.
            scorers: of the run.
            weights: of its weighted sum.

        Raises:
            InputError: the run lacks a scorer, the features are of another version, or the files are damaged.
        """
        path = folder / "ranking.json"
        try:
            for name in facts["scorers"]:
                if name not in scorers:
                    raise InputError(f"{path}: found the scorer {name!r}, expected one of {', '.join(sorted(scorers))}")
            if len(set(facts["scorers"])) < len(facts["scorers"]):
                raise ValueError("found a scorer twice")
            scale = float(facts["scale"])
            if not np.isfinite(scale):
                raise ValueError(f"scale {scale}, expected a number")
            path = folder / _LABELS
            stored = map_tensors(path)
            n_labels = next(iter(scorers.values())).n_labels
            if stored["counts"].shape != (n_labels,):
                raise ValueError(f"counts of shape {stored['counts'].shape}, expected one of each of {n_labels} labels")
            texts = _rows(stored, len(stored["counts"]), len(stored["columns"]))
            words = LabelWords(stored["columns"], texts, _titles(stored, len(stored["counts"])))
            by_sum = stored["by_sum"]
            if by_sum.ndim != 2 or len(by_sum) != 2 or not by_sum.size or not np.isfinite(by_sum).all():
                raise ValueError(f"by_sum of shape {by_sum.shape}, expected numbers of (2, knots)")
            if (np.diff(by_sum) < 0).any():
                raise ValueError("by_sum: expected sums and scores that ascend")
            associations = None
            if "common_words" in facts:
                parts = {name: stored[f"associations.{name}"] for name in ("table", "starts", "of_labels")}
                associations = Associations.read(parts, facts["common_words"], n_labels)
            features = PairFeatures.of(facts["scorers"], weights, stored["counts"], words, associations)
            path = folder / "ranking.json"
            if [list(name) for name in features.names] != list(facts["features"]):
                raise InputError(f"{path}: found features of another version; train the run again")
            path = folder / TREES
            trees = Trees(**map_tensors(path))
            trees.check(len(features.names))
        except InputError as error:
            raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: not what training wrote: {error}") from error
        return cls(trees, scale, features, by_sum, len(stored["counts"]))


_GRAMS = ("idf", "starts", "grams")
_PARTS = ("starts", "words", "weights", "in_title")
_TYPES = tuple(np.dtype(name) for name in ("i8", "i4", "f4", "u1"))


def _rows(stored: Mapping[str, np.ndarray], n: int, width: int) -> FieldWords:
    starts, words, weights, in_title = (stored[f"texts.{part}"] for part in _PARTS)
    rows = sp.csr_matrix((n, width), dtype=np.float32)
    rows.data, rows.indices, rows.indptr = weights, words, starts
    if len(starts) != n + 1 or starts[-1] != len(words) or not len(words) == len(weights) == len(in_title):
        raise ValueError("texts: the lengths of the arrays differ from texts.starts")
    columns = stored["columns"]
    if starts[0] != 0 or (np.diff(starts) < 0).any():  # kernels do not check bounds
        raise ValueError("texts.starts: expected to ascend from 0")
    for name, numbers, lowest in (("texts.words", words, 0), ("columns", columns, -1)):
        if numbers.size and (numbers.min() < lowest or numbers.max() >= width):
            raise ValueError(f"{name}: expected {lowest} to {width - 1}")
    if (starts.dtype, words.dtype, weights.dtype, in_title.dtype) != _TYPES:
        raise ValueError(f"texts: expected arrays of {', '.join(map(str, _TYPES))}")
    return FieldWords(rows, in_title)


def _titles(stored: Mapping[str, np.ndarray], n: int) -> TitleGrams | None:
    if "titles.grams" not in stored:
        return None
    idf, starts, grams = (stored[f"titles.{name}"] for name in _GRAMS)
    if len(starts) != n + 1 or starts[0] != 0 or (np.diff(starts) < 0).any() or starts[-1] != len(grams):
        raise ValueError("titles.starts: expected to ascend from 0 to the number of grams")
    if grams.size and (grams.min() < 0 or grams.max() >= len(idf)):
        raise ValueError(f"titles.grams: expected 0 to {len(idf) - 1}")
    if (idf.dtype, starts.dtype, grams.dtype) != tuple(np.dtype(name) for name in ("f4", "i8", "i4")):
        raise ValueError("titles: expected arrays of float32, int64, int32")
    return TitleGrams(idf, starts, grams)
