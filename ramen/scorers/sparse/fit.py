"""Fit the sparse scorer on the rows of a view, each process its share of the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

from ramen import distributed
from ramen.scorers.sparse.classifier import FitSettings, SparseClassifier, fit_sparse
from ramen.scorers.sparse.prior import word_prior

if TYPE_CHECKING:
    from ramen.scorers.sparse.scorer import SparseParams
    from ramen.scorers.views import Views


def fit_on_views(views: Views, params: SparseParams) -> SparseClassifier:
    """The classifiers of all labels, on every process."""
    settings, words = views.config.sparse, views.words(params.features)
    graphs = [
        (views.links[graph], words.anchors(graph), weight)
        for graph, weight in params.anchors.items()
        if weight and graph in views.links
    ]
    prior = word_prior(words.labels, graphs, params.prior) if params.prior else None
    n_points, n_labels = views.targets.shape
    shard = distributed.shard(n_labels)
    with tqdm(
        total=shard.stop - shard.start,
        desc="sparse classifiers",
        unit="label",
        disable=distributed.progress_disabled(),
        leave=False,
    ) as bar:
        part = fit_sparse(
            words.points[views.rows], views.targets.T.tocsr(), views.negatives, views.filtered.T.tocsr(), prior,
            FitSettings(
                params.C, settings.passes, views.source.random_negatives(n_points, n_labels),
                max_weights=settings.max_weights, seed=views.config.seed,
            ),
            bar.update, shard,
        )  # fmt: skip
    bias = distributed.all_gather_rows(torch.from_numpy(part.bias), n_labels).numpy()
    return SparseClassifier(distributed.all_gather_csr(part.weights, n_labels), bias)
