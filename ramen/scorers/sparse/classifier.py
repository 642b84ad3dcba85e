"""Sparse one-vs-all classifiers: one linear classifier per label over word features, trained label by label.

Linear in the number of labels: a label meets its positives and some hundred negatives, never all points, and there is
no label x batch matrix anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from safetensors.numpy import save_file

from ramen.compiled import kernel
from ramen.files import replacing
from ramen.mining.splitmix import GOLDEN, mix
from ramen.stored import Tensors
from ramen.threads import parallel_for

UNIFORM = 50  # points drawn as negatives of each label
MIN_WEIGHT = 0.02  # smaller ones are dropped
_Arrays = tuple[np.ndarray, ...]
_BLOCK = 8192  # labels fitted between two reports of progress
_LABEL = 300_000.0  # operations that fitting a label takes, at least
_TOLERANCE = 0.001  # a pass in which no dual variable is further from its optimum is the last


@dataclass
class SparseClassifier:
    """score_l(x) = w_l · x + b_l.

    Attributes:
        weights: float32 sparse (L, F); CSR from :func:`fit_sparse`, CSC from :meth:`load`.
        bias: float32 (L,).
    """

    weights: sp.spmatrix
    bias: np.ndarray

    def save(self, path: Path) -> None:
        """Write one safetensors file, the weights by feature: as an inverted index takes them."""
        columns = self.weights.tocsc()
        tensors = {
            "indptr": columns.indptr.astype(np.int64),
            "indices": columns.indices.astype(np.int32),
            "data": columns.data.astype(np.float32),
            "bias": self.bias,
            "shape": np.array(columns.shape, dtype=np.int64),
        }
        with replacing(path) as part:
            save_file(tensors, part)

    @classmethod
    def load(cls, path: Path, full: bool = True) -> SparseClassifier:
        """What :meth:`save` wrote; the weights come as CSC.

        Args:
            path: of the file.
            full: check all values, too.

        Raises:
            InputError: the arrays do not fit each other, or a value is out of range.
        """
        stored = Tensors(path, full)
        n_labels, n_features = stored.array("shape", "i8", (2,)).tolist()
        bias, data = stored.array("bias", "f4", (n_labels,)), stored.array("data", "f4", (None,))
        indices = stored.integers("indices", "i4", data.shape, 0, n_labels)
        indptr = stored.offsets("indptr", n_features, len(data))
        return cls(sp.csc_matrix((data, indices, indptr), shape=(n_labels, n_features)), bias)


@dataclass(frozen=True)
class FitSettings:
    """How classifiers are fitted.

    Attributes:
        C: cost of the errors against the pull, above 0.
        passes: over a label's examples, at most.
        uniform: points drawn as negatives of each label besides; those known to it are left out.
        min_weight: smaller weights are dropped.
        max_weights: at most so many are kept per label, the largest.
        seed: of the draws and the order of examples.
    """

    C: float = 1.0
    passes: int = 10
    uniform: int = UNIFORM
    min_weight: float = MIN_WEIGHT
    max_weights: int = 1000
    seed: int = 0


def fit_sparse(
    features: sp.csr_matrix,
    positives: sp.csr_matrix,
    negatives: sp.csr_matrix,
    skipped: sp.csr_matrix,
    prior: sp.csr_matrix | None = None,
    settings: FitSettings | None = None,
    progress: Callable[[int], object] = lambda labels: None,
    labels: slice = slice(None),
) -> SparseClassifier:
    """Fit every label by itself: squared hinge, L2 pull towards ``prior``, dual coordinate descent.

    min over w, b of ½ |w - m_l|² + ½ b² + C Σ_i max(0, 1 - y_i (w · x_i + b))². Source: Hsieh et al., ICML 2008, the
    "L2-loss SVC dual" of LIBLINEAR with the bias as a constant feature; a w that starts at m_l instead of 0 makes the
    solution shrink towards m_l. The weights are the same on any number of threads.

    Args:
        features: float32 CSR (N, F) of the training points, rows of unit length or empty.
        positives: CSR (L, N), the points of each label.
        negatives: CSR (L, N), mined negatives; those among positives or skipped are left out.
        skipped: CSR (L, N), points that are neither right nor wrong for a label.
        prior: float32 CSR (L, F), m_l; None for zero.
        settings: of the solver; None for the defaults.
        progress: called with the number of labels of each finished block.
        labels: fit only these, as they would be fitted among all; the result has a row for each.
    """
    settings = settings or FitSettings()
    start, stop, _ = labels.indices(positives.shape[0])
    n_labels, n_features = positives.shape[0], features.shape[1]

    def scratch() -> _Arrays:
        return np.zeros(features.shape[0], dtype=np.int32), np.full(n_features, -1, dtype=np.int32)

    prior = sp.csr_matrix((n_labels, n_features), dtype=np.float32) if prior is None else prior
    parts = _csr(features), _csr(positives), _csr(negatives), _csr(skipped), _csr(prior)
    width = min(settings.max_weights, n_features)
    bias = np.zeros(n_labels, dtype=np.float32)
    counts, indices, data = [], [], []
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        counts_kept = np.zeros(last - first, dtype=np.int64)
        block_indices = np.empty((last - first, width), dtype=np.int32)
        block_data = np.empty((last - first, width), dtype=np.float32)
        parallel_for(
            last - first, _fit_block, first, parts, settings.C, settings.passes, settings.uniform, settings.min_weight,
            settings.seed, counts_kept, block_indices, block_data, bias, work=_LABEL, scratch=scratch,
        )  # fmt: skip
        is_kept = np.arange(width) < counts_kept[:, None]
        counts.append(counts_kept)
        indices.append(block_indices[is_kept])
        data.append(block_data[is_kept])
        progress(last - first)
    indptr = np.cumsum(np.concatenate([np.zeros(1, dtype=np.int64), *counts]))
    kept_weights = (
        np.concatenate([np.zeros(0, np.float32), *data]),
        np.concatenate([np.zeros(0, np.int32), *indices]),
        indptr,
    )
    return SparseClassifier(sp.csr_matrix(kept_weights, shape=(stop - start, n_features)), bias[start:stop])


def _csr(matrix: sp.csr_matrix) -> _Arrays:
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data.astype(np.float32)


@kernel(inline="always")
def _next(state: np.uint64) -> np.uint64:
    return state + np.uint64(GOLDEN)


@kernel
def _below(state: np.uint64, n: int) -> np.int64:
    """A number below n from a state."""
    return np.int64(mix(state) >> np.uint64(2)) % n


@kernel
def _examples(
    label: int, positives: np.ndarray, negatives: np.ndarray, skipped: np.ndarray, uniform: int, state: np.uint64,
    stamps: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Rows of the label's examples, its positives first."""
    stamp = label + 1
    n = len(stamps)
    rows = np.empty(len(positives) + len(negatives) + uniform, dtype=np.int64)
    count = 0
    for row in positives:
        stamps[row] = stamp
        rows[count] = row
        count += 1
    for row in skipped:
        stamps[row] = stamp
    for row in negatives:
        if stamps[row] != stamp:
            stamps[row] = stamp
            rows[count] = row
            count += 1
    for _ in range(uniform):
        state = _next(state)
        row = _below(state, n)
        if stamps[row] != stamp:
            stamps[row] = stamp
            rows[count] = row
            count += 1
    return rows[:count]


