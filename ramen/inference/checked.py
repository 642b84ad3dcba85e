"""Remembers whose contents have passed the checks of all values, by hash, so that each is checked once.

The cache only saves time: without it everything is checked at every load.
"""

from __future__ import annotations

import hashlib
import json
import logging

from ramen.encoders.cache import CHECKED, cache_folder
from ramen.errors import InputError

_FORMAT = 1  # of the checks: a new number has all contents checked again

logger = logging.getLogger("ramen")


def is_checked(*content: str) -> bool:
    """Whether a content has passed.

    Args:
        content: what was checked and the hash that identifies it.

    Example:
        ``is_checked("run", digest(run / "manifest.json"))``
    """
    try:
        return _key(content) in (cache_folder() / CHECKED).read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError, InputError):
        return False


def note_checked(*content: str) -> None:
    """Note that a content has passed; does nothing if the cache folder cannot be written."""
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / CHECKED).open("a", encoding="ascii") as file:
            file.write(_key(content) + "\n")
    except (OSError, InputError) as error:
        logger.debug("checked runs are not noted: %s; RAMEN_CACHE moves the cache", error)


def _key(content: tuple[str, ...]) -> str:
    return hashlib.blake2b(json.dumps([_FORMAT, *content]).encode(), digest_size=16).hexdigest()
