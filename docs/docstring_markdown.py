"""An extension of griffe: docstrings name code as Sphinx does, the site is Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:func|class|meth|mod|attr):`~?([^`]+)`")


def to_markdown(text: str) -> str:
    """Return a docstring with roles as code, and with one colon before a block of code.

    Example:
        >>> to_markdown("As of :func:`ramen.train`::")
        'As of `ramen.train`:'
    """
    text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)  # else a doctest is shown as a quotation
    return re.sub(r"::$", ":", _ROLE.sub(r"`\1`", text), flags=re.MULTILINE)


class DocstringMarkdown(griffe.Extension):
    """Rewrites every docstring as it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)
