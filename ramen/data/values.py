"""Reads one value of a table or list as a text, or as the name of a label."""

from __future__ import annotations

import numbers
import re
from typing import Any

from ramen.errors import InputError
from ramen.sequences import is_missing
from ramen.text import composed

_EXACT = 2**53  # beyond it a float has no units
_UNSEEN = " \u00ad\u200b\u200e\u200f\u2060\ufeff"  # around a name; joiners and variants may belong to it
_SURROGATE = re.compile("[\ud800-\udfff]")


def as_text(value: Any, where: str) -> str:
    """Return a value as a text in NFC; "" for a missing one.

    Args:
        value: a string or a number; None and NaN are missing.
        where: the place, for the error.

    Raises:
        InputError: another type, or half a surrogate pair.

    Example:
        >>> as_text(3.0, "row 1"), as_text(float("nan"), "row 1")
        ('3', '')
    """
    if not isinstance(value, str):
        if is_missing(value):
            return ""
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise InputError(f"{where}: found {' '.join(repr(value).split()):.40}, expected a text")
        if isinstance(value, int):
            return str(value)
        number = float(value)
        # A table library stores whole numbers of a column with gaps as floats.
        return str(int(number)) if number.is_integer() and abs(number) < _EXACT else str(value)
    if not value.isascii() and _SURROGATE.search(value):
        raise InputError(f"{where}: found half a surrogate pair in {value!r:.40}, which is not Unicode text")
    return composed(value)


def as_name(value: Any, where: str) -> str:
    """Return the name of a label or anchor in NFC, with single spaces, nothing unseen around it; "" for a missing one.

    Arguments and errors as of :func:`as_text`.

    Example:
        >>> as_name(" lead  acid ", "row 1"), as_name(None, "row 1")
        ('lead acid', '')
    """
    return " ".join(as_text(value, where).split()).strip(_UNSEEN)
