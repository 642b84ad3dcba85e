"""Statistics of figures: confidence intervals, paired comparison of two systems, and hits by label frequency."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.metrics.kernels import SUMS, tally_rows
from ramen.metrics.ranking import Predictions, binary_csr, starts_and_labels, top_k
from ramen.metrics.scores import checked_weights

_RESAMPLES = 1000
_PARTS = {  # metric: sums in numerator and denominator (None: number of points)
    "P": ("hits", None),
    "nDCG": ("ndcg", None),
    "R": ("recall", None),
    "PSP": ("gain", "best"),
    "PSnDCG": ("gain_ndcg", "best_ndcg"),
    "PSR": ("gain_recall", "best_recall"),
}


@dataclass
class PerPoint:
    """Contributions of every point to every metric.

    Attributes:
        names: of the metrics, as ``P@5``.
        above: float64 (N, metrics); numerators: a metric is their sum over the sum of ``below``.
        below: float64 (N, metrics), denominators: 1 per point for unweighted metrics.
    """

    names: list[str]
    above: np.ndarray
    below: np.ndarray

    def values(self, counts: np.ndarray | None = None) -> np.ndarray:
        """Return the metrics in percent, float64 (metrics,); (B, metrics) for resample counts (B, N)."""
        drawn = np.ones(len(self.above)) if counts is None else counts
        above, below = drawn @ self.above, drawn @ self.below
        return 100.0 * np.divide(above, below, out=np.zeros_like(above), where=below > 0)

    def only(self, names: Sequence[str]) -> PerPoint:
        """Return the contributions to some metrics, in this order."""
        columns = [self.names.index(name) for name in names]
        return PerPoint(list(names), self.above[:, columns], self.below[:, columns])


def per_point(
    pred: Predictions, targets: sp.csr_matrix, inverse_propensity: np.ndarray, ks: Sequence[int] = (1, 3, 5, 10)
) -> PerPoint:
    """Return the contributions of each point to P, nDCG, R, PSP, PSnDCG and PSR at every k of ``ks``.

    Args:
        pred: as :func:`ramen.metrics.ranking.top_k` takes it.
        targets: sparse or dense N x L.
        inverse_propensity: float (L,), from the training split.
        ks: cut-offs.

    Raises:
        InputError: shapes, types, values or cut-offs are invalid.

    Example:
        >>> parts = per_point(np.array([[0], [1]]), sp.csr_matrix([[1, 0], [1, 0]]), np.ones(2), ks=[1])
        >>> parts.names[0], parts.above[:, 0].tolist()
        ('P@1', [1.0, 0.0])
    """
    if not ks or min(ks) < 1:
        raise InputError(f"ks is {list(ks)}, expected one or more cut-offs of at least 1")
    binary = binary_csr(targets, "targets")
    weights = checked_weights(inverse_propensity, binary.shape[1])
    ranked = np.ascontiguousarray(top_k(pred, binary.shape[0], binary.shape[1], max(ks)))
    rows = tally_rows(ranked, *starts_and_labels(binary), weights)
    names, above, below = [], [], []
    for metric, (over, under) in _PARTS.items():
        for k in ks:
            names.append(f"{metric}@{k}")
            above.append(rows[:, SUMS.index(over), k - 1] / (k if metric == "P" else 1))
            below.append(np.ones(len(rows)) if under is None else rows[:, SUMS.index(under), k - 1])
    return PerPoint(names, np.stack(above, axis=1), np.stack(below, axis=1))


def intervals(parts: PerPoint, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of every metric in percent: percentile bootstrap over points, 1,000 resamples.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Example:
        ``intervals(per_point(pred, targets, weights))["P@1"]`` is such as ``(40.9, 44.1)``.
    """
    resampled = np.concatenate([parts.values(counts) for counts in _resamples(len(parts.above), seed)])
    low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(parts.names, low, high, strict=True)}


@dataclass(frozen=True)
class Difference:
    """Difference of two systems on the same points, in one metric.

    Attributes:
        first, second: percent.
        low, high: 95 % interval of second - first, by a paired bootstrap.
        p: two-sided p value of a randomisation test (signs of the points flipped at random).
    """

    first: float
    second: float
    low: float
    high: float
    p: float

    @property
    def difference(self) -> float:
        """Return second - first, in percentage points."""
        return self.second - self.first


def compare(first: PerPoint, second: PerPoint, seed: int = 0) -> dict[str, Difference]:
    """Compare two systems on the same points, by metric.

    Source of the test: Fisher's randomisation, as Smucker et al. (CIKM 2007) compare retrieval systems with it.

    Raises:
        InputError: their points or metrics differ.

    Example:
        ``compare(per_point(a, targets, weights), per_point(b, targets, weights))["P@1"].p < 0.05``
    """
    _check_same_points(first, second)
    moved = [second.values(counts) - first.values(counts) for counts in _resamples(len(first.above), seed)]
    low, high = np.percentile(np.concatenate(moved), (2.5, 97.5), axis=0)
    gain = second.above - first.above
    rng, as_large, n = np.random.default_rng([seed, 1]), np.zeros(gain.shape[1]), 0
    for size in _chunks(len(gain)):
        signs = rng.integers(0, 2, (size, len(gain)), dtype=np.int8) * 2.0 - 1.0
        as_large += (np.abs(signs @ gain) >= np.abs(gain.sum(0)) - 1e-9).sum(0)
        n += size
    p_values = (1 + as_large) / (1 + n)
    columns = zip(first.names, first.values(), second.values(), low, high, p_values, strict=True)
    return {name: Difference(*(float(value) for value in values)) for name, *values in columns}


