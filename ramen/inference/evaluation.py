"""Evaluate a run on a test split."""

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
from ramen.inference.f1_figures import f1_of
from ramen.inference.run import Run, check_run, write_metrics
from ramen.inference.tagger import Tagger
from ramen.ranking.calibration import Calibration, reliability
from ramen.ranking.learned import MEAN
from ramen.ranking.ranker import Ranker
from ramen.scorers.base import Queries
from ramen.threads import one_blas_thread

CUT_OFFS = (1, 3, 5, 10)
_WANTED = (0.5, 0.7, 0.8, 0.9, 0.95)  # precisions
_CALIBRATED = 10  # labels per text whose probabilities are evaluated
_EXPLAINED, _FIRST = 50, 5  # test points and labels per point whose contributions are averaged
DEEP = 100  # a cut-off for recall only, as for the first stage of a cascade


def evaluate(
    run: str | Path,
    data: Dataset | str | Path,
    save: bool = False,
    scorer: str | None = None,
    text: str | None = None,
) -> dict[str, Any]:
    """Compute P, nDCG, R, PSP, PSnDCG and PSR at 1, 3, 5 and 10, and R@100 on the test split, without filtered pairs.

    Propensities come from the whole training set, even if the run was trained on a fraction of its pairs.

    Args:
        run: run folder.
        data: the data set of the run, or its folder.
        save: also write the figures to the run's ``metrics.json``; ignored with ``scorer`` or another ``text``.
        scorer: evaluate this scorer alone instead of the joint ranking, such as ``"encoder"``.
        text: ``title`` or ``full`` texts of the test points; None for those of training.

    Returns:
        ``{"test": {"P@1": percent, ...}, "scorers": {"encoder": {"P@1": ...}, ...}, "propensity": {"A", "B", "source"},
        "intervals": {"P@1": [low, high], ...}, "frequency": contributions to P@5 of groups of labels from rare to
        frequent, "points": number of test points}``. ``"ranking"`` has the mean absolute contribution of each term of
        the joint score (scorers, their combination, shared words, frequency). Runs with probabilities have
        ``"calibration"``; runs with thresholds have ``"f1"``: micro and macro F1, precision and recall at the
        threshold for all labels (``"auto"``) and at one for each (``"labels"``), see :func:`ramen.metrics.f1_report`;
        published data sets have ``"published"`` figures, and a ``"warning"`` if A and B of the card differ. ``"test"``
        is the joint ranking, ``"scorers"`` each scorer alone; with ``scorer``, its figures are under ``"test"`` and
        its name under ``"scorer"``.

    Raises:
        InputError: the run is not finished, there is no test split, the labels differ from the run's, or the run lacks
            the scorer.
    """
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    figures = measure(rankings(run, dataset, scorer, text), dataset, scorer)
    if save:
        save_metrics(run, figures, scorer, text)
    return figures


def save_metrics(run: str | Path, figures: dict[str, Any], scorer: str | None = None, text: str | None = None) -> None:
    """Write figures to a run's ``metrics.json``, unless they are of a single scorer or of other texts."""
    if scorer is None and text in (None, trained_on(run)):
        write_metrics(Path(run), figures)


class Rankings(dict[str, np.ndarray]):
    """Labels by system, from :func:`rankings`.

    Attributes:
        probabilities: float32 (N, up to 100), of the joint ranking's labels; None for a run without.
        lowest: the run's threshold for all labels under ``auto``, and for each, (L,), under ``labels``; {} for none.
        contributions: mean absolute value of each term of the joint score, see :meth:`Ranker.parts`.
        thresholds: probability threshold for each wanted precision, chosen on held-out points.
    """

    probabilities: np.ndarray | None = None
    lowest: dict[str, float | np.ndarray] = {}  # noqa: RUF012 - replaced, never modified
    contributions: dict[str, float] = {}  # noqa: RUF012 - replaced, never modified
    thresholds: dict[float, float] = {}  # noqa: RUF012 - replaced, never modified


def measure(ranked: Mapping[str, np.ndarray], dataset: Dataset, scorer: str | None = None) -> dict[str, Any]:
    """Compute the figures of :func:`evaluate` from :func:`rankings`."""
    alone = {name: figures_of(labels, dataset) for name, labels in ranked.items() if name}
    return {
        "test": figures_of(ranked[""], dataset),
        **({"scorers": alone} if scorer is None and alone else {} if scorer is None else {"scorer": scorer}),
        **({"ranking": dict(ranked.contributions)} if isinstance(ranked, Rankings) and ranked.contributions else {}),
        **facts_of(ranked[""], dataset),
        **calibration_of(ranked, dataset),
        **(f1_of(ranked, dataset) if isinstance(ranked, Rankings) else {}),
    }


def mean_contributions(ranker: Ranker, queries: Queries) -> dict[str, float]:
    """Return the mean absolute value of each term of the joint score on a sample of queries, largest first."""
    rows = np.unique(np.linspace(0, len(queries) - 1, min(_EXPLAINED, len(queries))).astype(np.int64))
    some = queries[rows]
    labels = ranker.rank(some, _FIRST)[0]
    count = int((labels >= 0).sum())
    sums = {name: float(np.abs(values).sum()) for name, values in ranker.parts(some, labels).items()} if count else {}
    sums.pop(MEAN, None)
    return {name: sums[name] / count for name in sorted(sums, key=lambda name: -sums[name])}


