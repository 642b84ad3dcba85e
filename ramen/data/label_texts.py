"""Decides what a label's text is where it has a description: its name and the description, or that alone."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping

_DIGITS, _LETTERS = re.compile(r"\d+"), re.compile(r"[^\W\d_]{3}")
_APOSTROPHES = "'\u2019"


def named(texts: Mapping[str, str | None], keep_names: bool | None = None) -> dict[str, str]:
    r"""Return the text of each label, ``name\ndescription`` where the name adds words to the description.

    The words of a name are in the texts to tag more often than those of a description. A code, as ``H01M``, is not, so
    it stays out of the text; whether names are codes is decided over all labels, see :func:`are_words`.

    Args:
        texts: name to description; None for none: the name is then the text. "" stays: a label without text.
        keep_names: whether names stay beside descriptions. None: where at least half of those with a description are
            words. A description that begins with the name stands alone in any case.

    Example:
        >>> named({"plum": "a fruit\nwith a stone", "pear": "Pear, a fruit", "fig": None})
        {'plum': 'plum\na fruit with a stone', 'pear': 'Pear, a fruit', 'fig': 'fig'}
        >>> named({"H01M": "batteries", "H02J": "charging"})
        {'H01M': 'batteries', 'H02J': 'charging'}
    """
    if keep_names is None:
        keep_names = are_words([name for name, text in texts.items() if text and text != name])
    return {name: name if text is None else _joined(name, text, keep_names) for name, text in texts.items()}


def _joined(name: str, text: str, keep_name: bool) -> str:
    content = " ".join(text.split())
    return f"{name}\n{content}" if content and keep_name and not _begins(content, name) else text


def are_words(names: Collection[str]) -> bool:
    """Whether at least half of names are words rather than codes.

    A name without a digit is words, however short: ``go``, ``R``. One with digits is a code if

    - no three letters follow each other, nor is one without case (Han): ``Q42``, ``H01M 10/06``;
    - it is one word with ``_``, or a third of it or more are digits: ``item_3``, ``tag12``, ``label-0000007``;
    - another name differs in the digits alone: ``topic 7`` beside ``topic 8``.

    Any other is words: ``3D printing``, ``COVID-19``.

    Example:
        >>> are_words(["go", "R", "COVID-19"]), are_words(["Q42", "tag12"]), are_words(["topic 7", "topic 8"])
        (True, False, False)
    """
    words = [name for name in names if not _is_code(name)]
    numbered = Counter(_without_number(name) for name in words if _DIGITS.search(name))
    n_words = len(words) - sum(count for count in numbered.values() if count > 1)
    return 2 * n_words >= len(names)


def _is_code(name: str) -> bool:
    """Whether a name with digits is no words by itself."""
    n_digits = sum(map(len, _DIGITS.findall(name)))
    if not n_digits:
        return False
    if not _LETTERS.search(name) and not any(unicodedata.category(char) == "Lo" for char in name):
        return True
    return " " not in name and ("_" in name or 3 * n_digits >= sum(map(str.isalnum, name)))


def _without_number(name: str) -> str:
    return _DIGITS.sub("0", name.casefold())


def _begins(text: str, name: str) -> bool:
    """Whether a text begins with a name as whole words; case aside. ``art's world`` has no word ``art``."""
    text, name = text.casefold(), name.casefold()
    following = text[len(name) : len(name) + 1] or " "
    is_within = following.isalnum() or following in _APOSTROPHES or unicodedata.category(following)[0] == "M"
    return text.startswith(name) and not is_within
