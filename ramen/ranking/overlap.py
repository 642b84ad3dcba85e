"""Overlap of words, and of character n-grams of the title, between a text and the text of a label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ramen.compiled import kernel
from ramen.ranking import grams
from ramen.ranking.grams import TitleGrams
from ramen.scorers.base import Queries
from ramen.threads import parallel_for

MEASURES = ("cosine", "share of the label's words", "share of the text's words")
_FIELDS = ("whole", "title")
NAMES = [f"label's {label}, text's {text}: {name}" for label in _FIELDS for text in _FIELDS for name in MEASURES]


@dataclass
class FieldWords:
    """Words of texts, marked if they occur in the title.

    Attributes:
        rows: CSR float32 (n, F) over single words, rows of unit length.
        in_title: uint8 (nnz,), 1 for a word of the title; a text without content is all title.
    """

    rows: sp.csr_matrix
    in_title: np.ndarray

    @classmethod
    def of(cls, features: sp.csr_matrix, columns: np.ndarray) -> FieldWords:
        """Build from rows of features, columns ascending, and :func:`ramen.encoders.word_features.word_columns`."""
        n, width = features.shape
        word = columns[features.indices].astype(np.int64)
        is_word = word == features.indices
        is_mark = ~is_word & (word >= 0)
        row = np.repeat(np.arange(n), np.diff(features.indptr))
        data = features.data[is_word].astype(np.float32)
        lengths = np.sqrt(np.bincount(row[is_word], data.astype(np.float64) ** 2, minlength=n))
        starts = np.append(0, np.cumsum(np.bincount(row[is_word], minlength=n)))
        rows = sp.csr_matrix((n, width), dtype=np.float32)
        rows.data = (data / np.maximum(lengths, 1e-12)[row[is_word]]).astype(np.float32)
        rows.indices, rows.indptr = word[is_word].astype(np.int32), starts.astype(np.int64)
        in_title = np.isin(row[is_word] * width + word[is_word], row[is_mark] * width + word[is_mark])
        has_title = np.bincount(row[is_mark], minlength=n) > 0
        return cls(rows, (in_title | ~has_title[row[is_word]]).astype(np.uint8))

    def followed_by(self, other: FieldWords) -> FieldWords:
        """Concatenate the texts of both."""
        rows, more = self.rows, other.rows
        both = sp.csr_matrix((rows.shape[0] + more.shape[0], rows.shape[1]), dtype=np.float32)
        both.data, both.indices = np.append(rows.data, more.data), np.append(rows.indices, more.indices)
        both.indptr = np.append(rows.indptr, rows.indptr[-1] + more.indptr[1:])
        return FieldWords(both, np.append(self.in_title, other.in_title))

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the kernels' arguments: offsets int64, columns int32, weights float32, title marks uint8."""
        return self.rows.indptr, self.rows.indices, self.rows.data, self.in_title


@dataclass
class LabelWords:
    """Words and title n-grams of the labels' texts.

    Attributes:
        columns: int32 (F,), see :func:`ramen.encoders.word_features.word_columns`.
        texts: of the labels, L rows.
        titles: n-grams of their titles; None for bags of words.
    """

    columns: np.ndarray
    texts: FieldWords
    titles: TitleGrams | None = None

    @classmethod
    def of(cls, columns: np.ndarray, labels: sp.csr_matrix, titles: Iterable[str] | None = None) -> LabelWords:
        """Build from the labels' features (L, F) and titles."""
        return cls(columns, FieldWords.of(labels, columns), None if titles is None else TitleGrams.of(titles))

    @property
    def names(self) -> list[str]:
        """Names of the features that :meth:`fill` computes."""
        return NAMES + (grams.NAMES if self.titles else [])

    def fill(self, queries: Queries, labels: np.ndarray, out: np.ndarray) -> None:
        """Fill ``out``, float32 (B, C, len(names)), for queries and labels int64 (B, C)."""
        overlaps(FieldWords.of(queries.words, self.columns), self.texts, labels, out[:, :, : len(NAMES)])
        if self.titles:
            assert queries.titles is not None
            self.titles.fill(queries.titles, labels, out[:, :, len(NAMES) :])

    def with_more(self, features: sp.csr_matrix, titles: Iterable[str]) -> LabelWords:
        """Append labels added after training, from their features and titles."""
        texts = self.texts.followed_by(FieldWords.of(features, self.columns))
        return LabelWords(self.columns, texts, self.titles and self.titles.with_more(titles))


def overlaps(texts: FieldWords, labels: FieldWords, pairs: np.ndarray, out: np.ndarray) -> None:
    """Fill ``out``, float32 (B, C, 12), with the word overlap of texts and labels.

    For each field of the label and each field of the text: the cosine of their words, and the shares, by squared
    weight, of the label's and of the text's words that the other has as well.

    Args:
        texts: B rows.
        labels: L rows.
        pairs: int64 (B, C), labels of each text; ``out`` is unchanged where a label is -1.
        out: in the order of ``NAMES``.
    """
    width = texts.rows.shape[1]

    def scratch() -> tuple[np.ndarray, ...]:
        sums = np.zeros((2, 2, 3), dtype=np.float64)
        return np.zeros(width, dtype=np.float32), np.zeros(width, dtype=np.uint8), sums, np.zeros((2, 2))

    work = 1.0 + 60 * pairs.shape[1]
    parallel_for(len(pairs), _overlap, *texts.arrays(), *labels.arrays(), pairs, out, work=work, scratch=scratch)


@kernel
def _overlap(
    first: int, last: int, t_starts: np.ndarray, t_words: np.ndarray, t_weights: np.ndarray, t_title: np.ndarray,
    l_starts: np.ndarray, l_words: np.ndarray, l_weights: np.ndarray, l_title: np.ndarray, pairs: np.ndarray,
    out: np.ndarray, value: np.ndarray, title: np.ndarray, sums: np.ndarray, masses: np.ndarray,
) -> None:  # fmt: skip
    for row in range(first, last):
        masses[:] = 1e-12
        for at in range(t_starts[row], t_starts[row + 1]):
            value[t_words[at]], title[t_words[at]] = t_weights[at], t_title[at]
            masses[1, 0] += t_weights[at] ** 2
            masses[1, 1] += t_title[at] * t_weights[at] ** 2
        for column in range(pairs.shape[1]):
            label = pairs[row, column]
            if label < 0:
                continue
            sums[:] = 0.0
            masses[0] = 1e-12
            for at in range(l_starts[label], l_starts[label + 1]):
                weight, other = l_weights[at], value[l_words[at]]
                masses[0, 0] += weight**2
                masses[0, 1] += l_title[at] * weight**2
                if other > 0.0:
                    for of_label in range(1 + l_title[at]):
                        for of_text in range(1 + title[l_words[at]]):
                            sums[of_label, of_text, 0] += weight * other
                            sums[of_label, of_text, 1] += weight**2
                            sums[of_label, of_text, 2] += other**2
            place = 0
            for of_label in range(2):
                for of_text in range(2):
                    of_both = np.sqrt(masses[0, of_label] * masses[1, of_text])
                    out[row, column, place] = sums[of_label, of_text, 0] / of_both
                    out[row, column, place + 1] = sums[of_label, of_text, 1] / masses[0, of_label]
                    out[row, column, place + 2] = sums[of_label, of_text, 2] / masses[1, of_text]
                    place += 3
        for at in range(t_starts[row], t_starts[row + 1]):
            value[t_words[at]] = 0.0
