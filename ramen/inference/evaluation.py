"""Measure a run on a test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ramen.data import Dataset, bags_of_words, load_dataset
from ramen.data.matrices import pair_matrix
from ramen.data.options import with_texts
from ramen.encoders.bag_of_words import BagOfWordsEncoder
from ramen.errors import InputError, nearest
from ramen.inference.run import check_run, write_metrics
from ramen.inference.tagger import Tagger
from ramen.ranking.calibration import Calibration, reliability
from ramen.ranking.learned import MEAN
from ramen.ranking.ranker import Ranker
from ramen.scorers.base import Queries
from ramen.threads import one_blas_thread

CUT_OFFS = (1, 3, 5, 10)
_WANTED = (0.5, 0.7, 0.8, 0.9, 0.95)  # precisions
_CALIBRATED = 10  # labels a text whose probabilities are measured
_ASKED, _FIRST = 50, 5  # test points whose first labels are looked into
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
        "intervals": {"P@1": [low, high], ...}, "frequency": groups of labels from rare to frequent and what they add to
        P@5, "points": number of test points}``; ``"ranking"``, by part of the joint score (a scorer, what they say
        together, shared words, frequency) by how much it moves a label on average; of a run with probabilities
        ``"calibration"``, of a published set its ``"published"`` figures, and a ``"warning"`` where its card has other
        A and B. The joint ranking is under ``"test"``, each scorer alone under its name; with ``scorer`` its figures
        are under ``"test"`` and its name under ``"scorer"``.

    Raises:
        InputError: no finished run, no test split, labels that are not the run's, or a scorer that the run lacks.
    """
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    figures = measured(rankings(run, dataset, scorer, text), dataset, scorer)
    if save:
        keep(run, figures, scorer, text)
    return figures


def keep(run: str | Path, figures: dict[str, Any], scorer: str | None = None, text: str | None = None) -> None:
    """Write figures into a run's ``metrics.json``, unless they are of one scorer or of other texts than the run's."""
    if scorer is None and text in (None, trained_on(run)):
        write_metrics(Path(run), figures)


class Rankings(dict[str, np.ndarray]):
    """Labels by system, as :func:`rankings` gives them.

    Attributes:
        probabilities: float64 (N, 10), of the joint ranking's first ten; None of a run without.
        moves: by part of the joint score (:meth:`Ranker.parts`) by how much it moves a label, in size on average.
        thresholds: by wanted precision the probability that validation found for it.
    """

    probabilities: np.ndarray | None = None
    moves: dict[str, float] = {}  # noqa: RUF012 - exchanged, never changed
    thresholds: dict[float, float] = {}  # noqa: RUF012 - exchanged, never changed


def measured(ranked: Mapping[str, np.ndarray], dataset: Dataset, scorer: str | None = None) -> dict[str, Any]:
    """The figures of :func:`evaluate` from what :func:`rankings` gives."""
    alone = {name: figures_of(labels, dataset) for name, labels in ranked.items() if name}
    return {
        "test": figures_of(ranked[""], dataset),
        **({"scorers": alone} if scorer is None and alone else {} if scorer is None else {"scorer": scorer}),
        **({"ranking": dict(ranked.moves)} if isinstance(ranked, Rankings) and ranked.moves else {}),
        **facts_of(ranked[""], dataset),
        **calibration_of(ranked, dataset),
    }


def moves_of(ranker: Ranker, queries: Queries) -> dict[str, float]:
    """By part of the joint score its mean size for the first labels of some queries, evenly spaced, largest first."""
    rows = np.unique(np.linspace(0, len(queries) - 1, min(_ASKED, len(queries))).astype(np.int64))
    sums: dict[str, float] = {}
    count = 0
    for row in rows.tolist():
        asked = queries[row : row + 1]
        labels = ranker.rank(asked, _FIRST)[0][0]
        labels = labels[labels >= 0]
        count += len(labels)
        for name, values in ranker.parts(asked, labels).items() if len(labels) else ():
            sums[name] = sums.get(name, 0.0) + float(np.abs(values).sum())
    sums.pop(MEAN, None)
    return {name: sums[name] / count for name in sorted(sums, key=lambda name: -sums[name])}


def _thresholds(known: Calibration) -> dict[float, float]:
    found = {}
    for precision in _WANTED:
        try:
            found[precision] = known.threshold(precision)
        except InputError:  # validation never came so high
            break
    return found


