"""Which common words of a text go with which common words of a label's text, learned over all training pairs.

Words in many texts are shared by many labels, so what a classifier per label cannot learn from its few points, such as
that the texts and labels of a subject use different words for it, shows in the counts of all pairs together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.compiled import kernel
from ramen.encoders.split_words import SplitTexts
from ramen.encoders.word_features import SETS, WordFeatures
from ramen.stored import Tensors, check_fields
from ramen.threads import parallel_for

NAME = "association of common words"
_SHARE, _LEAST = 0.01, 50  # of the texts, and number of them, that a common word is in, at least
_MOST = 1000  # words of points, and of labels: the most common ones
_POINTS, _BLOCK = 200_000, 10_000  # points that are counted, at most, and at once
_LOWEST = 0.1  # ratio of counts: below, a denoised ratio may be negative


@dataclass
class Associations:
    """Scores of pairs of a text and a label by their common words.

    Attributes:
        words: common words of points; turns texts into rows.
        table: float32 (words of points, common words of labels), log ratios of observed and expected pairs.
        starts: int64 (L + 1,), of each label in ``of_labels``.
        of_labels: int32, the common words of the labels.
        label_words: turns texts of labels into such rows.
    """

    words: WordFeatures
    table: np.ndarray
    starts: np.ndarray
    of_labels: np.ndarray
    label_words: WordFeatures

    @classmethod
    def of(cls, points: SplitTexts, labels: SplitTexts, targets: sp.csr_matrix, seed: int) -> Associations:
        """Count the words of training pairs and keep what stands out of the noise.

        Args:
            points: n texts.
            labels: L texts.
            targets: CSR (n, L), the training pairs.
            seed: of the sample of points, where there are very many.
        """
        words, of_points = _common(points)
        label_words, of_labels = _common(labels)
        rows = np.arange(len(points))
        if len(rows) > _POINTS:
            rows = np.sort(np.random.default_rng([seed, 5]).permutation(rows)[:_POINTS])
        counts, n_pairs = np.zeros((len(words), len(label_words))), 0.0
        of_points_pairs, of_labels_pairs = np.zeros(len(words)), np.zeros(len(label_words))
        for first in range(0, len(rows), _BLOCK):
            part = rows[first : first + _BLOCK]
            pairs, texts = sp.csr_matrix(targets[part] > 0, dtype=np.float32), of_points[part]
            counts += (texts.T @ (pairs @ of_labels)).toarray()
            of_points_pairs += texts.T @ np.diff(pairs.indptr)
            of_labels_pairs += of_labels.T @ pairs.getnnz(0)
            n_pairs += pairs.nnz
        table = log_ratios(counts, np.outer(of_points_pairs, of_labels_pairs) / max(n_pairs, 1.0))
        starts, columns = of_labels.indptr.astype(np.int64), of_labels.indices.astype(np.int32)
        return cls(words, table, starts, columns, label_words)

    def fill(self, texts: Sequence[str], labels: np.ndarray, out: np.ndarray) -> None:
        """Fill ``out``, float32 (B, C), for B texts and labels int64 (B, C); unchanged where a label is -1."""
        rows = self.words.transform(texts)
        rows.data[:] = 1.0
        by_word = np.ascontiguousarray(rows @ self.table, dtype=np.float32)
        work = 1.0 + 20 * labels.shape[1]
        parallel_for(len(labels), _add, by_word, self.starts, self.of_labels, labels, out, work=work)

    def with_more(self, texts: Sequence[str]) -> Associations:
        """Append labels added after training."""
        rows = self.label_words.transform(texts)
        starts = np.append(self.starts, self.starts[-1] + rows.indptr[1:])
        return replace(self, starts=starts, of_labels=np.append(self.of_labels, rows.indices.astype(np.int32)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what a run folder keeps beside :meth:`facts`."""
        return {"table": self.table, "starts": self.starts, "of_labels": self.of_labels}

    def facts(self) -> dict[str, list[str]]:
        """Return the words, as JSON."""
        return {"points": list(self.words.names), "labels": list(self.label_words.names)}

    @classmethod
    def read(cls, stored: Tensors, facts: Mapping[str, Any], n_labels: int) -> Associations:
        """Build from :meth:`arrays` and :meth:`facts`.

        Raises:
            InputError: they do not fit each other or the number of labels.
        """
        check_fields("common_words", facts, {"points": "a list of strings", "labels": "a list of strings"})
        words, label_words = _features(facts["points"]), _features(facts["labels"])
        table = stored.array("table", "f4", (len(words), len(label_words)))
        of_labels = stored.integers("of_labels", "i4", (None,), 0, len(label_words))
        return cls(words, table, stored.offsets("starts", n_labels, len(of_labels)), of_labels, label_words)


def log_ratios(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return denoised log ratios of observed and expected counts, float32 (m, n); 0 where all is noise.

    Residuals (counts - expected) / sqrt(expected + 1) of independent words have a variance of about 1, so that the
    largest singular value of their matrix is about sqrt(m) + sqrt(n); only what exceeds it is kept. Sources:
    correspondence analysis (Greenacre, "Theory and Applications of Correspondence Analysis", 1984); the edge and the
    shrinkage above it after Gavish and Donoho, "Optimal Shrinkage of Singular Values", 2017, for m = n.
    """
    if not counts.size:
        return np.zeros(counts.shape, dtype=np.float32)
    scale = np.sqrt(expected + 1)
    left, values, right = np.linalg.svd(((counts - expected) / scale).astype(np.float32), full_matrices=False)
    edge = np.sqrt(counts.shape[0]) + np.sqrt(counts.shape[1])
    values = np.where(values > 1.1 * edge, np.sqrt(np.maximum(values**2 - edge**2, 0.0)), 0.0)
    return np.log(np.maximum(1 + (left * values) @ right / scale, _LOWEST)).astype(np.float32)


def _common(texts: SplitTexts) -> tuple[WordFeatures, sp.csr_matrix]:
    """Return the common words of texts, and the texts' rows of ones over them, float32 (n, words)."""
    fitted = WordFeatures.fit(texts, SETS[0], max(_LEAST, int(np.ceil(_SHARE * len(texts)))))
    is_word = np.array([":" not in name for name in fitted.names], dtype=np.bool_)  # no mark of a title's word
    columns = np.flatnonzero(is_word)
    columns = np.sort(columns[np.argsort(fitted.idf[columns], kind="stable")[:_MOST]])
    features = _features([fitted.names[column] for column in columns.tolist()])
    rows = features.transform(texts)
    rows.data[:] = 1.0
    return features, rows


def _features(names: Sequence[str]) -> WordFeatures:
    return WordFeatures(SETS[0], list(names), np.ones(len(names), dtype=np.float32))


@kernel
def _add(
    first: int, last: int, by_word: np.ndarray, starts: np.ndarray, words: np.ndarray, labels: np.ndarray,
    out: np.ndarray,
) -> None:  # fmt: skip
    for row in range(first, last):
        for column in range(labels.shape[1]):
            label = labels[row, column]
            if label < 0:
                continue
            total = np.float32(0.0)
            for at in range(starts[label], starts[label + 1]):
                total += by_word[row, words[at]]
            out[row, column] = total
