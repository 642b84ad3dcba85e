"""Fit the sparse scorer on the rows of a view, each process its share of the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ramen import distributed
from ramen.progress import progress
from ramen.scorers.sparse.classifier import FitSettings, SparseClassifier, fit_sparse
from ramen.scorers.sparse.prior import word_prior

if TYPE_CHECKING:
    from ramen.scorers.sparse.scorer import SparseParams
    from ramen.scorers.views import Views


def fit_on_views(views: Views, params: SparseParams) -> SparseClassifier:
    """The classifiers of all labels, on every process."""
    features, positives, negatives, skipped, prior, settings = _parts(views, params)
    shard = distributed.shard(views.n_labels)
    total, disable = shard.stop - shard.start, distributed.progress_disabled()
    with progress(desc="sparse classifiers", total=total, unit="label", disable=disable) as bar:
        part = fit_sparse(features, positives, negatives, skipped, prior, settings, bar.update, shard)
    bias = distributed.all_gather_rows(torch.from_numpy(part.bias), views.n_labels).numpy()
    return SparseClassifier(distributed.all_gather_csr(part.weights, views.n_labels), bias)


def fit_some(views: Views, params: SparseParams, labels: np.ndarray) -> SparseClassifier:
    """The classifiers of some labels, int64 (K,), as rows of their own."""
    features, positives, negatives, skipped, prior, settings = _parts(views, params)
    some = positives[labels], negatives[labels], skipped[labels], None if prior is None else prior[labels]
    return fit_sparse(features, *some, settings)


def _parts(views: Views, params: SparseParams) -> tuple[Any, ...]:
    """Features, positives, negatives, skipped points and prior of all labels, and settings."""
    settings, words = views.config.sparse, views.words(params.features)
    graphs = [
        (views.links[graph], words.anchors(graph), weight)
        for graph, weight in params.anchors.items()
        if weight and graph in views.links
    ]
    prior = word_prior(words.labels, graphs, params.prior) if params.prior else None
    of_fit = FitSettings(
        C=params.C, passes=settings.passes, uniform=views.source.random_negatives(*views.targets.shape),
        max_weights=settings.max_weights, seed=views.config.seed,
    )  # fmt: skip
    positives, skipped = views.targets.T.tocsr(), views.filtered.T.tocsr()
    return words.points[views.rows], positives, views.negatives, skipped, prior, of_fit
