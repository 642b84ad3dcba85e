"""Search the dense scorer's start and number of epochs by how the held-out points are ranked with it."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ramen.scorers.base import Scorer
from ramen.scorers.dense.scorer import DenseParams, DenseScorer
from ramen.scorers.dense.train import train_epochs
from ramen.scorers.judge import GAIN, Judge, log_sum

if TYPE_CHECKING:
    from ramen.scorers.views import Views

_PATIENCE = 2  # epochs without a gain: the first of a good classifier may lose by chance


def search_dense(views: Views, beside: Mapping[str, Scorer], judge: Judge) -> DenseScorer:
    """Train until two epochs in a row gain nothing, and return the best epoch's classifiers.

    Where the weighted sum is better without them it is the last epoch's: the learned ranking may still use these.
    """
    start = _best_start(views, judge)
    best = judge.best_sum(beside)
    in_sum = {name: beside[name] for name in best.weights}
    chosen, helps, began = DenseScorer(views.starts[start], params=DenseParams(0, start)), False, time.perf_counter()
    for epoch, classifier, loss in train_epochs(views, start):
        if not epoch:
            continue
        trial = DenseScorer(copy.deepcopy(classifier.label_weights()), params=DenseParams(epoch, start))
        summed = judge.weigh({**in_sum, DenseScorer.name: trial})
        log_sum(judge, summed, scorer=DenseScorer.name, epoch=epoch, loss=loss, seconds=time.perf_counter() - began)
        began = time.perf_counter()
        if summed.weights[DenseScorer.name] and summed.value > best.value:
            best, chosen, helps = summed, trial, True
        elif not helps:
            chosen = trial
        if (epoch - chosen.params.epochs if helps else epoch) >= _PATIENCE:
            break
    if helps and chosen.params.epochs == views.config.dense.epochs:
        judge.log(stage="search", note="dense.epochs: the best value is the largest allowed")
    return DenseScorer.trained(views, chosen.weights, chosen.params)


def _best_start(views: Views, judge: Judge) -> str:
    """The label vectors that rank best by themselves; the first unless others are clearly better."""
    names = list(views.starts)
    if len(names) == 1:
        return names[0]
    alone = {name: judge.value({name: DenseScorer(views.starts[name])}, {name: 1.0})[0] for name in names}
    best = max(names, key=alone.__getitem__)
    start = best if alone[best] > alone[names[0]] * GAIN else names[0]
    judge.log(stage="search", scorer=DenseScorer.name, starts_from=start, **alone)
    return start
