"""The encoder's scorer: inner product of a text's vector and each label's own vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ramen.scorers.base import NewLabels, Scorer, Sizes
from ramen.scorers.vectors import VectorScorer

if TYPE_CHECKING:
    from ramen.config import Config
    from ramen.scorers.judge import Judge
    from ramen.scorers.views import Views


@dataclass(frozen=True)
class EncoderParams:
    """Nothing is chosen."""


class EncoderScorer(VectorScorer):
    """q · z_l with the label's own vector z_l."""

    name = "encoder"
    always_kept = True
    Params = EncoderParams

    @classmethod
    def default_params(cls, config: Config) -> EncoderParams:
        """See :class:`TrainedScorer`."""
        return EncoderParams()

    @classmethod
    def search(cls, views: Views, beside: Mapping[str, Scorer], judge: Judge) -> EncoderScorer:
        """See :class:`TrainedScorer`."""
        return cls.fit(views, EncoderParams())

    @classmethod
    def fit(cls, views: Views, params: EncoderParams) -> EncoderScorer:
        """See :class:`TrainedScorer`."""
        return cls(views.labels, views.extension_map(), params)

    def extend(self, labels: NewLabels) -> dict[str, np.ndarray]:
        """See :class:`TrainedScorer`."""
        return {"vectors": labels.label_vectors}

    @classmethod
    def memory(cls, sizes: Sizes, config: Config) -> tuple[float, float]:
        """See :class:`TrainedScorer`."""
        vectors = 4.0 * sizes.dim * sizes.labels
        return vectors, vectors