@kernel
def _descend(
    starts: np.ndarray, columns: np.ndarray, values: np.ndarray, n_positives: int, w: np.ndarray, C: float, passes: int,
    state: np.uint64,
) -> float:  # fmt: skip
    """Move ``w`` to the optimum; returns the bias. Rows are local: positives first, then negatives."""
    n = len(starts) - 1
    alpha = np.zeros(n)
    order = np.arange(n)
    diagonal = np.empty(n)
    for i in range(n):
        total = 1.0 + 0.5 / C  # the bias's constant feature, and the squared loss
        for at in range(starts[i], starts[i + 1]):
            total += values[at] * values[at]
        diagonal[i] = total
    bias = 0.0
    for _ in range(passes):
        furthest = 0.0
        for place in range(n - 1, -1, -1):
            state = _next(state)
            other = _below(state, place + 1)
            order[place], order[other] = order[other], order[place]
            i = order[place]
            margin = bias
            for at in range(starts[i], starts[i + 1]):
                margin += w[columns[at]] * values[at]
            sign = 1.0 if i < n_positives else -1.0
            gradient = sign * margin - 1.0 + alpha[i] * 0.5 / C
            if alpha[i] == 0.0 and gradient >= 0.0:
                continue
            furthest = max(furthest, abs(gradient))
            new = max(alpha[i] - gradient / diagonal[i], 0.0)
            step = sign * (new - alpha[i])
            alpha[i] = new
            bias += step
            for at in range(starts[i], starts[i + 1]):
                w[columns[at]] += np.float32(step * values[at])
        if furthest < _TOLERANCE:
            break
    return bias


