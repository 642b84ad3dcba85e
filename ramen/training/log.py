"""The log of a run: the figures of each step of the work, a json line each in ``log.jsonl`` and to whoever listens."""

from __future__ import annotations

import json
import logging
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ramen import distributed
from ramen.timing import time_table

logger = logging.getLogger("ramen")

_LONG = ("settings", "stages")  # of the line that has the plan

Listener = Callable[[dict[str, Any]], Any]


class Log:
    """Call it with the figures of a step.

    Args:
        path: of the file; lines are added to it.
        listeners: called with a copy of each line's figures, such as ``{"stage": "encoder", "loss": 0.5, ...}``. One
            with a method ``close`` has it called at the end.
    """

    def __init__(self, path: Path, listeners: Iterable[Listener] = ()) -> None:
        self.path, self.listeners = path, list(listeners)
        self._start = time.perf_counter()

    def close(self) -> None:
        """Close the listeners that can be closed, all of them even if one fails."""
        with ExitStack() as stack:
            for listener in reversed(self.listeners):  # a stack closes the last one first
                close = getattr(listener, "close", None)
                if close is not None:
                    stack.callback(close)

    def __call__(self, **figures: Any) -> None:
        """Add a line; of several ranks the first does."""
        if not distributed.is_main():
            return
        figures = _plain(figures)
        figures["elapsed"] = round(time.perf_counter() - self._start, 1)
        figures["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)  # of memory, so far
        text = json.dumps(figures)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        for listener in self.listeners:
            listener(json.loads(text))

    def times(self, seconds: Mapping[str, float]) -> None:
        """Add a line with the seconds of each stage."""
        self(stage="time", seconds={name: round(value, 2) for name, value in seconds.items()})


def every_figure(figures: Mapping[str, Any]) -> str:
    """All figures of a line as text; those of the times as a table. Settings and stages are left to the file.

    Example:
        >>> every_figure({"stage": "encoder", "loss": 0.5, "penalty": None})
        'stage encoder  loss 0.5'
    """
    line = "  ".join(f"{key} {value}" for key, value in figures.items() if value is not None and key not in _LONG)
    return f"{line}\n{time_table(figures['seconds'])}" if figures.get("stage") == "time" else line


def log_every_figure(figures: Mapping[str, Any]) -> None:
    """Give all figures of a line to the logger ``ramen``; a listener of :class:`Log`."""
    logger.info(every_figure(figures))


def log_warning(figures: Mapping[str, Any]) -> None:
    """Give a line's warning to the logger ``ramen``, if it has one; a listener of :class:`Log`."""
    if figures.get("warning"):
        logger.warning(str(figures["warning"]))


def _plain(value: Any) -> Any:
    """A value that JSON has: numbers rounded, those that are not finite None."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, float):
        return _rounded(value) if np.isfinite(value) else None
    return value


def _rounded(value: float) -> float:
    """To four decimals, but a small number (a learning rate) to three digits."""
    return round(value, 4) if abs(value) >= 0.1 else float(f"{value:.3g}")
