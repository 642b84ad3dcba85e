"""What a graph is worth before any training: how much of the label relation it carries that the text does not.

Pairs of rows that belong together by their labels are compared with wrong pairs of like text: what counts is how much
more often they share an anchor. A graph of chance has no more of it, nor has one that only repeats the words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
import scipy.sparse as sp

from ramen.data import Dataset
from ramen.graph.prepare import prepare_links
from ramen.heads.words import WordFeatures
from ramen.mining.inverted import InvertedIndex

RELATIONS = {
    "points": "points that share a label share an anchor in {} of pairs, others of like text in {}",
    "labels": "labels that share a point share an anchor in {} of pairs, others of like text in {}",
    "between": "points share an anchor with their labels in {} of pairs, with other labels of like text in {}",
}
_PAIRS = 20_000
_RANDOM, _NEAREST = 5, 10  # wrong partners of each pair's first row
_EDGES = (1e-6, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8)  # of text similarity; the first bin has no word in common
_FEWEST = 20  # wrong pairs of a bin: the rate of fewer says nothing
_COMMON = 0.03  # words that a larger share of the texts has do not count for who is nearest
_LEAST_ERRORS, _LEAST_EXTRA = 3.0, 0.5
_SHOWN = 1.0  # percent of pairs without a match that is worth a word
_Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Carried:
    """One relation of a graph.

    Attributes:
        relation: ``points`` (two that share a label), ``labels`` (two that share a point) or ``between`` (a point and
            a label of it).
        true: percent of the related pairs that share an anchor.
        wrong: the same of wrong pairs with text as similar.
        extra: true - wrong, percentage points.
        errors: extra over its standard error. Pairs that have a row in common, true or wrong, count as dependent, and
            a pair counts at both its rows, so that the error is rather too large.
        pairs: true pairs that were compared.
        unmatched: percent of the true pairs that were not, as too few wrong pairs have text as similar.
    """

    relation: str
    true: float
    wrong: float
    extra: float
    errors: float
    pairs: int
    unmatched: float


class _Sample(NamedTuple):
    """Pairs of one relation: int64 (P,) rows of its two sides, which of them are true, and the bin of each."""

    left: np.ndarray
    right: np.ndarray
    is_true: np.ndarray
    bins: np.ndarray


class Forecast:
    """Pairs of a data set, drawn once for all its graphs.

    Args:
        targets: CSR, N x L.
        point_words, label_words: CSR float32 unit rows, N x F and L x F.
        seed: of the draw.
        excluded: CSR, N x L, pairs that are neither right nor wrong, such as a point and the label that it is; or None.
    """

    def __init__(
        self, targets: sp.csr_matrix, point_words: sp.csr_matrix, label_words: sp.csr_matrix, seed: int = 0,
        excluded: sp.csr_matrix | None = None,
    ) -> None:  # fmt: skip
        barred = _ones(sp.csr_matrix(targets.shape, dtype=np.float32) if excluded is None else excluded)
        truth = _ones(targets)
        self._truth = _ones(truth - truth.multiply(barred))
        self._barred = _ones(truth + barred)
        self._words = {"points": _ordered(point_words), "labels": _ordered(label_words)}
        self._seed = seed
        self._samples: dict[str, _Sample | None] = {}

    def of(self, points: sp.csr_matrix | None, labels: sp.csr_matrix | None) -> list[Carried]:
        """What a graph carries in each relation that can be measured.

        Args:
            points: CSR of links, N x M, or None.
            labels: CSR of links, L x M, or None.
        """
        links = {name: None if side is None else _ones(side) for name, side in (("points", points), ("labels", labels))}
        found = []
        for relation in RELATIONS:
            left, right = (links[side] for side in _sides(relation))
            if left is None or right is None:
                continue
            if relation not in self._samples:
                self._samples[relation] = self._draw(relation)
            sample = self._samples[relation]
            if sample is not None:
                shares = _products(left, right, sample.left, sample.right) > 0
                found.append(_compare(relation, sample, shares, left.shape[0]))
        return [carried for carried in found if carried is not None]

    def _draw(self, relation: str) -> _Sample | None:
        """True pairs and wrong ones; None where there are no true ones."""
        rng = np.random.default_rng([self._seed, list(RELATIONS).index(relation)])
        rows = self._truth if relation != "labels" else _ones(self._truth.T)
        left, right = _true_pairs(rows, relation != "between", rng)
        if not len(left):
            return None
        first, second = (self._words[side] for side in _sides(relation))
        # Random wrong partners come from the true ones: how popular a row is must make no difference.
        others = [right[rng.integers(len(right), size=(len(left), _RANDOM))]]
        starts, place = np.unique(left, return_inverse=True)
        own = None if relation == "between" else starts
        others.append(InvertedIndex(second, max_share=_COMMON).top(first[starts], _NEAREST, own)[0][place])
        partners = np.concatenate(others, axis=1)
        wrong = np.unique(np.stack([np.repeat(left, partners.shape[1]), partners.ravel()], axis=1), axis=0)
        wrong = wrong[wrong[:, 1] >= 0]
        if relation == "between":
            is_wrong = np.asarray(self._barred[wrong[:, 0], wrong[:, 1]]).ravel() == 0
        else:
            is_wrong = (wrong[:, 0] != wrong[:, 1]) & (_products(rows, rows, wrong[:, 0], wrong[:, 1]) == 0)
        wrong = wrong[is_wrong]
        ends = np.concatenate([left, wrong[:, 0]]), np.concatenate([right, wrong[:, 1]])
        return _Sample(*ends, np.arange(len(ends[0])) < len(left), np.digitize(_products(first, second, *ends), _EDGES))


def forecast(
    links_points: sp.csr_matrix | None, links_labels: sp.csr_matrix | None, targets: sp.csr_matrix,
    point_words: sp.csr_matrix, label_words: sp.csr_matrix, seed: int = 0,
) -> list[Carried]:  # fmt: skip
    """:class:`Forecast` of one graph: its links, N x M and L x M, and what the pairs are drawn from."""
    return Forecast(targets, point_words, label_words, seed).of(links_points, links_labels)


def carries(found: list[Carried]) -> bool:
    """Whether some relation is clearly no chance; True, too, where none could be measured.

    Example:
        >>> carries([Carried("points", true=9.0, wrong=8.9, extra=0.1, errors=0.4, pairs=500, unmatched=0.0)])
        False
        >>> carries([])
        True
    """
    return not found or any(one.errors > _LEAST_ERRORS and one.extra > _LEAST_EXTRA for one in found)


def forecast_lines(dataset: Dataset, seed: int = 0) -> list[str]:
    """The forecast of every graph of a data set for a terminal, by all its training pairs and whole texts."""
    if not dataset.graphs:
        return []
    texts = dataset.train.joined(), dataset.labels.joined()
    features = WordFeatures.fit([*texts[0], *texts[1]], "words")
    label_of = {uid: label for label, uid in enumerate(dataset.labels.uids)}
    selves = [(row, label_of[uid]) for row, uid in enumerate(dataset.train.uids) if uid in label_of]
    barred = np.concatenate([dataset.train_filter, np.array(selves, dtype=np.int64).reshape(-1, 2)])
    excluded = sp.csr_matrix(
        (np.ones(len(barred), dtype=np.float32), (barred[:, 0], barred[:, 1])), shape=dataset.train_targets.shape
    )
    points, labels = map(features.transform, texts)
    pairs = Forecast(dataset.train_targets, points, labels, seed, excluded)
    lines = []
    for kind, graph in dataset.graphs.items():
        links = prepare_links(graph)
        found = pairs.of(links.points, links.labels)
        for one in found:
            rates = RELATIONS[one.relation].format(f"{one.true:.1f} %", f"{one.wrong:.1f} %")
            left_out = f"; {one.unmatched:.0f} % of pairs without a match" if one.unmatched >= _SHOWN else ""
            lines.append(f"graph {kind}: {rates} ({one.extra:+.1f}, {one.errors:.0f} standard errors{left_out})")
        if not carries(found):
            lines.append(f"graph {kind}: carries nothing of the labels that the text does not")
    return lines


def _sides(relation: str) -> tuple[str, str]:
    return ("points", "labels") if relation == "between" else (relation, relation)


def _true_pairs(rows: sp.csr_matrix, joined: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Entries of the matrix; or, joined, pairs of rows that share a column: an entry, then another of its column."""
    if not rows.nnz:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    at = rng.permutation(rows.nnz)[:_PAIRS] if not joined else rng.integers(rows.nnz, size=_PAIRS)
    left = np.searchsorted(rows.indptr, at, side="right").astype(np.int64) - 1
    right = rows.indices[at].astype(np.int64)
    if joined:
        columns = rows.tocsc()
        starts, sizes = columns.indptr[right], np.diff(columns.indptr)[right]
        right = columns.indices[starts + (rng.random(len(at)) * sizes).astype(np.int64)].astype(np.int64)
        # Each pair once: the same one again is no more evidence.
        ends = np.stack([np.minimum(left, right), np.maximum(left, right)], axis=1)
        once = np.unique(ends, axis=0, return_index=True)[1]
        once = once[left[once] != right[once]]
        left, right = left[once], right[once]
    return left, right


