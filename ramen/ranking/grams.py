"""Overlap of character 4-grams between the titles of a text and a label, which matches inflected words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np

from ramen.compiled import kernel
from ramen.scripts import SPACELESS
from ramen.text import alike
from ramen.threads import parallel_for

NAMES = [f"letters of the titles: {name}" for name in ("cosine", "share of the label's", "share of the text's")]
_LETTERS = 4
_SPACELESS, _PARTS = re.compile(f"[{SPACELESS}]"), re.compile(f"[{SPACELESS}]+|[^{SPACELESS}]+")
BUCKETS = 2**18  # of hashes; a million titles fill it, but rare ones remain informative


@dataclass
class TitleGrams:
    """Hashed character 4-grams of the labels' titles.

    Attributes:
        idf: float32 (buckets,).
        starts: int64 (L + 1,), offsets of each label's hashes in ``grams``.
        grams: int32 (n,), hashes, ascending and distinct in each label.
    """

    idf: np.ndarray
    starts: np.ndarray
    grams: np.ndarray

    @classmethod
    def of(cls, titles: Iterable[str]) -> TitleGrams:
        """Build from the labels' titles, with idf = 1 + ln((1 + L) / (1 + labels with the gram))."""
        starts, grams = grams_of(titles)
        n = len(starts) - 1
        frequency = np.bincount(grams, minlength=BUCKETS)
        return cls((1.0 + np.log((1.0 + n) / (1.0 + frequency))).astype(np.float32), starts, grams)

    def with_more(self, titles: Iterable[str]) -> TitleGrams:
        """Append labels added after training."""
        starts, grams = grams_of(titles)
        return TitleGrams(self.idf, np.append(self.starts, self.starts[-1] + starts[1:]), np.append(self.grams, grams))

    def fill(self, titles: Iterable[str], labels: np.ndarray, out: np.ndarray) -> None:
        """Fill ``out``, float32 (B, C, 3), for titles of texts and labels int64 (B, C); skips labels of -1.

        The three values are the cosine, and the shares, by squared idf, of the label's and of the text's grams that
        the other has as well.
        """

        def scratch() -> tuple[np.ndarray]:
            return (np.zeros(len(self.idf), dtype=np.uint8),)

        work = 1.0 + 30 * labels.shape[1]
        of_texts = grams_of(titles)
        parallel_for(
            len(labels), _overlap, *of_texts, self.starts, self.grams, self.idf, labels, out, work=work, scratch=scratch
        )


def grams_of(titles: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hash the character 4-grams of each title, lower-cased and with a space before and after.

    Of scripts without spaces, whose words are short, each character and each pair of characters is one.

    Returns:
        int64 offsets and int32 hashes, ascending and distinct in each title.

    Example:
        >>> starts, grams = grams_of(["Apple", "a", ""])
        >>> starts.tolist()
        [0, 4, 5, 5]
    """
    starts, grams = [0], list[int]()
    for title in titles:
        letters = alike(title)
        if letters:
            parts = _PARTS.findall(letters) if _SPACELESS.search(letters) else [letters]
            runs = set().union(*map(_runs, parts))
            grams.extend(sorted({crc32(run.encode("utf-8", "replace")) % BUCKETS for run in runs}))
        starts.append(len(grams))
    return np.array(starts, dtype=np.int64), np.array(grams, dtype=np.int32)


def _runs(letters: str) -> set[str]:
    if _SPACELESS.match(letters):
        return {*letters, *map("".join, pairwise(letters))}
    padded = f" {letters.strip()} "
    return {padded[at : at + _LETTERS] for at in range(max(1, len(padded) - _LETTERS + 1))}


@kernel
def _overlap(
    first: int, last: int, t_starts: np.ndarray, t_grams: np.ndarray, l_starts: np.ndarray, l_grams: np.ndarray,
    idf: np.ndarray, labels: np.ndarray, out: np.ndarray, is_present: np.ndarray,
) -> None:  # fmt: skip
    for row in range(first, last):
        of_text = 1e-12
        for at in range(t_starts[row], t_starts[row + 1]):
            is_present[t_grams[at]] = 1
            of_text += idf[t_grams[at]] ** 2
        for column in range(labels.shape[1]):
            label = labels[row, column]
            if label < 0:
                continue
            of_label, both = 1e-12, 0.0
            for at in range(l_starts[label], l_starts[label + 1]):
                square = idf[l_grams[at]] ** 2
                of_label += square
                both += is_present[l_grams[at]] * square
            out[row, column, 0] = both / np.sqrt(of_label * of_text)
            out[row, column, 1] = both / of_label
            out[row, column, 2] = both / of_text
        for at in range(t_starts[row], t_starts[row + 1]):
            is_present[t_grams[at]] = 0
