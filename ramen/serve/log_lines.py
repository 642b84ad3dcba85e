"""The log of requests and the messages of a process, written by threads: a slow reader of them delays no request."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import queue
import re
import sys
import threading
from typing import Any

from prometheus_client import Counter

_MOST = 10_000  # lines that wait
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what a terminal could obey; all but tab and newline


def shorten(text: str, longest: int = 1_000) -> str:
    """Return a text as one line of at most some characters.

    Example:
        >>> shorten("two\\nlines and more", 9)
        'two lines...'
    """
    line = " ".join(text.split())
    return line if len(line) <= longest else line[:longest] + "..."


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", super().format(record))


class _Messages(logging.handlers.QueueHandler):
    """Hands messages to the thread that prints them; drops them if too many wait."""

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            pass


def print_messages() -> logging.handlers.QueueListener:
    """Print the messages of all loggers to stderr by a thread; call ``stop`` of the result at the end."""
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(_MOST)
    printer = logging.StreamHandler(sys.stderr)
    printer.setFormatter(_Formatter("ramen: %(message)s"))
    root = logging.getLogger()
    root.handlers = [_Messages(waiting)]
    listener = logging.handlers.QueueListener(waiting, printer)
    listener.start()
    return listener


class LogLines:
    """Writes lines to a file descriptor.

    Args:
        descriptor: of the file.
        lost: counts lines that were dropped because too many waited.
    """

    def __init__(self, descriptor: int, lost: Counter) -> None:
        self.descriptor, self.lost = descriptor, lost
        self._lines: queue.Queue[bytes | None] = queue.Queue(_MOST)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def __call__(self, facts: dict[str, Any]) -> None:
        """Log one request."""
        try:
            self._lines.put_nowait(json.dumps(facts).encode() + b"\n")
        except queue.Full:
            self.lost.inc()

    def close(self, seconds: float = 1.0) -> None:
        """Write what waits, at most for some time."""
        try:
            self._lines.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                os.write(self.descriptor, line)  # short: whole, also beside those of other workers
            except OSError:
                self.lost.inc()