def _compare(relation: str, sample: _Sample, shares: np.ndarray, n_left: int) -> Carried | None:
    """Rates of true and wrong pairs by bin, averaged with the true pairs' share of each; None where no bin matches."""
    n_bins = len(_EDGES) + 1
    cell = sample.bins + n_bins * ~sample.is_true
    sizes = np.bincount(cell, minlength=2 * n_bins).reshape(2, n_bins)
    hits = np.bincount(cell, weights=shares, minlength=2 * n_bins).reshape(2, n_bins)
    matched = (sizes[0] > 0) & (sizes[1] >= _FEWEST)
    n_true = int(sizes[0][matched].sum())
    if not n_true:
        return None
    share = np.where(matched, sizes[0] / n_true, 0.0)
    rates = hits / np.maximum(sizes, 1)
    true, wrong = rates @ share
    # What each pair moves the difference by, summed at its rows; never less than by as many independent pairs.
    weight = np.array([[1.0], [-1.0]]) * share / np.maximum(sizes, 1)
    moved = (shares - rates.ravel()[cell]) * weight.ravel()[cell]
    ends = sample.left, sample.right + (n_left if relation == "between" else 0)
    at_rows = np.bincount(np.concatenate(ends), weights=np.concatenate([moved, moved]))
    smooth = (hits + 0.5) / (sizes + 1.0)  # a rate of 0 or 1 is not certain
    least = (smooth * (1.0 - smooth) * weight**2 * sizes).sum()
    error = np.sqrt(max(float((at_rows**2).sum()), float(least)))
    extra = float(true - wrong)
    return Carried(
        relation, 100 * float(true), 100 * float(wrong), 100 * extra, extra / error, n_true,
        100 * (1 - n_true / int(sizes[0].sum())),
    )  # fmt: skip


