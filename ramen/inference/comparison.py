"""Evaluate another system's predictions like a run, and compare two systems on the same test points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.data import Dataset
from ramen.data.files import strict
from ramen.data.matrices import read_matrix
from ramen.errors import InputError
from ramen.inference.evaluation import CUT_OFFS, DEEP, measure, padded, propensities, rankings


def ranked_by(source: Path, dataset: Dataset) -> np.ndarray:
    """Return the labels of every test point, best first, int64 (N, 100), without filtered pairs.

    Args:
        source: a run folder, or a file of predictions: sparse scores, points x labels, from ``scipy.sparse.save_npz``
            (``.npz``) or as text (``.txt``, ``.txt.gz``); or an array from ``numpy.save`` (``.npy``): ranked labels,
            int (N, K) padded with -1, or float or bool (N, L) as :func:`ramen.metrics.ranking.top_k` takes them.
        dataset: with the test points of the predictions.

    Raises:
        InputError: the file is of another kind or shape, or :func:`rankings` raises it.
    """
    if source.is_dir():
        return rankings(source, dataset)[""]
    if not source.is_file():
        raise InputError(f"{source}: expected a run folder or a file of predictions, found nothing there")
    if not len(dataset.test):
        raise InputError(f"{dataset.path}: has no test split to evaluate on")
    if source.suffix == ".npy":
        labels = _of_array(source, dataset)
    elif source.suffix == ".npz" or source.name.endswith((".txt", ".txt.gz")):
        matrix = strict(read_matrix(source))
        assert matrix is not None
        labels = _scores(source, matrix, dataset)
    else:
        raise InputError(f"{source}: found the ending {source.suffix or 'none'}, expected .npz, .txt, .txt.gz or .npy")
    return _without_filtered(source, labels, dataset)


def evaluate_predictions(source: str | Path, dataset: Dataset) -> dict[str, Any]:
    """Evaluate predictions in a file; returns the same figures as :func:`ramen.evaluate`.

    Example:
        ``evaluate_predictions("scores.npz", ramen.load_dataset("data/x"))["test"]["P@1"]``
    """
    return measure({"": ranked_by(Path(source), dataset)}, dataset)


def compare_systems(first: str | Path, second: str | Path, dataset: Dataset) -> dict[str, dict[str, float]]:
    """Compare the second system with the first on the same test points; each is a run or a file of predictions.

    Returns:
        For each metric ``{"first", "second", "difference", "low", "high", "p"}``; see
        :class:`ramen.metrics.trust.Difference`.
    """
    return compare_rankings(ranked_by(Path(first), dataset), ranked_by(Path(second), dataset), dataset)


def compare_rankings(first: np.ndarray, second: np.ndarray, dataset: Dataset) -> dict[str, dict[str, float]]:
    """Compare two rankings of labels, int (N, K), best first; see :func:`compare_systems`."""
    from ramen.metrics import compare, per_point

    weights = propensities(dataset)
    parts = [per_point(labels, dataset.test_targets, weights, ks=CUT_OFFS) for labels in (first, second)]
    return {
        name: {
            "first": metric.first, "second": metric.second, "difference": metric.difference, "low": metric.low,
            "high": metric.high, "p": metric.p,
        }
        for name, metric in compare(parts[0], parts[1]).items()
    }  # fmt: skip


def _of_array(source: Path, dataset: Dataset) -> np.ndarray:
    from ramen.metrics.ranking import FORMS, refuse_indicator

    try:
        array = np.load(source, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{source}: not an array of numpy.save: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "iufb":
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "several arrays"
        raise InputError(f"{source}: {found}, expected one array: {FORMS}")
    if array.dtype.kind in "fb":
        return _scores(source, array, dataset)
    with _named(source):
        refuse_indicator(array, dataset.n_labels)
    return array.astype(np.int64)


@contextmanager
def _named(source: Path) -> Iterator[None]:
    """Let an error about predictions name their file."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {str(error).removeprefix('predictions: ')}") from error


def _scores(source: Path, matrix: sp.csr_matrix | np.ndarray, dataset: Dataset) -> np.ndarray:
    from ramen.metrics.ranking import FORMS, top_k

    if matrix.shape != dataset.test_targets.shape:
        expected = f"{dataset.test_targets.shape}, test points x labels"
        raise InputError(f"{source}: {matrix.dtype} {matrix.shape}, expected {expected}: {FORMS}")
    filtered = np.bincount(dataset.test_filter[:, 0], minlength=1).max() if len(dataset.test_filter) else 0
    with _named(source):
        return top_k(matrix, matrix.shape[0], matrix.shape[1], min(DEEP + int(filtered), matrix.shape[1]))


def _without_filtered(source: Path, labels: np.ndarray, dataset: Dataset) -> np.ndarray:
    from ramen.metrics import drop_filtered

    if len(labels) != len(dataset.test) or labels.shape[1] < 1:
        raise InputError(f"{source}: shape {labels.shape}, expected {len(dataset.test)} rows as there are test points")
    if labels.min() < -1 or labels.max() >= dataset.n_labels:
        wrong = labels.max() if labels.max() >= dataset.n_labels else labels.min()
        raise InputError(f"{source}: label {wrong}, expected 0 to {dataset.n_labels - 1}, or -1 for none")
    return padded(drop_filtered(labels, dataset.test_filter, labels.shape[1])[:, :DEEP])
