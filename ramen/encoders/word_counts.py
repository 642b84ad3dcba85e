"""Counts features of split texts as integers: numpy sorts an int64 for each instead of hashing text.

Of K words, word w has the code w; as a title's word it is K + w, as one of the content's first 2 K + w. The pair of a
and b is (3 + a) K + b.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from ramen.encoders.split_words import SplitTexts

TITLE, FIRST = "T:", "L:"  # mark a title's word, and one of the content's first
N_FIRST = 6  # words of the content that are marked as its first
_MARKED = 3  # ways in which a single word is a feature
_CHUNK = 1 << 18  # words counted at a time


def feature_codes(
    split: SplitTexts, number: np.ndarray, n_words: int, parts: Collection[str], rows_at_once: int = 1 << 40
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Yield, for ranges of texts, the features of every text, in no particular order.

    Args:
        split: texts.
        number: int64, of each of their words its new number below ``n_words``, or -1 to leave it out.
        n_words: K.
        parts: any of ``words`` (with those of titles), ``first`` and ``pairs``.
        rows_at_once: at most so many texts in a range.

    Yields:
        First and last text of the range; of each feature the text, counted from the first, and the code, both int64.
    """
    fit_pairs = ~split.alone if "pairs" in parts else np.zeros(0, np.bool_)
    for start, stop in split.chunks(_CHUNK, rows_at_once):
        begin, end = split.starts[start], split.starts[stop]
        words = number[split.ids[begin:end]]
        row = np.repeat(np.arange(stop - start), np.diff(split.starts[start : stop + 1]))
        place = np.arange(begin, end) - split.contents[start:stop][row]  # in the content; a title's are below 0
        known = words >= 0
        rows, codes = [], []
        if "words" in parts:
            with_content = split.contents[start:stop] < split.starts[start + 1 : stop + 1]
            in_title = known & (place < 0) & with_content[row]
            rows += [row[known], row[in_title]]
            codes += [words[known], words[in_title] + n_words]
        if "first" in parts:
            first = known & (place >= 0) & (place < N_FIRST)
            rows.append(row[first])
            codes.append(words[first] + 2 * n_words)
        if "pairs" in parts:
            fits = known & fit_pairs[split.ids[begin:end]]
            together = fits[:-1] & fits[1:] & (row[:-1] == row[1:]) & ((place[:-1] < 0) == (place[1:] < 0))
            rows.append(row[:-1][together])
            codes.append((_MARKED + words[:-1][together]) * n_words + words[1:][together])
        yield start, stop, np.concatenate(rows), np.concatenate(codes)