def _ordered(matrix: sp.spmatrix) -> sp.csr_matrix:
    rows = sp.csr_matrix(matrix, dtype=np.float32, copy=True)
    rows.sum_duplicates()
    return rows


def _ones(matrix: sp.spmatrix) -> sp.csr_matrix:
    return sp.csr_matrix(_ordered(matrix) != 0, dtype=np.float32)


def _products(left: sp.csr_matrix, right: sp.csr_matrix, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float32 (P,), left[a] · right[b] for each pair; columns sorted."""
    sides = [(m.indptr.astype(np.int64), m.indices.astype(np.int64), m.data) for m in (left, right)]
    return _row_products(sides[0], sides[1], a, b)


@numba.njit(cache=True)
def _row_products(left: _Arrays, right: _Arrays, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Each entry of the shorter row is looked up in the longer: a hub costs little."""
    out = np.zeros(len(a), dtype=np.float32)
    for pair in range(len(a)):
        (starts, columns, values), x, (others, within, weights), y = left, a[pair], right, b[pair]
        if starts[x + 1] - starts[x] > others[y + 1] - others[y]:
            (starts, columns, values), x, (others, within, weights), y = right, b[pair], left, a[pair]
        row = within[others[y] : others[y + 1]]
        for at in range(starts[x], starts[x + 1]):
            place = np.searchsorted(row, columns[at])
            if place < len(row) and row[place] == columns[at]:
                out[pair] += values[at] * weights[others[y] + place]
    return out
