"""One form for each text, however it was typed or stored: for readers, features and encoders alike."""

from __future__ import annotations

import re
import unicodedata

# Soft hyphen; joiner of marks; Arabic lengthening; zero-width space, non-joiner and joiner; marks of direction; word
# joiner and signs of formulas; variants; byte order mark
INVISIBLE = "\u00ad\u034f\u061c\u0640\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff"
RAISED = "\u2122\u2120"  # trade marks, which NFKC would make letters of the word before
_INVISIBLE, _RAISED = re.compile(f"[{INVISIBLE}]"), re.compile(f"[{RAISED}]")


def composed(text: str) -> str:
    """Return a text in NFC, which looks the same: what readers keep of texts and names.

    macOS and PDF write an accent as a character of its own (NFD); a name must equal itself however it was written.

    Example:
        >>> composed("cafe\u0301") == "caf\u00e9"
        True
    """
    return text if text.isascii() or unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def plain(text: str) -> str:
    """Return what features and encoders see of a text: NFKC, without invisible characters.

    Full-width and half-width forms become the usual ones, ligatures letters; a soft hyphen or a zero-width space cuts
    no word. Letters keep their case and accents.

    Example:
        >>> plain("\uff32\uff21\uff2d\uff25\uff2e"), plain("bat\u00adtery"), plain("\ufb01le")
        ('RAMEN', 'battery', 'file')
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _RAISED.sub(" ", _INVISIBLE.sub("", text)))


def lowered(text: str) -> str:
    """Return a text in lower case; the Turkish capital with a dot becomes the letter that it is a capital of.

    Example:
        >>> lowered("\u0130STANBUL")
        'istanbul'
    """
    return text.lower() if text.isascii() else text.replace("\u0130", "i").lower()


def alike(text: str) -> str:
    """Return what two texts have in common that differ in case, spaces or the form of characters only.

    Example:
        >>> alike("Red  Apple ") == alike("red apple")
        True
    """
    return " ".join(lowered(plain(text)).split())
