"""Precision, recall and F1 of a run's test points at the thresholds it chose: in all, by label, by text."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from ramen.data import Dataset
from ramen.data.matrices import pair_matrix
from ramen.errors import InputError
from ramen.files import replacing
from ramen.inference.run import check_run, has_thresholds
from ramen.metrics import example_f1, f1_report, label_table
from ramen.metrics.kernels import true_places
from ramen.metrics.ranking import starts_and_labels

if TYPE_CHECKING:
    from ramen.inference.evaluation import Rankings

KINDS = ("auto", "labels")  # one threshold for all labels, and one for each
WITHOUT = "validation had too few right labels, or an older version trained it"
_NEEDED = f"expected a run with thresholds, found none: {WITHOUT}"
_COLUMNS = ("predicted", "precision", "recall", "F1")


def f1_of(ranked: Rankings, dataset: Dataset) -> dict[str, Any]:
    """Return ``{"f1": {"auto": figures, "labels": figures}}``, or {} for a system without thresholds.

    The figures are those of :func:`ramen.metrics.f1_report`; ``auto`` also has its ``threshold``. Filtered pairs are
    neither right nor wrong: they are not predicted, and no misses.
    """
    if not ranked.lowest:
        return {}
    targets, probabilities = unfiltered_targets(dataset), _probabilities(ranked)
    figures = {kind: f1_report(ranked[""], probabilities, ranked.lowest[kind], targets) for kind in KINDS}
    return {"f1": {"auto": {"threshold": float(ranked.lowest["auto"]), **figures["auto"]}, "labels": figures["labels"]}}


def check_thresholds(run: str | Path, path: Path) -> None:
    """Raise unless the run has the thresholds that :func:`write_label_csv` needs, before anything is measured.

    Raises:
        InputError: there is no finished run, or it has no thresholds; ``path`` is the file to write.
    """
    check_run(Path(run))
    if not has_thresholds(Path(run)):
        raise InputError(f"{path}: {_NEEDED}")


def unfiltered_targets(dataset: Dataset) -> sp.csr_matrix:
    """Return the targets of the test points without filtered pairs, CSR (N, L)."""
    filtered = pair_matrix(dataset.test_filter, dataset.test_targets.shape)
    if filtered is None or not filtered.nnz:
        return dataset.test_targets
    targets = sp.csr_matrix(dataset.test_targets - dataset.test_targets.multiply(filtered != 0))
    targets.eliminate_zeros()
    return targets


def table_of_labels(ranked: Rankings, dataset: Dataset, kind: str) -> dict[str, np.ndarray]:
    """Return :func:`ramen.metrics.label_table` of the test points, and the ``training`` points of each label.

    Args:
        ranked: of a run with thresholds.
        dataset: of the test points.
        kind: of threshold, ``auto`` or ``labels``.
    """
    table = label_table(ranked[""], _probabilities(ranked), ranked.lowest[kind], unfiltered_targets(dataset))
    return {"training": np.bincount(dataset.train_targets.indices, minlength=dataset.n_labels), **table}


def worst_texts(ranked: Rankings, dataset: Dataset, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the test points of lowest F1 at the common threshold, worst first, and the F1 of every test point.

    Of equally bad ones, those whose best-ranked right label stands lowest come first. Points without a true label are
    left out.

    Returns:
        int64 (up to n,) rows, and float64 (N,) percent.
    """
    targets, labels = unfiltered_targets(dataset), ranked[""]
    f1 = example_f1(labels, _probabilities(ranked), ranked.lowest["auto"], targets)
    right = true_places(labels, *starts_and_labels(targets))
    first_right = np.where(right.any(axis=1), right.argmax(axis=1), labels.shape[1])
    rows = np.flatnonzero(np.diff(targets.indptr))
    return rows[np.lexsort((-first_right[rows], f1[rows]))][:n], f1


def write_label_csv(path: Path, ranked: Rankings, dataset: Dataset) -> None:
    """Write a row for each label: uid, text, training points, support, and the figures at both kinds of thresholds.

    Raises:
        InputError: the run has no thresholds, or the file is not writable.
    """
    if not ranked.lowest:
        raise InputError(f"{path}: {_NEEDED}")
    tables = {kind: table_of_labels(ranked, dataset, kind) for kind in KINDS}
    first = tables["auto"]
    head = ["uid", "text", "training", "support"]
    columns = [first["training"].tolist(), first["support"].tolist()]
    for kind, table in tables.items():
        head += [f"{kind}_{name}" for name in ("threshold", *_COLUMNS)]
        lowest = np.broadcast_to(ranked.lowest[kind], dataset.n_labels).astype(np.float64)
        values = [lowest, *(table[name] for name in _COLUMNS)]
        columns += [np.round(value, 4).tolist() if value.dtype.kind == "f" else value.tolist() for value in values]
    names = dataset.labels
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(zip(names.uids, names.titles, *columns, strict=True))


def _probabilities(ranked: Rankings) -> np.ndarray:
    """Return the probabilities of all ranked labels, 0 where the ranking is padded."""
    assert ranked.probabilities is not None
    missing = ranked[""].shape[1] - ranked.probabilities.shape[1]
    return np.pad(ranked.probabilities, ((0, 0), (0, missing)))
