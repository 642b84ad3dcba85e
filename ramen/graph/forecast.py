"""Forecasts, before training, how informative a graph is about the labels beyond the text.

Compares related pairs of rows with unrelated pairs of similar text: an informative graph links related pairs to a
common anchor more often. A random graph does not, nor does one that only repeats the words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ramen.compiled import kernel
from ramen.data import Dataset
from ramen.data.matrices import pair_matrix
from ramen.encoders.split_words import Splitter
from ramen.encoders.word_features import WordFeatures
from ramen.graph.prepare import prepare_links
from ramen.mining.inverted import InvertedIndex

_LIKE = "share an anchor in {} of pairs, others with similar text in {}"
_WITH = "points share an anchor with their labels in {} of pairs, with other labels with similar text in {}"
RELATIONS = {  # name: its two kinds of rows, and the message
    "points": ("points", "points", f"points that share a label {_LIKE}"),
    "labels": ("labels", "labels", f"labels that share a point {_LIKE}"),
    "between": ("points", "labels", _WITH),
}
_PAIRS = 20_000
_RANDOM, _NEAREST = 5, 10  # unrelated partners for the first row of each pair
_EDGES = (1e-6, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8)  # of text similarity; in the first bin no word is shared
_BINS = len(_EDGES) + 1
_FEWEST = 20  # minimum number of wrong pairs per bin
_COMMON = 0.03  # words of a larger share of the texts are ignored in the search for nearest ones
_LEAST_ERRORS, _LEAST_EXTRA = 3.0, 0.5
_SHOWN = 1.0  # percent of unmatched pairs from which they are reported

_Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class RelationSignal:
    """How informative a graph is in one relation.

    Attributes:
        relation: ``points`` (two of a label), ``labels`` (two of a point) or ``between`` (a point and a label of it).
        true, wrong: percent of the related pairs, and of wrong pairs with text as similar, that share an anchor.
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


class Forecast:
    """Sampled pairs of a data set, shared by all its graphs.

    Args:
        targets: CSR, N x L.
        point_words, label_words: CSR float32 unit rows, N x F and L x F.
        seed: of the sampling.
        excluded: CSR, N x L, pairs that are neither right nor wrong, such as a point and its own label; or None.
    """

    def __init__(
        self, targets: sp.csr_matrix, point_words: sp.csr_matrix, label_words: sp.csr_matrix, seed: int = 0,
        excluded: sp.csr_matrix | None = None,
    ) -> None:  # fmt: skip
        self._not_negative = _ones(targets if excluded is None else targets + excluded)
        self._targets = _ones(targets if excluded is None else self._not_negative - _ones(excluded))
        self._words = {"points": point_words.sorted_indices(), "labels": label_words.sorted_indices()}
        self._seed = seed
        self._samples: dict[str, _Arrays] = {}

    def of(self, points: sp.csr_matrix | None, labels: sp.csr_matrix | None) -> list[RelationSignal]:
        """Return the signal of a graph in each relation that can be measured.

        Args:
            points: CSR, N x M, or None.
            labels: CSR, L x M, or None.
        """
        links = {name: _ones(matrix) for name, matrix in (("points", points), ("labels", labels)) if matrix is not None}
        signals = []
        for relation, (first, second, _) in RELATIONS.items():
            if self._targets.nnz and first in links and second in links:
                if relation not in self._samples:
                    self._samples[relation] = self._draw(relation)
                left, right, bins = self._samples[relation]
                shares = _products(links[first], links[second], left, right) > 0
                ends = left, right + (self._targets.shape[0] if first != second else 0)
                signals.append(_compare(relation, ends, bins, shares))
        return [signal for signal in signals if signal is not None]

    def _draw(self, relation: str) -> _Arrays:
        """Sample left and right rows of true, then wrong pairs, int64 (P,), and their bins (wrong ones offset)."""
        rng = np.random.default_rng([self._seed, list(RELATIONS).index(relation)])
        first, second = (self._words[name] for name in RELATIONS[relation][:2])
        rows = _ones(self._targets.T) if relation == "labels" else self._targets
        left, right = _entries(rows, rng) if relation == "between" else _neighbours(rows, rng)
        # Random wrong partners are sampled from the true ones, so that popularity has no effect.
        partners = [right[rng.integers(max(1, len(right)), size=(len(left), _RANDOM))]]
        starts, place = np.unique(left, return_inverse=True)
        exclude = None if relation == "between" else starts
        partners.append(InvertedIndex(second, max_share=_COMMON).top(first[starts], _NEAREST, exclude)[0][place])
        wrong = np.stack([np.repeat(left, _RANDOM + _NEAREST), np.concatenate(partners, axis=1).ravel()], axis=1)
        a, b = np.unique(wrong[wrong[:, 1] >= 0], axis=0).T
        if relation == "between":
            is_wrong = np.asarray(self._not_negative[a, b]).ravel() == 0
        else:
            is_wrong = (a != b) & (_products(rows, rows, a, b) == 0)
        ends = np.concatenate([left, a[is_wrong]]), np.concatenate([right, b[is_wrong]])
        bins = np.digitize(_products(first, second, *ends), _EDGES)
        bins[len(left) :] += _BINS
        return *ends, bins


