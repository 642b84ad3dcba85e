"""The log of requests: lines of JSON, written by a thread so that a slow reader of the log delays no request."""

from __future__ import annotations

import json
import os
import queue
import threading
from typing import Any

from prometheus_client import Counter

_MOST = 10_000  # lines that wait


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
