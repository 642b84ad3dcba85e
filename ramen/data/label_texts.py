"""Decides what a label's text is where it has a description: its name and the description, or that alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

_LETTERS = re.compile(r"[^\W\d_]{3}")


def named(texts: Mapping[str, str | None], keep_names: bool | None = None) -> dict[str, str]:
    r"""Return the text of each label, ``name\ndescription`` where the name adds words to the description.

    The words of a name are in the texts to tag more often than those of a description. A code, as ``H01M``, is not, so
    it stays out of the text; whether names are codes is decided over all labels.

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
        keep_names = _are_words([name for name, text in texts.items() if text and text != name])
    return {name: name if text is None else _joined(name, text, keep_names) for name, text in texts.items()}


def _joined(name: str, text: str, keep_name: bool) -> str:
    content = " ".join(text.split())
    return f"{name}\n{content}" if content and keep_name and not _begins(content, name) else text


def _are_words(names: Iterable[str]) -> bool:
    words = [is_word(name) for name in names]
    return 2 * sum(words) >= len(words)


def is_word(name: str) -> bool:
    """Whether a name is made of words and no code: three letters in a row, or one without case (Han), and no digit.

    Example:
        >>> is_word("lead acid battery"), is_word("H01M 10/06"), is_word("Q8"), is_word("\u7535\u6c60")
        (True, False, False, True)
    """
    if any(char.isdigit() for char in name):
        return False
    return bool(_LETTERS.search(name)) or any(unicodedata.category(char) == "Lo" for char in name)


def _begins(text: str, name: str) -> bool:
    """Whether a text begins with a name as whole words; case aside."""
    text, name = text.casefold(), name.casefold()
    return text.startswith(name) and not text[len(name) : len(name) + 1].isalnum()
