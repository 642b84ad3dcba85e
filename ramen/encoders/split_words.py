"""Splits texts into words once: integer arrays that features of any set are counted on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise

import numpy as np

from ramen.encoders.word_table import APART, PART, WordTable
from ramen.scripts import HAN, SPACELESS, marks, word_pattern
from ramen.text import lowered, plain

# Lower case of what is part of a word, a space for the rest
_ASCII = {code: chr(code).lower() if re.match(r"\w", chr(code)) else " " for code in range(128)}
_BYTES = bytes(ord(_ASCII.get(code, " ")) for code in range(256))
_CLASSES = np.array([APART if chr(code).isspace() else PART for code in range(256)], dtype=np.uint8)
_CLASSES[128:] = PART
_SPACELESS, _ONE_HAN = re.compile(f"[{SPACELESS}]"), re.compile(f"[{HAN}]")
_UNMARKED = re.compile(f"[{HAN}\u3041-\u3096\u309b-\u30ff]+")
_RUN = re.compile(f"[{SPACELESS}]+|[^{SPACELESS}]+")
_BLOCK = 4096  # texts of which words are Python objects at a time


@dataclass
class SplitTexts:
    """Words of many texts, lower-cased.

    Attributes:
        words: distinct words; these texts need not have all of them.
        ids: int32, places in ``words`` of all texts' words; a title's come before its content's.
        starts: int64 (n + 1); text i has ``ids[starts[i]:starts[i + 1]]``.
        contents: int64 (n,), where in ``ids`` each content begins.
    """

    words: list[str]
    ids: np.ndarray
    starts: np.ndarray
    contents: np.ndarray

    def __len__(self) -> int:
        return len(self.contents)

    @property
    def alone(self) -> np.ndarray:
        """Which words make no pair with their neighbours, bool."""
        return np.fromiter(map(stands_alone, self.words), np.bool_, len(self.words))

    def some(self, rows: np.ndarray) -> SplitTexts:
        """Return the words of some texts."""
        lengths = np.diff(self.starts)[rows]
        starts = np.append(0, np.cumsum(lengths))
        at = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], lengths)
        return SplitTexts(self.words, self.ids[at], starts, starts[:-1] + (self.contents - self.starts[:-1])[rows])

    def joined(self, *others: SplitTexts) -> SplitTexts:
        """Return these texts and then others, which were split together with them."""
        parts = [self, *others]
        before = np.append(0, np.cumsum([len(part.ids) for part in parts]))
        starts = [part.starts[:-1] + start for part, start in zip(parts, before[:-1], strict=True)]
        contents = [part.contents + start for part, start in zip(parts, before[:-1], strict=True)]
        ids = np.concatenate([part.ids for part in parts])
        return SplitTexts(self.words, ids, np.concatenate([*starts, before[-1:]]), np.concatenate(contents))

    def chunks(self, n_words: int, n_rows: int) -> Iterator[tuple[int, int]]:
        """Yield ranges of texts with about ``n_words`` words together and at most ``n_rows`` texts."""
        start = 0
        while start < len(self):
            full = int(np.searchsorted(self.starts, self.starts[start] + n_words, side="right")) - 1
            stop = min(max(full, start + 1), start + max(n_rows, 1), len(self))
            yield start, stop
            start = stop


class Splitter:
    r"""Splits texts into words, with one numbering of the words of all calls.

    Example:
        >>> split = Splitter().split(["Red apple\na red one"])
        >>> split.words, split.ids.tolist(), split.contents.tolist()
        (['red', 'apple', 'a', 'one'], [0, 1, 2, 0, 3], [2])
    """

    def __init__(self) -> None:
        self.words: list[str] = []
        self._table = WordTable(_CLASSES)

    def split(self, texts: Iterable[str]) -> SplitTexts:
        """Return the words of texts, ``title\\ncontent`` or one field alone each."""
        ids, lengths, stream = [np.empty(0, np.int32)], [np.empty(0, np.int64)], iter(texts)
        while block := list(islice(stream, _BLOCK)):
            raws = [raw for text in block for raw in _raw_fields(text)]
            numbers, places = self._table.numbers(b"\n".join(raws))
            ends = np.cumsum(np.fromiter(map(len, raws), np.int64, len(raws)) + 1)
            ids.append(numbers)
            lengths.append(np.diff(np.searchsorted(places, ends), prepend=0))
        self.words += self._table.words_from(len(self.words))
        of_fields = np.concatenate(lengths).reshape(-1, 2)
        starts = np.append(0, np.cumsum(of_fields.sum(1)))
        return SplitTexts(self.words, np.concatenate(ids), starts, starts[:-1] + of_fields[:, 0])


def _raw_fields(text: str) -> tuple[bytes, bytes]:
    """Return title and content in UTF-8, their words as :func:`split_words` finds them between spaces."""
    if _is_simple(text):
        title, _, content = text.encode().partition(b"\n")
        return title.translate(_BYTES), content.translate(_BYTES)
    title_words, content_words = split_words(text)
    return " ".join(title_words).encode(), " ".join(content_words).encode()


def split_words(text: str) -> tuple[list[str], list[str]]:
    r"""Return the words of title and content of one text, lower-cased.

    Scripts without spaces give their pairs of characters, which find a word wherever it stands; single Han characters
    follow at the end.

    Example:
        >>> split_words("Red\nA-b C++")
        (['red'], ['a', 'b', 'c++'])
        >>> split_words("\u559d\u7d05\u8336")[0]
        ['\u559d\u7d05', '\u7d05\u8336', '\u559d', '\u7d05', '\u8336']
    """
    if _is_simple(text):  # the same words in a third of the time
        title, _, content = text.partition("\n")
        return title.translate(_ASCII).split(), content.translate(_ASCII).split()
    title, _, content = lowered(plain(text)).partition("\n")
    return _words(title), _words(content)


def stands_alone(word: str) -> bool:
    """Whether a word makes no pair with its neighbour: a Han character, which is part of pairs already.

    Example:
        >>> stands_alone("\u8336"), stands_alone("tea"), stands_alone("\u7d05\u8336")
        (True, False, False)
    """
    return len(word) == 1 and word > "z" and _ONE_HAN.match(word) is not None


def _is_simple(text: str) -> bool:
    """Whether letters and digits of ASCII are the only parts of words, without the signs of ``c++`` and ``.net``."""
    return text.isascii() and "++" not in text and "#" not in text and ".net" not in text.lower()


def _words(field: str) -> list[str]:
    words = word_pattern().findall(field)
    if field.isascii() or not _SPACELESS.search(field):
        return words
    of_scripts, single = list[str](), list[str]()
    for word in words:
        for run in _RUN.findall(word):
            if not _SPACELESS.match(run):
                of_scripts.append(run)
                continue
            characters = run if _UNMARKED.fullmatch(run) else _character().findall(run)
            of_scripts += map("".join, pairwise(characters)) if len(characters) > 1 else characters
            single += _ONE_HAN.findall(run) if len(characters) > 1 else []
    return of_scripts + single


@cache
def _character() -> re.Pattern[str]:
    return re.compile(f"[^{marks()}][{marks()}]*|[{marks()}]+")
