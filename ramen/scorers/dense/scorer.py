"""The dense scorer: one-vs-all classifiers over the encoder's vector, a vector of weights per label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ramen.scorers.base import NewLabels, Scorer, Sizes
from ramen.scorers.dense.label_weights import LabelWeights
from ramen.scorers.vectors import VectorScorer, ridge_map, sampled_rows

if TYPE_CHECKING:
    from ramen.config import Config
    from ramen.scorers.judge import Judge
    from ramen.scorers.views import Views


@dataclass(frozen=True)
class DenseParams:
    """What a search chooses.

    Attributes:
        epochs: of training.
        start: name of the label vectors that the weights start from.
    """

    epochs: int
    start: str = ""


class DenseScorer(VectorScorer):
    """q · w_l with classifier weights w_l."""

    name = "dense"
    Params = DenseParams
    start_weight = 2.0  # classifiers count twice
    always_fitted = False  # it takes long to train and to ask

    @classmethod
    def is_enabled(cls, config: Config, n_labels: int) -> bool:
        """See :class:`TrainedScorer`."""
        return config.dense.epochs > 0 or config.dense.joint > 0

    @classmethod
    def default_params(cls, config: Config) -> DenseParams:
        """See :class:`TrainedScorer`: one epoch, but all of a schedule; none where they were trained along."""
        if config.dense.joint:
            return DenseParams(0)
        return DenseParams(1 if config.dense.scheduler == "halving" else config.dense.epochs)

    @classmethod
    def search(cls, views: Views, beside: Mapping[str, Scorer], judge: Judge) -> DenseScorer | None:
        """See :class:`TrainedScorer`."""
        from ramen.scorers.dense.search import search_dense

        return search_dense(views, beside, judge)

    @classmethod
    def fit(cls, views: Views, params: DenseParams) -> DenseScorer:
        """See :class:`TrainedScorer`."""
        from ramen.scorers.dense.train import train_on_views

        return cls.trained(views, train_on_views(views, params), params)

    @classmethod
    def trained(cls, views: Views, weights: LabelWeights, params: DenseParams) -> DenseScorer:
        """With the weights of all labels, and the map by which a new label starts where labels of such vectors ended.

        Args:
            views: on which the weights were trained.
            weights: of all labels, or of this process's.
            params: by which they were trained.
        """
        whole, rows = weights.whole(), sampled_rows(weights.n_labels)
        ended = np.concatenate([whole.block(row, row + 1) for row in rows.tolist()])
        return cls(whole, ridge_map(views.labels[rows], ended), params)

    def extend(self, labels: NewLabels) -> dict[str, np.ndarray]:
        """See :class:`TrainedScorer`."""
        return {"vectors": labels.label_vectors @ self.extension_map}

    @classmethod
    def memory(cls, sizes: Sizes, config: Config) -> tuple[float, float]:
        """See :class:`TrainedScorer`."""
        from ramen.scorers.dense.build import classifier_memory

        retained = 4.0 * sizes.dim * sizes.labels
        return classifier_memory(sizes.labels_here, sizes.dim, config.dense), retained
