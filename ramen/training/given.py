"""``--preset words``: scorers over the bags of words that a data set gives itself, without an encoder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch

from ramen import distributed
from ramen.config import Config
from ramen.data import Dataset, bags_of_words
from ramen.data.dataset import Features
from ramen.data.matrices import pair_matrix
from ramen.encoders.bag_of_words import SETS, BagOfWords
from ramen.inference.artefact import Ranking, save_run
from ramen.mining.inverted import InvertedIndex
from ramen.mining.nearest import nearest
from ramen.mining.negatives import mined_negatives
from ramen.ranking.overlap import LabelWords
from ramen.training.choose import choose, without_validation
from ramen.training.fit import Fitter, learned_ranking
from ramen.training.folder import CHECKPOINTS
from ramen.training.log import Log
from ramen.training.material import Material
from ramen.training.split import Split, cut, unseen_share, whole

_HEAVIEST = 50  # words of a label
_UNIFORM = 5_000_000  # negatives of all labels together, where sparse.uniform makes fewer


class GivenRows:
    """Rows of one set of features, as :class:`ramen.training.fit.WordRows` has them of texts."""

    def __init__(self, given: BagOfWords, features: Features, n_labels: int) -> None:
        self.features = given
        self.points = given.rows(features.train)
        none = sp.csr_matrix((n_labels, features.train.shape[1]), dtype=np.float32)
        self.labels = none if features.labels is None else given.rows(features.labels)


class GivenFitter(Fitter):
    """Fits scorers on given features: centroids of the labels' points stand where an encoder's label vectors do.

    Args:
        material: of the run; its dataset has features.
        split: rows and targets to fit on.
        given: made of the training points' features.
    """

    first = "centroids"
    sets = SETS

    def __init__(self, material: Material, split: Split, given: BagOfWords) -> None:
        self.material, self.split, self.config = material, split, material.config
        self.given, self.bags = given, bags_of_words(material.dataset)
        self.points = torch.from_numpy(given.vectors(self.bags.train))
        self.targets = split.targets[split.rows]
        self.filtered = material.filtered[split.rows]
        self._fitted = self.points[torch.from_numpy(split.rows)].contiguous()
        sums = (self.targets > 0).astype(np.float32).T @ self._fitted.numpy()
        self.labels = torch.nn.functional.normalize(torch.from_numpy(sums), dim=1)
        self.starts = {"own": self.labels}
        self.start_from("own")
        self._given: dict[str, GivenRows] = {}
        n_labels = self.targets.shape[1]
        self.uniform = max(self.config.sparse.uniform, min(len(split.rows), _UNIFORM // n_labels))

    def words(self, features: str) -> GivenRows:  # type: ignore[override]
        """Rows of one set of features, made once."""
        if features not in self._given:
            n_labels = self.targets.shape[1]
            self._given[features] = GivenRows(self.given.with_kind(features), self.bags, n_labels)
        return self._given[features]

    def label_words(self, features: str) -> LabelWords:
        """Words of every label, by its own bag or, where the set has none, by the heaviest words of its points."""
        words = self.words(features)
        columns = np.arange(words.points.shape[1], dtype=np.int32)
        rows = words.labels
        if not rows.nnz:
            sums = sp.csr_matrix((self.targets > 0).astype(np.float32).T @ words.points[self.split.rows])
            rows = _heaviest(sums, _HEAVIEST)
        return LabelWords.of(columns, rows)

    def _mined(self) -> sp.csr_matrix:
        rows, own = self.words(SETS[1]).points[self.split.rows], np.arange(len(self.split.rows))
        k = min(self.config.sparse.near, max(1, len(own) - 1))
        by_words = InvertedIndex(rows).top(rows, k, own)[0]
        by_vectors = nearest(self._fitted.numpy(), self._fitted.numpy(), k, own)[0]
        return mined_negatives([by_words, by_vectors], self.targets)


def _heaviest(rows: sp.csr_matrix, count: int) -> sp.csr_matrix:
    """The largest weights of each row, of equal ones those of smaller columns."""
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    order = np.lexsort((rows.indices, -rows.data, row))
    kept = np.sort(order[np.arange(len(order)) - rows.indptr[row[order]] < count])
    counts = np.bincount(row[kept], minlength=rows.shape[0])
    found = sp.csr_matrix((rows.data[kept], rows.indices[kept], np.append(0, np.cumsum(counts))), shape=rows.shape)
    found.sort_indices()
    return found


def train_given(dataset: Dataset, config: Config, out: Path, log: Log) -> None:
    """Choose on a split, fit on everything, save; the folder is open."""
    features = bags_of_words(dataset)
    given = BagOfWords.fit(features.train, SETS[0], config.seed)
    filtered = pair_matrix(dataset.train_filter, dataset.train_targets.shape)
    material = Material(dataset, config, {}, {}, filtered, {}, None)
    hold = config.validation
    vectors = given.vectors(features.train)
    unseen = unseen_share(dataset, hold.unseen)
    split = cut(dataset, vectors, hold.share, hold.max_points, config.seed, hold.min_points, unseen)
    if len(split.held_out):
        choice, figures = choose(GivenFitter(material, split, given), log)
    else:
        choice, figures = without_validation(config, log, GivenFitter.first)
    fitter = GivenFitter(material, whole(dataset), given)
    scorers = fitter.scorers(choice, log)
    learned = learned_ranking(fitter, scorers, choice)
    words = given.with_kind(choice.features(SETS[0]))
    weights = {name: choice.weights.get(name, 0.0) for name in scorers}
    if not distributed.is_main():
        return
    save_run(
        out,
        None,
        words,
        scorers,
        Ranking(weights, learned, choice.calibration),
        dataset.labels,
        choice.metrics(figures),
    )
    shutil.rmtree(out / CHECKPOINTS)
