"""Whether other word features are worth a fit of all labels: asked of a sample of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from ramen.metrics.trust import standard_errors
from ramen.scorers.judge import Judge
from ramen.scorers.sparse.fit import fit_some

if TYPE_CHECKING:
    from ramen.scorers.sparse.scorer import SparseParams
    from ramen.scorers.views import Views

_POINTS = 500  # held-out ones whose labels are asked about
_LABELS = 2000  # fitted, theirs and others to be told from them
_FEWEST = 50  # pairs to judge by
_SURE = 2.0  # standard errors


def sample_prefers(features: str, params: SparseParams, views: Views, judge: Judge) -> bool:
    """Whether classifiers over other features rank the labels of held-out points clearly better, among 2,000 labels.

    Their classifiers are those of a fit of all labels; only the other labels are missing.

    Args:
        features: the other set.
        params: hyperparameters, with the set chosen so far.
        views: what is fitted on.
        judge: has the held-out points.
    """
    rng = np.random.default_rng([views.config.seed, 4])
    points = np.sort(rng.permutation(judge.targets.shape[0])[:_POINTS])
    targets = sp.csr_matrix(judge.targets[points] > 0)
    others = rng.permutation(views.n_labels)[: max(0, _LABELS - len(np.unique(targets.indices)))]
    labels = np.union1d(targets.indices, others).astype(np.int64)
    targets = targets[:, labels].tocsr()
    if targets.nnz < _FEWEST:
        return False
    ranked = []
    for name in (features, params.features):
        classifier = fit_some(views, replace(params, features=name), labels)
        words = judge.queries(name)[points].words
        margins = (words @ classifier.weights.T).toarray() + classifier.bias
        rows = np.repeat(np.arange(len(points)), np.diff(targets.indptr))
        ranks = (margins[rows] > margins[rows, targets.indices][:, None]).sum(1)
        ranked.append(1 / np.log2(2.0 + ranks))
    return standard_errors(ranked[0] - ranked[1]) > _SURE