def texts_with(
    split: SplitTexts, number: np.ndarray, n_words: int, parts: Collection[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of all features, ascending, and in how many texts each is.

    Arguments as of :func:`feature_codes`.
    """
    bits = max(62 - ((_MARKED + n_words) * n_words).bit_length(), 0)  # for the text, beside the code
    none = np.empty(0, np.int64)
    total, fresh = (none, none), [(none, none)]
    for start, stop, rows, codes in feature_codes(split, number, n_words, parts, 1 << bits):
        shift = (stop - start).bit_length()
        found, _ = runs(np.sort(codes << shift | rows))
        fresh.append(runs(found >> shift))
        if sum(len(codes) for codes, _ in fresh) > len(total[0]):  # so that the total is seldom sorted anew
            total, fresh = _added([total, *fresh]), []
    return _added([total, *fresh])


def frequent_features(
    split: SplitTexts, least: int, most: float, parts: Collection[str]
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Return the features in at least ``least`` and at most ``most`` texts.

    Returns:
        Their codes, int64, ascending; the words that these refer to, sorted; and in how many texts each feature is.
    """
    n_all = len(split.words)
    number = np.arange(n_all)
    single, counts = texts_with(split, number, n_all, [part for part in parts if part != "pairs"])
    # A feature is in no more texts than its words are.
    n_plain = int(np.searchsorted(single, n_all))
    kept = single[:n_plain][counts[:n_plain] >= least].tolist()
    kept.sort(key=split.words.__getitem__)
    number[:] = -1
    number[kept] = np.arange(len(kept))
    in_range = (counts >= least) & (counts <= most)
    kinds, words = np.divmod(single[in_range], max(n_all, 1))
    codes, counts = kinds * len(kept) + number[words], counts[in_range]
    if "pairs" in parts:
        pairs, of_pairs = texts_with(split, number, len(kept), ["pairs"])
        in_range = (of_pairs >= least) & (of_pairs <= most)
        codes, counts = np.append(codes, pairs[in_range]), np.append(counts, of_pairs[in_range])
    order = np.argsort(codes)
    return codes[order], [split.words[word] for word in kept], counts[order]


def names_of(codes: np.ndarray, words: Sequence[str]) -> list[str]:
    """Return the names of features: ``word``, ``T:word``, ``L:word`` or ``word word``."""
    kinds, rights = (part.tolist() for part in np.divmod(codes, max(len(words), 1)))
    starts = ["", TITLE, FIRST]
    return [
        starts[kind] + words[right] if kind < _MARKED else f"{words[kind - _MARKED]} {words[right]}"
        for kind, right in zip(kinds, rights, strict=True)
    ]


def codes_of(names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return the codes of features, int64, and the words that they refer to.

    Example:
        >>> codes, words = codes_of(["T:red", "red", "red apple"])
        >>> codes.tolist(), words, names_of(codes, words)
        ([2, 0, 7], ['red', 'apple'], ['T:red', 'red', 'red apple'])
    """
    place: dict[str, int] = {}
    kinds, rights = [], []
    for name in names:
        left, space, right = name.partition(" ")
        if space:
            kinds.append(_MARKED + place.setdefault(left, len(place)))
        elif left.startswith((TITLE, FIRST)):
            kinds.append(1 if left.startswith(TITLE) else 2)
            right = left[len(TITLE) :]
        else:
            kinds.append(0)
            right = left
        rights.append(place.setdefault(right, len(place)))
    return np.array(kinds, np.int64) * len(place) + np.array(rights, np.int64), list(place)


class CodeTable:
    """The column of each code, for fast look-ups of many.

    Args:
        codes: int64 (F,), in column order.
        n_words: K.
    """

    def __init__(self, codes: np.ndarray, n_words: int) -> None:
        self._of_single = np.full(_MARKED * n_words, -1, dtype=np.int64)
        single = codes < len(self._of_single)
        self._of_single[codes[single]] = np.flatnonzero(single)
        pairs = np.flatnonzero(~single)
        self._columns = pairs[np.argsort(codes[pairs])]
        self._pairs = codes[self._columns]

    def columns(self, codes: np.ndarray) -> np.ndarray:
        """Return the column of each code, int64; -1 for none."""
        columns = np.full(len(codes), -1, dtype=np.int64)
        single = codes < len(self._of_single)
        columns[single] = self._of_single[codes[single]]
        if len(self._pairs) and not single.all():
            pairs = codes[~single]
            at = np.minimum(np.searchsorted(self._pairs, pairs), len(self._pairs) - 1)
            columns[~single] = np.where(self._pairs[at] == pairs, self._columns[at], -1)
        return columns


def runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distinct values of a sorted array and how often each occurs."""
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1])[: len(values)])
    return values[first], np.diff(np.append(first, len(values)))


def _added(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return all codes, ascending, and the sums of their counts."""
    codes = np.concatenate([codes for codes, _ in parts])
    order = np.argsort(codes)
    distinct, _ = runs(codes[order])
    first = np.searchsorted(codes[order], distinct)
    counts = np.concatenate([counts for _, counts in parts])[order]
    return distinct, np.add.reduceat(counts, first) if len(first) else counts
