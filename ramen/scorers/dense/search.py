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

JOINT = "joint"  # name of the vectors of classifiers that were trained together with the encoder
_MORE = 1.002  # by which each epoch after the first must improve the value


def search_dense(views: Views, beside: Mapping[str, Scorer], judge: Judge) -> DenseScorer | None:
    """Train as long as an epoch makes the weighted sum better; None where the first does not.

    The classifiers of the best epoch are returned; those that were trained together with the encoder may need none.
    """
    start = _best_start(views, judge)
    best = without = judge.best_sum(beside)
    last = best
    in_sum = {name: beside[name] for name in best.weights}
    weights = {**best.weights, DenseScorer.name: 1.0}
    chosen, began = None, time.perf_counter()
    for epoch, classifier, loss in train_epochs(views, start):
        if not epoch and start != JOINT:
            continue
        trial = DenseScorer(copy.deepcopy(classifier.label_weights()), params=DenseParams(epoch, start))
        summed = judge.weigh({**in_sum, DenseScorer.name: trial}, weights)
        last = summed
        log_sum(judge, summed, scorer=DenseScorer.name, epoch=epoch, loss=loss, seconds=time.perf_counter() - began)
        began = time.perf_counter()
        if not epoch and summed.value <= best.value * GAIN:
            continue  # the next epoch is on vectors that stay as they are
        if not summed.weights[DenseScorer.name] or summed.value <= best.value * (_MORE if chosen else GAIN):
            break
        best, chosen, weights = summed, trial, summed.weights
    if chosen is None:
        note = "the dense scorer is left out: after an epoch the sum gains less than 0.5 % with it"
        values = {"value": last.value, "value_without": without.value}
        judge.log(stage="search", note=note, decision=DenseScorer.name, kept=False, **values)
        return None
    values = {"value": best.value, "value_without": without.value}
    judge.log(stage="search", decision=DenseScorer.name, kept=True, epochs=chosen.params.epochs, **values)
    if 0 < chosen.params.epochs == views.config.dense.epochs:
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
