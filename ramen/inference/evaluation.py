"""Measure a run on a test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.data import Dataset, load_dataset
from ramen.errors import InputError
from ramen.inference.artefact import write_metrics
from ramen.inference.tagger import Tagger

CUT_OFFS = (1, 3, 5, 10)


def evaluate(run: str | Path, data: Dataset | str | Path, save: bool = False) -> dict[str, Any]:
    """P, nDCG, R, PSP and PSnDCG at 1, 3, 5 and 10 on the test split, filter applied.

    Args:
        run: run folder.
        data: the data set it was trained on, or its folder.
        save: also write the figures into the run's ``metrics.json``.

    Returns:
        ``{"test": {"P@1": percent, ...}, "propensity": {"A", "B", "source"}, "points": number of test points}``.

    Raises:
        InputError: no finished run, no test split, or labels that are not the run's.
    """
    from ramen.metrics import inverse_propensity, report  # numba: not for those who only tag

    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    if not len(dataset.test):
        raise InputError(f"{dataset.path}: has no test split to measure on")
    tagger = Tagger.load(run)
    if tagger.run.uids != dataset.labels.uids:
        raise InputError(
            f"{run}: was trained on other labels ({len(tagger.run.uids)}) than {dataset.path} has ({dataset.n_labels})"
        )
    pairs = dataset.test_filter
    filtered = sp.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=dataset.test_targets.shape)
    queries = tagger.encode(dataset.test.joined())
    ranked, scores = tagger.run.ranker.rank(queries, max(CUT_OFFS), filtered)
    ranked[np.isneginf(scores)] = -1
    if ranked.shape[1] < max(CUT_OFFS):
        ranked = np.pad(ranked, ((0, 0), (0, max(CUT_OFFS) - ranked.shape[1])), constant_values=-1)
    card = dataset.card
    propensities = inverse_propensity(dataset.train_targets, card.A, card.B)
    figures = {
        "test": report(ranked, dataset.test_targets, propensities, ks=CUT_OFFS),
        "propensity": {"A": card.A, "B": card.B, "source": card.source},
        "points": len(dataset.test),
    }
    if save:
        write_metrics(Path(run), figures)
    return figures