def ratios(first: PerPoint, second: PerPoint, seed: int = 0) -> dict[str, tuple[float, float, float]]:
    """Return for each metric the ratio of the second system to the first, and its 95 % interval (paired bootstrap).

    The ratio is 1 if the figure of the first system is 0.

    Raises:
        InputError: their points or metrics differ.

    Example:
        ``ratios(teacher, student)["P@1"]`` is such as ``(0.97, 0.95, 0.99)``.
    """
    _check_same_points(first, second)
    drawn = [_shares(first.values(counts), second.values(counts)) for counts in _resamples(len(first.above), seed)]
    low, high = np.percentile(np.concatenate(drawn), (2.5, 97.5), axis=0)
    columns = zip(first.names, _shares(first.values(), second.values()), low, high, strict=True)
    return {name: (float(share), float(a), float(b)) for name, share, a, b in columns}


@dataclass(frozen=True)
class Group:
    """Labels of similar training frequency.

    Attributes:
        labels: number of labels.
        fewest, most: training points per label.
        precision: contribution of these labels to P@k, percent; the groups sum to P@k.
        recall: share of the true pairs of these labels among the first k, percent.
    """

    labels: int
    fewest: int
    most: int
    precision: float
    recall: float


def by_frequency(
    pred: Predictions, targets: sp.csr_matrix, train_counts: np.ndarray, k: int = 5, groups: int = 10
) -> list[Group]:
    """Return hits by label frequency: groups from rare to frequent labels, with equal shares of the training pairs.

    Args:
        pred: as :func:`ramen.metrics.ranking.top_k` takes it.
        targets: sparse N x L.
        train_counts: int (L,), training points of each label.
        k: cut-off.
        groups: maximum number; labels of equal frequency stay together.

    Example:
        >>> groups = by_frequency(np.array([[0, 1]]), sp.csr_matrix([[1, 1, 0]]), np.array([1, 9, 10]), k=2, groups=2)
        >>> [(group.labels, group.precision) for group in groups]
        [(2, 100.0), (1, 0.0)]
    """
    binary = binary_csr(targets, "targets")
    ranked = top_k(pred, binary.shape[0], binary.shape[1], k)
    order = np.argsort(train_counts, kind="stable")
    counts = train_counts[order]
    share = np.cumsum(counts) / max(1, counts.sum())
    group = np.minimum((share - 1e-12).clip(0) * groups, groups - 1).astype(int)
    group = group[np.searchsorted(counts, counts)]  # labels of equal frequency go to the group of the first
    of_label = np.empty(len(order), dtype=np.int64)
    of_label[order] = group
    rows = np.repeat(np.arange(len(ranked)), ranked.shape[1]).reshape(ranked.shape)
    hits = np.asarray(binary[rows, np.maximum(ranked, 0)].todense()).astype(bool) & (ranked >= 0)
    hit = np.bincount(of_label[ranked[hits]], minlength=groups)
    true = np.bincount(of_label[binary.indices], minlength=groups)
    bins = []
    for number in range(groups):
        members = train_counts[of_label == number]
        if len(members):
            recall = 100.0 * hit[number] / true[number] if true[number] else 0.0
            precision = 100.0 * hit[number] / (len(ranked) * k)
            bins.append(Group(len(members), int(members.min()), int(members.max()), float(precision), float(recall)))
    return bins


def _check_same_points(first: PerPoint, second: PerPoint) -> None:
    if first.names != second.names or not np.array_equal(first.below, second.below):
        raise InputError("two systems: expected figures of the same points, targets, propensities and cut-offs")


def _shares(whole: np.ndarray, part: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.ones_like(whole), where=whole > 0)


def _chunks(n_points: int) -> list[int]:
    """Return chunk sizes of resamples that take a few hundred megabytes at most."""
    size = max(1, min(_RESAMPLES, 20_000_000 // max(1, n_points)))
    return [min(size, _RESAMPLES - start) for start in range(0, _RESAMPLES, size)]


def _resamples(n_points: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each point is drawn, float64 (B, N), in chunks."""
    rng = np.random.default_rng(seed)
    for size in _chunks(n_points):
        drawn = [np.bincount(rng.integers(0, n_points, n_points), minlength=n_points) for _ in range(size)]
        yield np.stack(drawn).astype(np.float64)


def standard_errors(differences: np.ndarray) -> float:
    """Paired differences' mean over its standard error; 0 for fewer than two, or where all are 0.

    Example:
        >>> round(standard_errors(np.array([1.0, 1.0, 3.0])), 4)
        2.5
    """
    if len(differences) < 2 or not differences.any():
        return 0.0
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    return mean * math.sqrt(len(differences)) / spread if spread else math.copysign(math.inf, mean)
