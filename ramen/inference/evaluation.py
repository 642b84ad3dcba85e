"""Measure a run on a test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import yaml

from ramen.data import Dataset, load_dataset
from ramen.data.options import with_texts
from ramen.errors import InputError, nearest
from ramen.inference.artefact import write_metrics
from ramen.inference.tagger import Tagger
from ramen.scorers.ranker import Ranker

CUT_OFFS = (1, 3, 5, 10)
DEEP = 100  # where recall alone is measured, too: what a first stage would hand on


def evaluate(
    run: str | Path,
    data: Dataset | str | Path,
    save: bool = False,
    scorer: str | None = None,
    text: str | None = None,
) -> dict[str, Any]:
    """P, nDCG, R, PSP, PSnDCG and PSR at 1, 3, 5 and 10, and R at 100, on the test split, filter applied.

    Args:
        run: run folder.
        data: the data set it was trained on, or its folder.
        save: also write the figures into the run's ``metrics.json``; not with ``scorer`` or another ``text``.
        scorer: measure this one alone instead of the joint ranking, such as ``"encoder"``.
        text: ``title`` or ``full`` texts of the test points; None for what the run was trained on. Propensities are
            those of the whole training part, also where a run was trained on a share of its pairs.

    Returns:
        ``{"test": {"P@1": percent, ...}, "scorers": {"encoder": {"P@1": ...}, ...}, "propensity": {"A", "B", "source"},
        "points": number of test points}``: the joint ranking under ``"test"``, each scorer alone under its name. With
        ``scorer`` its figures are under ``"test"`` and its name under ``"scorer"``.

    Raises:
        InputError: no finished run, no test split, labels that are not the run's, or a scorer that the run lacks.
    """
    from ramen.metrics import inverse_propensity, recall, report

    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    if not len(dataset.test):
        raise InputError(f"{dataset.path}: has no test split to measure on")
    tagger = Tagger.load(run)
    settings = yaml.safe_load((Path(run) / "config.yaml").read_text(encoding="utf-8"))
    trained_on = settings.get("data", {}).get("text", "full")
    dataset = with_texts(dataset, text or trained_on)
    ranker = tagger.run.ranker
    if tagger.run.uids != dataset.labels.uids:
        raise InputError(
            f"{run}: was trained on other labels ({len(tagger.run.uids)}) than {dataset.path} has ({dataset.n_labels})"
        )
    if scorer is not None:
        if scorer not in ranker.scorers:
            raise InputError(f"{run}: has no scorer {scorer!r}: {nearest(scorer, ranker.scorers)}")
        ranker = Ranker({scorer: ranker.scorers[scorer]}, {scorer: 1.0})
    pairs = dataset.test_filter
    filtered = sp.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=dataset.test_targets.shape)
    asked = dataset.test.joined() if tagger.encoder is not None else _bags(dataset)
    ranked = ranker.rank_each(tagger.queries(asked), DEEP, filtered)
    card = dataset.card
    propensities = inverse_propensity(dataset.train_targets, card.A, card.B)
    found = {}
    for name, labels in ranked.items():
        short = DEEP - labels.shape[1]  # a run of fewer labels
        labels = np.pad(labels, ((0, 0), (0, max(0, short))), constant_values=-1)
        found[name] = report(labels, dataset.test_targets, propensities, ks=CUT_OFFS)
        found[name][f"R@{DEEP}"] = 100.0 * float(recall(labels, dataset.test_targets, k=DEEP)[-1])
    joined = found.pop("")
    figures = {
        "test": joined,
        **({"scorers": found} if scorer is None else {"scorer": scorer}),
        "propensity": {"A": card.A, "B": card.B, "source": card.source},
        "points": len(dataset.test),
    }
    if save and scorer is None and (text or trained_on) == trained_on:
        write_metrics(Path(run), figures)
    return figures


def _bags(dataset: Dataset) -> sp.csr_matrix:
    if dataset.features is None:
        raise InputError(f"{dataset.path}: has no bags of words, which the run reads")
    return dataset.features.test