def calibration_of(ranked: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, Any]:
    """``{"calibration": {"ECE": percent, "pairs": number, "bins": [...], "thresholds": [...]}}`` of ten labels a text.

    A threshold's line tells the precision that it was chosen for, what it came to here, labels a text and the share of
    texts with a label (percent). {} of a system without probabilities.
    """
    if not isinstance(ranked, Rankings) or ranked.probabilities is None:
        return {}
    probabilities = ranked.probabilities
    labels = ranked[""][:, : probabilities.shape[1]]
    rows, places = np.nonzero(labels >= 0)
    right = np.asarray(dataset.test_targets[rows, labels[rows, places]]).ravel() > 0
    error, bins = reliability(probabilities[rows, places], right)
    lines = []
    for wanted, threshold in ranked.thresholds.items():
        kept = probabilities[rows, places] >= threshold
        lines.append(
            {
                "wanted": 100.0 * wanted,
                "threshold": threshold,
                "reached": 100.0 * float(right[kept].mean()) if kept.any() else None,
                "labels_a_text": float(kept.sum()) / len(labels),
                "texts": 100.0 * len(np.unique(rows[kept])) / len(labels),
            }
        )
    return {"calibration": {"ECE": 100.0 * error, "pairs": len(rows), "bins": bins, "thresholds": lines}}


@one_blas_thread()
def rankings(run: str | Path, dataset: Dataset, scorer: str | None = None, text: str | None = None) -> Rankings:
    """Labels of every test point, best first, int64 (N, 100), -1 for none: joint under ``""``, and by each scorer.

    Arguments and errors as of :func:`evaluate`.
    """
    if not len(dataset.test):
        raise InputError(f"{dataset.path}: has no test split to measure on")
    tagger = Tagger.load(run, labels=False)
    dataset = with_texts(dataset, text or trained_on(run))
    ranker = tagger.run.ranker
    if list(tagger.run.uids) != dataset.labels.uids:
        raise InputError(
            f"{run}: was trained on other labels ({len(tagger.run.uids)}) than {dataset.path} has ({dataset.n_labels})"
        )
    if scorer is not None:
        if scorer not in ranker.scorers:
            raise InputError(f"{run}: has no scorer {scorer!r}: {nearest(scorer, ranker.scorers)}")
        ranker = Ranker({scorer: ranker.scorers[scorer]}, {scorer: 1.0})
    filtered = pair_matrix(dataset.test_filter, dataset.test_targets.shape)
    asked = dataset.test.joined() if not isinstance(tagger.encoder, BagOfWordsEncoder) else bags_of_words(dataset).test
    queries = tagger.queries(asked)
    ranked, scores = ranker.rank_each(queries, DEEP, filtered)
    found = Rankings({name: padded(labels) for name, labels in ranked.items()})
    if scorer is None:
        found.moves = moves_of(ranker, queries)
    if scorer is None and tagger.run.calibration is not None:
        found.probabilities = tagger.run.calibration.of(scores[:, :_CALIBRATED])
        found.thresholds = _thresholds(tagger.run.calibration)
    return found


def padded(labels: np.ndarray) -> np.ndarray:
    """With -1 to 100 columns, as few labels make fewer."""
    return np.pad(labels, ((0, 0), (0, max(0, DEEP - labels.shape[1]))), constant_values=-1)


def figures_of(labels: np.ndarray, dataset: Dataset) -> dict[str, float]:
    """P, nDCG, R, PSP, PSnDCG and PSR at 1, 3, 5 and 10, and R at 100, percent."""
    from ramen.metrics import recall, report

    found = report(labels, dataset.test_targets, propensities(dataset), ks=CUT_OFFS)
    found[f"R@{DEEP}"] = 100.0 * float(recall(labels, dataset.test_targets, k=DEEP)[-1])
    return found


def facts_of(labels: np.ndarray, dataset: Dataset) -> dict[str, Any]:
    """What stands beside the figures: 95 % intervals, whose labels the hits are, constants, published figures."""
    from ramen.data.published import constants_warning, published_facts
    from ramen.metrics import by_frequency, intervals, per_point

    card, counts = dataset.card, np.bincount(dataset.train_targets.indices, minlength=dataset.n_labels)
    parts = per_point(labels, dataset.test_targets, propensities(dataset), ks=CUT_OFFS)
    groups = by_frequency(labels, dataset.test_targets, counts)
    facts = published_facts(dataset)
    told = {"warning": constants_warning(card, facts), "published": facts.get("published")}
    return {
        "intervals": {name: list(found) for name, found in intervals(parts).items()},
        "frequency": [asdict(group) for group in groups],
        "propensity": {"A": card.A, "B": card.B, "source": card.source},
        "points": len(dataset.test),
        **{key: value for key, value in told.items() if value},
    }


def propensities(dataset: Dataset) -> np.ndarray:
    """1 / propensity of every label, from the whole training part and the card's constants."""
    from ramen.metrics import inverse_propensity

    return inverse_propensity(dataset.train_targets, dataset.card.A, dataset.card.B)


def trained_on(run: str | Path) -> str:
    """Which texts a run was trained on."""
    check_run(Path(run))
    settings = yaml.safe_load((Path(run) / "config.yaml").read_text(encoding="utf-8"))
    return settings.get("data", {}).get("text", "full")
