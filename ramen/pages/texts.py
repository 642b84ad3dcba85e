"""Texts and labels of a data set as a page shows them, cut to a length."""

from __future__ import annotations

from ramen.data.dataset import Texts, join_fields

_LENGTH, _LABEL_LENGTH = 300, 80  # characters


def shown_text(texts: Texts, row: int) -> str:
    """Return the title and the content of a text, or its uid where it has neither."""
    return _cut(join_fields(texts.titles[row], texts.contents[row]).replace("\n", " — ") or texts.uids[row], _LENGTH)


def shown_label(texts: Texts, row: int) -> str:
    """Return the title of a label, or its content or uid where it has none."""
    return _cut(texts.titles[row] or texts.contents[row] or texts.uids[row], _LABEL_LENGTH)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length] + " …"