def is_informative(signals: list[RelationSignal]) -> bool:
    """Return whether some relation is clearly above chance; also True if none could be measured.

    Example:
        >>> signal = RelationSignal("points", true=9.0, wrong=8.9, extra=0.1, errors=0.4, pairs=500, unmatched=0.0)
        >>> is_informative([signal])
        False
        >>> is_informative([])
        True
    """
    return not signals or any(signal.errors > _LEAST_ERRORS and signal.extra > _LEAST_EXTRA for signal in signals)


def forecast_lines(dataset: Dataset, seed: int = 0) -> list[str]:
    """Return the forecast of every graph as lines for a terminal, from all training pairs and full texts."""
    if not dataset.graphs:
        return []
    splitter = Splitter()
    texts = splitter.split(dataset.train.joined()), splitter.split(dataset.labels.joined())
    features = WordFeatures.fit(texts[0].joined(texts[1]), "words")
    label_of = {uid: label for label, uid in enumerate(dataset.labels.uids)}
    selves = [(row, label_of[uid]) for row, uid in enumerate(dataset.train.uids) if uid in label_of]
    barred = np.concatenate([dataset.train_filter, np.array(selves, dtype=np.int64).reshape(-1, 2)])
    excluded = pair_matrix(barred, dataset.train_targets.shape)
    points, labels = map(features.transform, texts)
    pairs = Forecast(dataset.train_targets, points, labels, seed, excluded)
    lines = []
    for kind, graph in dataset.graphs.items():
        links = prepare_links(graph)
        signals = pairs.of(links.points, links.labels)
        for signal in signals:
            rates = RELATIONS[signal.relation][2].format(f"{signal.true:.1f} %", f"{signal.wrong:.1f} %")
            left_out = f"; {signal.unmatched:.0f} % of pairs without a match" if signal.unmatched >= _SHOWN else ""
            lines.append(f"graph {kind}: {rates} ({signal.extra:+.1f}, {signal.errors:.0f} standard errors{left_out})")
        if not is_informative(signals):
            lines.append(f"graph {kind}: uninformative, adds nothing about the labels to the text")
    return lines


def _entries(rows: sp.csr_matrix, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    at = rng.permutation(rows.nnz)[:_PAIRS]
    return np.searchsorted(rows.indptr, at, side="right") - 1, rows.indices[at].astype(np.int64)


def _neighbours(rows: sp.csr_matrix, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sample unique pairs of rows that share a column: an entry, then another of its column."""
    at = rng.integers(rows.nnz, size=_PAIRS)
    left, shared, columns = np.searchsorted(rows.indptr, at, side="right") - 1, rows.indices[at], rows.tocsc()
    place = (rng.random(_PAIRS) * np.diff(columns.indptr)[shared]).astype(np.int64)
    right = columns.indices[columns.indptr[shared] + place].astype(np.int64)
    ends = np.stack([np.minimum(left, right), np.maximum(left, right)], axis=1)
    once = np.unique(ends, axis=0, return_index=True)[1]
    once = once[left[once] != right[once]]
    return left[once], right[once]


def _compare(
    relation: str, ends: tuple[np.ndarray, np.ndarray], bins: np.ndarray, shares: np.ndarray
) -> RelationSignal | None:
    """Compare rates of true and wrong pairs by bin, weighted by the share of true pairs; None if no bin matches."""
    sizes = np.bincount(bins, minlength=2 * _BINS).reshape(2, _BINS)
    hits = np.bincount(bins, weights=shares, minlength=2 * _BINS).reshape(2, _BINS)
    matched = (sizes[0] > 0) & (sizes[1] >= _FEWEST)
    n_true = int(sizes[0][matched].sum())
    if not n_true:
        return None
    share = np.where(matched, sizes[0] / n_true, 0.0)
    rates = hits / np.maximum(sizes, 1)
    true, wrong = (100 * rates @ share).tolist()
    # Contribution of each pair to the difference, summed by row; at least the error of independent pairs.
    weight = np.array([[100.0], [-100.0]]) * share / np.maximum(sizes, 1)
    moved = (shares - rates.ravel()[bins]) * weight.ravel()[bins]
    at_rows = np.bincount(np.concatenate(ends), weights=np.concatenate([moved, moved]))
    smooth = (hits + 0.5) / (sizes + 1.0)  # a rate of 0 or 1 is not certain
    error = np.sqrt(max((at_rows**2).sum(), (smooth * (1.0 - smooth) * weight**2 * sizes).sum()))
    unmatched = 100 * (1 - n_true / int(sizes[0].sum()))
    return RelationSignal(relation, true, wrong, true - wrong, float((true - wrong) / error), n_true, unmatched)


def _ones(matrix: sp.spmatrix) -> sp.csr_matrix:
    rows = sp.csr_matrix(matrix, dtype=np.float32, copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    rows.data[:] = 1
    return rows


def _products(left: sp.csr_matrix, right: sp.csr_matrix, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float32 (P,), left[a] · right[b] for each pair; columns sorted."""
    arrays = [(m.indptr.astype(np.int64), m.indices.astype(np.int64), m.data) for m in (left, right)]
    return _row_products(arrays[0], arrays[1], a, b)


@kernel
def _row_products(left: _Arrays, right: _Arrays, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return dot products; entries of the shorter row are looked up in the longer one, so hubs are cheap."""
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
