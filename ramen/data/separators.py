"""Notices what separates the names in the cells of a column, and reads list literals."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable
from html.entities import html5
from typing import Any

COMMAS = (",", "\u060c")  # the second is Arabic
# Of Chinese and Japanese: 、 between items, a wide comma, semicolon and bar; of Arabic: a semicolon
WIDE = ("\u3001", "\uff0c", "\uff1b", "\uff5c", "\u061b")
SEPARATORS = (";", "|", "\n", *WIDE, *COMMAS)
SPACE = " "  # between hashtags
SAMPLE = 50_000  # distinct cells from all over a column suffice
RARE = 10  # a separator in a tenth of the cells, or of those that hold another one, is rare
_ENTITY = re.compile(r"&(#\d+|#[xX][\da-fA-F]+|\w+);")  # as in R&amp;B
_HASHTAGS = re.compile(r"(?:#[^\s,;|]+(?:\s+|$))+")
_ITEM = r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"|[-+]?\d[\d.eE+-]*|None|null|nan|NaN|[Tt]rue|[Ff]alse"""
_ITEMS = re.compile(_ITEM, re.S)
_LITERAL = re.compile(rf"[\[({{]\s*+(?:(?:{_ITEM})\s*+(?:,\s*+(?:{_ITEM})\s*+)*+,?\s*+)?[\])}}]", re.S)
_WORDS = {
    "None": None,
    "null": None,
    "nan": None,
    "NaN": None,
    "true": True,
    "True": True,
    "false": False,
    "False": False,
}


def is_literal(cell: str) -> bool:
    """Whether a cell is a list as Python or JSON writes it: of strings in quotes, numbers, None.

    Example:
        >>> is_literal("['music', 'wood']"), is_literal("['music' 'wood']"), is_literal("[music]")
        (True, False, False)
    """
    return cell[:1] in ("[", "(", "{") and _LITERAL.fullmatch(cell) is not None


def literal(cell: str) -> list[Any]:
    """Return the entries of a list for which :func:`is_literal` holds.

    Raises:
        ValueError: a number or an escape in it is broken.

    Example:
        >>> literal("['music', 3, None]")
        ['music', 3, None]
    """
    return [_item(item) for item in _ITEMS.findall(cell)]


def _item(item: str) -> Any:
    if item[0] in "'\"" and "\\" not in item:
        return item[1:-1]
    if item in _WORDS:
        return _WORDS[item]
    try:
        return json.loads(item)  # not so forgiving, and alone in knowing surrogate pairs
    except ValueError:
        pass
    try:
        return ast.literal_eval(item)
    except SyntaxError as error:
        raise ValueError(f"{item:.40} is broken") from error


def are_literals(cells: Iterable[str]) -> bool:
    """Whether cells of a column are lists: one has strings in quotes, or all stand in square brackets."""
    in_brackets, some = True, False
    for cell in cells:
        if cell[0] in "[({" and ("'" in cell or '"' in cell) and is_literal(cell):
            return True
        in_brackets = in_brackets and cell[0] == "[" and cell[-1] == "]"
        some = True
    return some and in_brackets


def split_at(cell: str, mark: str) -> list[str]:
    """Return the parts of a cell between marks; the semicolon that ends an entity of HTML is none.

    Example:
        >>> split_at("R&amp;B;AT&T;Jazz", ";")
        ['R&amp;B', 'AT&T', 'Jazz']
    """
    if mark != ";" or "&" not in cell:
        return cell.split(mark)
    return [part.replace("\0", ";") for part in _ENTITY.sub(_masked, cell).split(mark)]


def _masked(entity: re.Match[str]) -> str:
    is_entity = entity[1][0] == "#" or f"{entity[1]};" in html5
    return entity[0][:-1] + "\0" if is_entity else entity[0]


def noticed(cells: Iterable[str]) -> str | None:
    """Return what separates names in the cells of a column; None if each cell is one name.

    A semicolon, a bar or a line break is rare within a name: it counts unless it occurs in few cells and no name
    recurs. A comma is not: it counts where half of the cells with one hold a name that is also alone in a cell, or both
    first and later. Where a blank follows each mark, parts may be a name's own, as in ``Diabetes, Type 2``: names after
    the first must then occur in other places. Spaces count between hashtags.

    Example:
        >>> noticed(["music,wood", "wood", "stone,music"]), noticed(["Rock, Paper", "Rock, Paper", "Cloth"])
        (',', None)
        >>> noticed(["#music #wood", "#wood"])
        ' '
    """
    counts = Counter(cells)
    if len(counts) > SAMPLE:
        counts = Counter(dict(list(counts.items())[:: len(counts) // SAMPLE + 1]))
    if all(map(_HASHTAGS.fullmatch, counts)) and any(len(cell.split()) > 1 for cell in counts):
        return SPACE
    holding = {mark: [cell for cell in counts if mark in cell and len(split_at(cell, mark)) > 1] for mark in SEPARATORS}
    most = max(map(len, holding.values()))
    for mark in sorted(SEPARATORS, key=lambda mark: len(holding[mark]) * RARE < most):
        if holding[mark] and _separates(mark, holding[mark], counts):
            return mark
    return None


def _separates(mark: str, holding: list[str], counts: Counter[str]) -> bool:
    names = {cell: [" ".join(name.split()) for name in split_at(cell, mark)] for cell in counts}
    is_spaced = mark in (";", *COMMAS) and all(cell.count(mark) == cell.count(mark + " ") for cell in holding)
    if mark not in COMMAS:
        if is_spaced and _are_qualified([names[cell] for cell in holding]):
            return False
        if len(holding) * RARE >= len(counts):
            return True
        cells_of = Counter(name for row in names.values() for name in set(row))
        return any(cells_of[name] > 1 for cell in holding for name in names[cell])
    alone = {row[0] for row in names.values() if len(row) == 1}
    first = {row[0] for row in names.values() if len(row) > 1}
    later = {name for row in names.values() for name in row[1:]}
    mixed = (first & later | alone & (first | later)) - {""}
    if is_spaced:
        mixed |= _moved(names[cell] for cell in holding)
    parts = [names[cell][1:] if is_spaced else names[cell] for cell in holding]
    if sum(not mixed.isdisjoint(row) for row in parts) * 2 < len(holding):
        return False
    return counts.total() < 2 * len(counts) or len(alone | first | later) <= len(counts)


def _moved(rows: Iterable[list[str]]) -> set[str]:
    """Return names in several places from the start and from the end: no country, always last, but sorted tags."""
    places: dict[str, set[int]] = {}
    ends: dict[str, set[int]] = {}
    for row in rows:
        for place, name in enumerate(row):
            places.setdefault(name, set()).add(place)
            ends.setdefault(name, set()).add(len(row) - place)
    return {name for name, of_name in places.items() if len(of_name) > 1 and len(ends[name]) > 1}


def _are_qualified(rows: list[list[str]]) -> bool:
    """Whether cells are names with qualifiers, as ``Tools; hand``: names recur, but each in its place alone."""
    places: dict[str, set[int]] = {}
    for row in rows:
        for place, name in enumerate(row):
            places.setdefault(name, set()).add(place)
    recurs = len({row[0] for row in rows}) < len(rows)
    return recurs and sum(any(len(places[name]) > 1 for name in row[1:]) for row in rows) * RARE < len(rows)
