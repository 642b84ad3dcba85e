"""Notices what separates the names in the cells of a column, and reads list literals."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

SEPARATORS = (";", "|", ",")
SAMPLE = 50_000  # distinct cells from all over a column suffice
RARE = 10  # a separator in a tenth of the cells, or of those that hold another one, is rare
_ENTITY = re.compile(r"&#?\w+;")  # as in R&amp;B
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


def noticed(cells: Iterable[str]) -> str | None:
    """Return what separates names in the cells of a column; None if each cell is one name.

    A semicolon or a bar is rare within a name: it counts unless it occurs in few cells and no name recurs. A comma is
    not: it counts where half of the cells with one hold a name that is also alone in a cell, or both first and later.

    Example:
        >>> noticed(["music,wood", "wood", "stone,music"]), noticed(["Rock, Paper", "Rock, Paper", "Cloth"])
        (',', None)
    """
    counts = Counter(cells)
    if len(counts) > SAMPLE:
        counts = Counter(dict(list(counts.items())[:: len(counts) // SAMPLE + 1]))
    plain = {cell: _ENTITY.sub("", cell) if "&" in cell else cell for cell in counts}
    holding = {mark: [cell for cell in counts if mark in plain[cell]] for mark in SEPARATORS}
    most = max(map(len, holding.values()))
    for mark in sorted(SEPARATORS, key=lambda mark: len(holding[mark]) * RARE < most):
        if holding[mark] and _separates(mark, holding[mark], counts):
            return mark
    return None


def _separates(mark: str, holding: list[str], counts: Counter[str]) -> bool:
    if mark != "," and len(holding) * RARE >= len(counts):
        return True
    names = {cell: [" ".join(name.split()) for name in cell.split(mark)] for cell in counts}
    if mark != ",":
        cells_of = Counter(name for row in names.values() for name in set(row))
        return any(cells_of[name] > 1 for cell in holding for name in names[cell])
    alone = {row[0] for row in names.values() if len(row) == 1}
    first = {row[0] for row in names.values() if len(row) > 1}
    later = {name for row in names.values() for name in row[1:]}
    mixed = (first & later | alone & (first | later)) - {""}
    if sum(not mixed.isdisjoint(names[cell]) for cell in holding) * 2 < len(holding):
        return False
    return counts.total() < 2 * len(counts) or len(alone | first | later) <= len(counts)
