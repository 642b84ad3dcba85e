"""The two kinds of expected errors, with their exit codes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Invalid call or input (exit code 2).

    The message is one line: it names the file, row or key, what was found and what was expected.
    """


class WorkError(RuntimeError):
    """The input was valid but the work failed, as with a full disk (exit code 1)."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Return a hint with the option closest to ``name``, or the list of all if none is close.

    Example:
        >>> nearest("desne.epochs", ["dense.epochs", "seed"])
        "did you mean 'dense.epochs'?"
    """
    names = sorted(options)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
