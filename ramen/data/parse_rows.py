"""The kernel that parses rows of ``column:value`` pairs, optionally preceded by a list of labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ramen.compiled import kernel
from ramen.threads import parallel_for

_PARTS = 8  # of a block, parsed in parallel
_FAULTY, _MIXED, _ASCENDING = 0, 1, 2  # states of a part
_MOST = 10**18  # larger column numbers are never valid
_POWERS = np.array([10.0**power for power in range(309)])


@dataclass
class Rows:
    """Rows of a block.

    Attributes:
        lengths: int64, pairs of each row.
        columns: int32 or int64 of the pairs.
        values: float32 of the pairs.
        label_lengths, labels: likewise of the labels in front; empty where none are read.
        ascending: the columns of each row are, and none occurs twice.
    """

    lengths: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    label_lengths: np.ndarray
    labels: np.ndarray
    ascending: bool = True


def parse_rows(block: bytes, n_columns: int, n_labels: int | None = None) -> Rows | None:
    """Parse complete lines; return None if any line is invalid.

    Args:
        block: lines, each with its newline.
        n_columns: columns are below it.
        n_labels: labels are below it; None if rows have no labels.

    Returns:
        The rows; a value is a double, exact up to its last place, rounded to float32.
    """
    text = np.frombuffer(block, dtype=np.uint8)
    bounds = [0]
    for part in range(1, _PARTS):
        bounds.append(block.find(b"\n", max(bounds[-1], len(block) * part // _PARTS)) + 1 or len(block))
    at = np.array([*bounds, len(block)], dtype=np.int64)
    counts, work = np.zeros((_PARTS, 3), dtype=np.int64), 1.0 + len(text) / _PARTS
    parallel_for(_PARTS, _count, text, at, counts, work=work)
    first = np.concatenate([np.zeros((1, 3), dtype=np.int64), counts.cumsum(axis=0)])
    n_pairs, n_rows, n_commas = first[-1]
    kind = np.int32 if n_columns <= np.iinfo(np.int32).max else np.int64
    rows = Rows(
        lengths=np.empty(n_rows, dtype=np.int64),
        columns=np.empty(n_pairs, dtype=kind),
        values=np.empty(n_pairs, dtype=np.float32),
        label_lengths=np.zeros(n_rows if n_labels is not None else 0, dtype=np.int64),
        labels=np.empty(n_commas + n_rows if n_labels is not None else 0, dtype=np.int64),
    )
    limit = -1 if n_labels is None else n_labels
    states = np.full(_PARTS, _ASCENDING, dtype=np.uint8)
    parallel_for(
        _PARTS, _parse, text, at, first, n_columns, limit, rows.lengths, rows.columns, rows.values,
        rows.label_lengths, rows.labels, states, work=5 * work,
    )  # fmt: skip
    if not states.all():
        return None
    rows.ascending = bool((states == _ASCENDING).all())
    if n_labels is not None:  # a part has one spare slot per row
        of_parts = [int(rows.label_lengths[first[p, 1] : first[p + 1, 1]].sum()) for p in range(_PARTS)]
        starts = [int(first[p, 1] + first[p, 2]) for p in range(_PARTS)]
        rows.labels = np.concatenate([rows.labels[s : s + n] for s, n in zip(starts, of_parts, strict=True)])
    return rows


@kernel
def _count(first_part: int, last_part: int, text: np.ndarray, at: np.ndarray, counts: np.ndarray) -> None:
    """Count the colons, newlines and commas of each part."""
    for part in range(first_part, last_part):
        for place in range(at[part], at[part + 1]):
            byte = text[place]
            if byte == 58:
                counts[part, 0] += 1
            elif byte == 10:
                counts[part, 1] += 1
            elif byte == 44:
                counts[part, 2] += 1


@kernel
def _parse(
    first_part: int,
    last_part: int,
    text: np.ndarray,
    at: np.ndarray,
    first: np.ndarray,
    n_columns: int,
    n_labels: int,
    lengths: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    label_lengths: np.ndarray,
    labels: np.ndarray,
    states: np.ndarray,
) -> None:
    """Fill the arrays of each part from its first positions on; write the state of parts that are not ascending."""
    for part in range(first_part, last_part):
        pair, row, label = first[part, 0], first[part, 1], first[part, 1] + first[part, 2]
        place, end, good = at[part], at[part + 1], True
        while good and place < end:
            start, start_label, front, before = pair, label, n_labels >= 0, -1
            while good and text[place] != 10:
                if _is_space(text[place]):
                    place += 1
                    front = False  # labels stand at the start of the line
                    continue
                number, place, good = _whole(text, place)
                if good and text[place] == 58:
                    value, place, good = _number(text, place + 1)
                    good = good and number < n_columns and (text[place] == 10 or _is_space(text[place]))
                    if good:
                        columns[pair], values[pair] = number, value
                        good = np.isfinite(values[pair])
                        if number <= before:
                            states[part] = _MIXED
                        before = number
                        pair += 1
                elif good and front:
                    while good:
                        good = number < n_labels
                        if good:
                            labels[label] = number
                            label += 1
                        if not good or text[place] != 44:
                            break
                        number, place, good = _whole(text, place + 1)
                    good = good and (text[place] == 10 or _is_space(text[place]))
                else:
                    good = False
                front = False
            lengths[row] = pair - start
            if n_labels >= 0:
                label_lengths[row] = label - start_label
            place, row = place + 1, row + 1
        if not good:
            states[part] = _FAULTY


@kernel(inline="always")
def _is_space(byte: int) -> bool:
    return byte == 32 or byte == 9 or byte == 13


@kernel(inline="always")
def _is_digit(byte: int) -> bool:
    return 48 <= byte <= 57


@kernel
def _whole(text: np.ndarray, place: int) -> tuple[int, int, bool]:
    """Return the whole number at ``place``, its end, and whether there is one."""
    start, number = place, 0
    while _is_digit(text[place]):
        if number < _MOST:
            number = 10 * number + (text[place] - 48)
        place += 1
    return number, place, place > start


@kernel
def _number(text: np.ndarray, place: int) -> tuple[float, int, bool]:
    """Return the decimal number at ``place``, its end, and whether there is one."""
    negative = text[place] == 45
    if negative or text[place] == 43:
        place += 1
    mantissa, power, digits = 0, 0, 0
    while _is_digit(text[place]):
        if mantissa < _MOST // 10:
            mantissa = 10 * mantissa + (text[place] - 48)
        else:
            power += 1
        digits += 1
        place += 1
    if text[place] == 46:
        place += 1
        while _is_digit(text[place]):
            if mantissa < _MOST // 10:
                mantissa = 10 * mantissa + (text[place] - 48)
                power -= 1
            digits += 1
            place += 1
    if digits == 0:
        return 0.0, place, False
    if text[place] == 101 or text[place] == 69:
        place += 1
        minus = text[place] == 45
        if minus or text[place] == 43:
            place += 1
        exponent, place, good = _whole(text, place)
        if not good:
            return 0.0, place, False
        exponent = min(exponent, 10_000)
        power += -exponent if minus else exponent
    value = float(mantissa)
    if power > 308:
        value = value * np.inf if mantissa else 0.0
    elif power > 0:
        value *= _POWERS[power]
    elif power < -308:
        value = value / 1e308 / _POWERS[min(-power - 308, 308)]
    elif power < 0:
        value /= _POWERS[-power]
    return -value if negative else value, place, True
