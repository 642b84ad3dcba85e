"""Which script a text is in, and what counts as a word in it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache

from ramen.text import plain

# Blocks of scripts that are written without spaces between words, as a regular expression's class has them.
HAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
SPACELESS = (
    HAN + "\u3040-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # kana, bopomofo
    "\u0e00-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff\u19e0-\u19ff"  # Thai, Lao, Myanmar, Khmer
    "\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9df\uaa80-\uaadf"  # Tai scripts, Balinese, Javanese
)
_DOT_NET = r"(?<![^\s(\[{/,;|\"'])\.net(?!\w)"  # the one well-known name that begins with a dot
_LAST_MARK = 0x1E94A  # but for selectors of variants
_EMOJI = "[\u2600-\u27bf\U0001f300-\U0001faff]|[\U0001f1e6-\U0001f1ff]{2}"  # or a flag
_WORTH_A_WORD = 0.01  # of the letters
_WITHOUT_SPACES = (
    "Han", "Hiragana", "Katakana", "Bopomofo", "Thai", "Lao", "Myanmar", "Khmer", "Balinese", "Javanese", "Tai", "New",
)  # fmt: skip
_NAMES = {"CJK": "HAN", "IDEOGRAPHIC": "HAN", "HENTAIGANA": "HIRAGANA"}  # where a name begins otherwise
_NO_SCRIPTS = ("CARON", "MASU", "MODIFIER", "ROMAN", "TURNED", "VERTICAL")  # first words of other letters' names


@cache
def marks() -> str:
    """Return all combining marks as a regular expression's class has them; Python's ``\\\\w`` leaves them out."""
    points = [code for code in range(0x300, _LAST_MARK + 1) if unicodedata.category(chr(code))[0] == "M"]
    firsts = [code for code, before in zip(points, [0, *points], strict=False) if code != before + 1]
    lasts = [code for code, after in zip(points, [*points[1:], 0], strict=True) if code != after - 1]
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in zip(firsts, lasts, strict=True))


@cache
def word_pattern() -> re.Pattern[str]:
    """Return the pattern of a word in a lower-cased text of any script: letters with their marks, digits, or one emoji.

    ``c++``, ``c#`` and ``.net`` are words, too. Other dots and signs are none of a word: texts have ``.deb`` beside
    ``deb``, ``pkcs#11`` beside ``pkcs 11`` and ``gtk+`` beside ``gtk``.

    Example:
        >>> word_pattern().findall("c c++ c# .net, a+b, end.next .deb c++11 pkcs#11")
        ['c', 'c++', 'c#', '.net', 'a', 'b', 'end', 'next', 'deb', 'c++', '11', 'pkcs', '11']
    """
    letter = r"[^\W\d_]"
    signs = rf"(?<={letter})(?:\+\+(?!{letter}|[+#])|#(?![\w+#]))"
    return re.compile(rf"{_DOT_NET}|\w[\w{marks()}]*(?:{signs})?|{_EMOJI}")


def scripts_of(texts: Iterable[str]) -> dict[str, int]:
    """Return how many letters of texts are in each script, the most frequent first.

    Example:
        >>> scripts_of(["tea", "\\u7d05\\u8336", "5 \\u00b5m"])
        {'Latin': 4, 'Han': 2, 'Greek': 1}
    """
    letters: Counter[str] = Counter()
    for text in texts:
        letters.update(text)
    scripts: Counter[str] = Counter()
    for char, count in letters.items():
        for letter in plain(char):
            first = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]
            if letter.isalpha() and first and first not in _NO_SCRIPTS:
                scripts[_NAMES.get(first, first).capitalize()] += count
    return dict(scripts.most_common())


def reading(shares: Mapping[str, float]) -> list[str]:
    """Return what reads the scripts of a data set, a line for each thing to know.

    Args:
        shares: of each script among the letters, 0 to 1.

    Example:
        >>> reading({"Latin": 1.0})
        []
        >>> reading({"Latin": 0.6, "Thai": 0.4})[0]
        'Thai: written without spaces, so its words are pairs of characters'
    """
    others = [script for script, share in shares.items() if script != "Latin" and share >= _WORTH_A_WORD]
    spaceless = [script for script in others if script in _WITHOUT_SPACES]
    lines = []
    if spaceless:
        lines.append(f"{', '.join(spaceless)}: written without spaces, so its words are pairs of characters")
    if others:
        lines.append(
            f"{', '.join(others)}: the default backbone knows English, so the encoder learns these words from the "
            "training points alone; encoder.backbone=... takes a multilingual one (docs/languages.md)"
        )
    return lines