@kernel
def _keep(w: np.ndarray, names: np.ndarray, min_weight: float, indices: np.ndarray, data: np.ndarray) -> int:
    """Write the largest weights that are large enough, by column; returns how many."""
    chosen = np.flatnonzero(np.abs(w) >= min_weight)
    chosen = chosen[np.argsort(names[chosen])]
    if len(chosen) > len(indices):
        by_size = np.argsort(-np.abs(w[chosen]), kind="mergesort")[: len(indices)]
        chosen = chosen[np.sort(by_size)]
    for place in range(len(chosen)):
        indices[place] = names[chosen[place]]
        data[place] = w[chosen[place]]
    return len(chosen)


@kernel
def _fit_block(
    begin: int, end: int, first: int, parts: tuple[_Arrays, ...], C: float, passes: int, uniform: int,
    min_weight: float, seed: int, counts_kept: np.ndarray, indices: np.ndarray, data: np.ndarray, bias: np.ndarray,
    stamps: np.ndarray, slot: np.ndarray,
) -> None:  # fmt: skip
    """Fit the labels ``first + begin`` to ``first + end``; ``stamps`` and ``slot`` are a thread's own."""
    (x_starts, x_columns, x_values), (p_starts, p_rows, _), (n_starts, n_rows, _), (s_starts, s_rows, _), prior = parts
    m_starts, m_columns, m_values = prior
    for label in range(first + begin, first + end):
        state = np.uint64(seed * 1_000_003 + label) * np.uint64(0xD1B54A32D192ED03)
        positives = p_rows[p_starts[label] : p_starts[label + 1]]
        rows = _examples(
            label, positives, n_rows[n_starts[label] : n_starts[label + 1]],
            s_rows[s_starts[label] : s_starts[label + 1]], uniform, state, stamps,
        )  # fmt: skip
        # A copy of the label's examples with its own few columns: every pass then runs in the fastest cache.
        size = 0
        for row in rows:
            size += x_starts[row + 1] - x_starts[row]
        starts = np.zeros(len(rows) + 1, dtype=np.int64)
        columns = np.empty(size, dtype=np.int32)
        values = np.empty(size, dtype=np.float32)
        names = np.empty(size + m_starts[label + 1] - m_starts[label], dtype=np.int64)
        w = np.zeros(len(names), dtype=np.float32)
        used = 0
        for at in range(m_starts[label], m_starts[label + 1]):
            slot[m_columns[at]] = used
            names[used] = m_columns[at]
            w[used] = m_values[at]
            used += 1
        at = 0
        for place in range(len(rows)):
            for source in range(x_starts[rows[place]], x_starts[rows[place] + 1]):
                column = x_columns[source]
                if slot[column] < 0:
                    slot[column] = used
                    names[used] = column
                    used += 1
                columns[at] = slot[column]
                values[at] = x_values[source]
                at += 1
            starts[place + 1] = at
        bias[label] = _descend(starts, columns, values, len(positives), w[:used], C, passes, state)
        counts_kept[label - first] = _keep(
            w[:used], names[:used], min_weight, indices[label - first], data[label - first]
        )
        for place in range(used):
            slot[names[place]] = -1
