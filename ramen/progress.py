"""How far long work is: a bar on a terminal, elsewhere a line every ten seconds if asked for, or nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Any, TextIO

from tqdm import tqdm

_SECONDS = 10.0  # between two lines
_FORMAT = "{desc}: {n_fmt} of {total_fmt}, {percentage:.0f} %, {remaining} left"


class Shown(Enum):
    """What is shown of long work: a bar on a terminal alone, also lines where there is none, or nothing."""

    BARS = "bars"
    LINES = "lines"
    NOTHING = "nothing"


_shown: ContextVar[Shown] = ContextVar("shown", default=Shown.BARS)


@contextmanager
def showing(shown: Shown) -> Iterator[None]:
    """Show the progress of what runs in the block this way.

    Example:
        >>> with showing(Shown.NOTHING):
        ...     sum(progress([1, 2, 3], desc="adding", unit="number"))
        6
    """
    token = _shown.set(shown)
    try:
        yield
    finally:
        _shown.reset(token)


def progress(work: Iterable[Any] | None = None, *, disable: bool | None = None, **named: Any) -> tqdm:
    """Return tqdm's bar over some work, shown as :func:`showing` says.

    Args:
        work: what is iterated over; None for a bar that is updated by hand.
        disable: True for no bar; None to decide by what is shown. Of processes that torchrun starts the first shows it.
        named: other arguments of tqdm, such as ``desc``, ``total`` and ``unit``.
    """
    shown = _shown.get()
    if disable or shown is Shown.NOTHING or os.environ.get("RANK", "0") != "0":
        return tqdm(work, **named, disable=True)
    if shown is Shown.BARS or sys.stderr.isatty():
        return tqdm(work, **named, disable=None, leave=False)
    times = {"mininterval": _SECONDS, "maxinterval": _SECONDS, "delay": _SECONDS}
    return tqdm(work, **named, file=_Lines(sys.stderr), bar_format=_FORMAT, leave=False, **times)


def say(line: str) -> None:
    """Write a line to stderr, above a bar where there is one."""
    tqdm.write(line, file=sys.stderr)
    sys.stderr.flush()


class _Lines:
    """A stream that makes a line of each state of a bar, without control characters."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = "utf-8"

    def write(self, text: str) -> None:
        """Write a line, unless the text only clears a bar."""
        state = text.replace("\r", "").strip()
        if state:
            self._stream.write(f"    {state}\n")

    def flush(self) -> None:
        """Write what is buffered."""
        self._stream.flush()
