"""Numbers the words of a text in bytes, compiled: a hash table of bytes, without an object for every word."""

from __future__ import annotations

import numpy as np

from ramen.compiled import kernel

APART, PART, ALONE = 0, 1, 2  # classes of bytes: between words, part of a word, a word of its own


class WordTable:
    """Numbers words in order of their first occurrence.

    Args:
        classes: uint8 (256,), of every byte ``APART``, ``PART`` or ``ALONE``.

    Example:
        >>> classes = np.full(256, PART, np.uint8)
        >>> classes[ord(" ")], classes[ord("-")] = APART, ALONE
        >>> table = WordTable(classes)
        >>> numbers, places = table.numbers(b"new red-new")
        >>> numbers.tolist(), places.tolist(), table.words_from(1)
        ([0, 1, 2, 0], [0, 4, 7, 8], ['red', '-'])
    """

    def __init__(self, classes: np.ndarray) -> None:
        self._classes = classes
        self._slots = np.full(1024, -1, dtype=np.int32)
        self._ends = np.zeros(1, dtype=np.int64)  # where each word ends in the letters, after a 0
        self._letters = np.empty(0, dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def numbers(self, text: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each word, int32, and where in the text it begins, int64."""
        raw = np.frombuffer(text, dtype=np.uint8)
        starts, stops = _bounds(raw, self._classes)
        if len(self._slots) < 2 * (len(self) + len(starts)):
            size = 1 << int(2 * (len(self) + len(starts))).bit_length()
            self._slots = np.full(size, -1, dtype=np.int32)
            _fill(self._ends, self._letters, self._slots)
        numbers, first = np.empty(len(starts), dtype=np.int32), np.empty(len(starts), dtype=np.int64)
        count = _number(raw, starts, stops, self._ends, self._letters, self._slots, numbers, first)
        fresh = first[:count]
        lengths = stops[fresh] - starts[fresh]
        ends = np.cumsum(lengths)
        at = np.arange(lengths.sum()) + np.repeat(starts[fresh] - (ends - lengths), lengths)
        self._letters = np.concatenate([self._letters, raw[at]])
        self._ends = np.concatenate([self._ends, self._ends[-1] + ends])
        return numbers, starts

    def words_from(self, first: int) -> list[str]:
        """Return the words from a number on."""
        raw, ends = self._letters.tobytes(), self._ends[first:].tolist()
        bounds = zip(ends, ends[1:], strict=False)
        return [raw[start:stop].decode("utf-8", "surrogatepass") for start, stop in bounds]


@kernel
def _bounds(raw: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each word starts and stops, int64."""
    starts, stops = np.empty(len(raw), np.int64), np.empty(len(raw), np.int64)
    count, before = 0, APART
    for place in range(len(raw)):
        one = classes[raw[place]]
        if one == ALONE or (one == PART and before != PART):
            starts[count] = place
            count += 1
        if one != APART:
            stops[count - 1] = place + 1
        before = one
    return starts[:count].copy(), stops[:count].copy()


@kernel(inline="always")
def _hash(raw: np.ndarray, start: int, stop: int) -> np.uint64:
    value = np.uint64(14695981039346656037)  # FNV-1a
    for place in range(start, stop):
        value = (value ^ np.uint64(raw[place])) * np.uint64(1099511628211)
    return value ^ (value >> np.uint64(32))


@kernel
def _fill(ends: np.ndarray, letters: np.ndarray, slots: np.ndarray) -> None:
    """Put all words into empty slots."""
    mask = np.uint64(len(slots) - 1)
    for word in range(len(ends) - 1):
        slot = _hash(letters, ends[word], ends[word + 1]) & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = word


@kernel
def _number(
    raw: np.ndarray, starts: np.ndarray, stops: np.ndarray, ends: np.ndarray, letters: np.ndarray, slots: np.ndarray,
    numbers: np.ndarray, first: np.ndarray,
) -> int:  # fmt: skip
    """Fill the numbers and, for each new word, which occurrence is its first; return how many words are new."""
    mask, known, count = np.uint64(len(slots) - 1), len(ends) - 1, 0
    for at in range(len(starts)):
        start, length = starts[at], stops[at] - starts[at]
        slot = _hash(raw, start, stops[at]) & mask
        while True:
            word = slots[slot]
            if word < 0:
                slots[slot] = known + count
                numbers[at] = known + count
                first[count] = at
                count += 1
                break
            same = True
            if word < known:
                begin = ends[word]
                same = ends[word + 1] - begin == length
                for place in range(length if same else 0):
                    same = same and letters[begin + place] == raw[start + place]
            else:
                begin, other = starts[first[word - known]], first[word - known]
                same = stops[other] - begin == length
                for place in range(length if same else 0):
                    same = same and raw[begin + place] == raw[start + place]
            if same:
                numbers[at] = word
                break
            slot = (slot + np.uint64(1)) & mask
    return count