def _thresholds(calibration: Calibration) -> dict[float, float]:
    thresholds = {}
    for precision in _WANTED:
        try:
            thresholds[precision] = calibration.threshold(precision)
        except InputError:  # validation did not reach it
            break
    return thresholds


def calibration_of(ranked: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, Any]:
    """Evaluate the probabilities of ten labels per text.

    Returns:
        ``{"calibration": {"ECE": percent, "pairs": number, "bins": [...], "thresholds": [...]}}``. Each threshold has
        the wanted precision, the precision reached on the test set, the labels per text and the share of texts with a
        label (percent). {} for a system without probabilities.
    """
    if not isinstance(ranked, Rankings) or ranked.probabilities is None:
        return {}
    probabilities = ranked.probabilities[:, :_CALIBRATED].astype(np.float64)
    labels = ranked[""][:, : probabilities.shape[1]]
    rows, places = np.nonzero(labels >= 0)
    right = np.asarray(dataset.test_targets[rows, labels[rows, places]]).ravel() > 0
    error, bins = reliability(probabilities[rows, places], right)
    lines = []
    for wanted, threshold in ranked.thresholds.items():
        is_above = probabilities[rows, places] >= threshold
        lines.append(
            {
                "wanted": 100.0 * wanted,
                "threshold": threshold,
                "reached": 100.0 * float(right[is_above].mean()) if is_above.any() else None,
                "labels_a_text": float(is_above.sum()) / len(labels),
                "texts": 100.0 * len(np.unique(rows[is_above])) / len(labels),
            }
        )
    return {"calibration": {"ECE": 100.0 * error, "pairs": len(rows), "bins": bins, "thresholds": lines}}


@one_blas_thread()
def rankings(run: str | Path, dataset: Dataset, scorer: str | None = None, text: str | None = None) -> Rankings:
    """Rank the labels of every test point, int64 (N, 100), padded with -1: jointly under ``""``, and by each scorer.

    See :func:`evaluate` for arguments and errors.
    """
    if not len(dataset.test):
        raise InputError(f"{dataset.path}: has no test split to evaluate on")
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
    is_text = not isinstance(tagger.encoder, BagOfWordsEncoder)
    queries = tagger.queries(dataset.test.joined() if is_text else bags_of_words(dataset).test)
    labels_by_scorer, scores = ranker.rank_each(queries, DEEP, filtered)
    ranked = Rankings({name: padded(labels) for name, labels in labels_by_scorer.items()})
    if scorer is None:
        ranked.contributions = mean_contributions(ranker, queries)
        _add_probabilities(ranked, scores, tagger.run)
    return ranked


def _add_probabilities(ranked: Rankings, scores: np.ndarray, run: Run) -> None:
    """Add what a run says of the probabilities of its joint scores (N, K), where it has any."""
    if run.calibration is None:
        return
    ranked.probabilities = run.calibration.of(scores).astype(np.float32)
    ranked.thresholds = _thresholds(run.calibration)
    if run.thresholds is not None:
        ranked.lowest = {"auto": run.thresholds.common, "labels": run.thresholds.by_label(len(run.uids))}


def padded(labels: np.ndarray) -> np.ndarray:
    """Pad the rows with -1 to 100 columns, if there are fewer labels."""
    return np.pad(labels, ((0, 0), (0, max(0, DEEP - labels.shape[1]))), constant_values=-1)


def figures_of(labels: np.ndarray, dataset: Dataset) -> dict[str, float]:
    """Compute P, nDCG, R, PSP, PSnDCG and PSR at 1, 3, 5 and 10, and R@100, in percent."""
    from ramen.metrics import recall, report

    figures = report(labels, dataset.test_targets, propensities(dataset), ks=CUT_OFFS)
    figures[f"R@{DEEP}"] = 100.0 * float(recall(labels, dataset.test_targets, k=DEEP)[-1])
    return figures


def facts_of(labels: np.ndarray, dataset: Dataset) -> dict[str, Any]:
    """Return what accompanies the figures: 95 % intervals, hits by label frequency, constants, published figures."""
    from ramen.data.published import constants_warning, published_facts
    from ramen.metrics import by_frequency, intervals, per_point

    card, counts = dataset.card, np.bincount(dataset.train_targets.indices, minlength=dataset.n_labels)
    parts = per_point(labels, dataset.test_targets, propensities(dataset), ks=CUT_OFFS)
    groups = by_frequency(labels, dataset.test_targets, counts)
    facts = published_facts(dataset)
    of_card = {"warning": constants_warning(card, facts), "published": facts.get("published")}
    return {
        "intervals": {name: list(interval) for name, interval in intervals(parts).items()},
        "frequency": [asdict(group) for group in groups],
        "propensity": {"A": card.A, "B": card.B, "source": card.source},
        "points": len(dataset.test),
        **{key: value for key, value in of_card.items() if value},
    }


def propensities(dataset: Dataset) -> np.ndarray:
    """Return the inverse propensity of every label, from the whole training set and the constants of the card."""
    from ramen.metrics import inverse_propensity

    return inverse_propensity(dataset.train_targets, dataset.card.A, dataset.card.B)


def trained_on(run: str | Path) -> str:
    """Return which texts a run was trained on: ``title`` or ``full``."""
    check_run(Path(run))
    settings = yaml.safe_load((Path(run) / "config.yaml").read_text(encoding="utf-8"))
    return settings.get("data", {}).get("text", "full")
