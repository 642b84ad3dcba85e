"""Whether other word features are worth a fit of all labels: asked of a sample of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from ramen.metrics.trust import standard_errors
from ramen.scorers.sparse.classifier import FitSettings, fit_sparse

if TYPE_CHECKING:
    from ramen.scorers.sparse.scorer import SparseParams
    from ramen.scorers.views import Views

_LABELS, _FEWEST_LABELS = 200, 20
_FEWEST_POINTS = 4  # of a label: half of them teach, the others judge
_POINTS = 3000  # in the sample, about
_SURE = 2.0  # standard errors


def sample_prefers(features: str, params: SparseParams, views: Views) -> bool:
    """Whether classifiers of a sample of labels rank them clearly better over other features than over those chosen.

    Half of the points of 200 labels teach, the other half judge, by the discounted rank of their labels among the 200.

    Args:
        features: the other set.
        params: hyperparameters, with the set chosen so far.
        views: of the rows to fit on; the held-out points are not among them.
    """
    rng = np.random.default_rng([views.config.seed, 4])
    often = np.flatnonzero(views.targets.getnnz(0) >= _FEWEST_POINTS)
    if len(often) < _FEWEST_LABELS:
        return False
    labels = np.sort(rng.permutation(often)[:_LABELS])
    targets = views.targets[:, labels].tocsr()
    points = np.flatnonzero(np.diff(targets.indptr))
    points = np.sort(rng.permutation(points)[:_POINTS])
    teaches = rng.random(len(points)) < 0.5
    ranked = [
        _discounted_ranks(views.source.of_some(name, views.rows[points]), targets[points], teaches, params)
        for name in (features, params.features)
    ]
    return standard_errors(ranked[0] - ranked[1]) > _SURE


def _discounted_ranks(
    words: sp.csr_matrix, targets: sp.csr_matrix, teaches: np.ndarray, params: SparseParams
) -> np.ndarray:
    """1 / log2(1 + rank) of each pair (point, label) of the points that do not teach."""
    positives = sp.csr_matrix((targets[teaches] > 0).T, dtype=np.float32)
    none = sp.csr_matrix(positives.shape, dtype=np.float32)
    settings = FitSettings(C=params.C, uniform=positives.shape[1] // 4)
    classifier = fit_sparse(sp.csr_matrix(words[teaches]), positives, none, none, None, settings)
    margins = (words[~teaches] @ classifier.weights.T).toarray() + classifier.bias
    rows, columns = targets[~teaches].nonzero()
    ranks = (margins[rows] > margins[rows, columns][:, None]).sum(1)
    return 1 / np.log2(2.0 + ranks)
