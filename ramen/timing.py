"""Where the time of a run goes: wall seconds by stage, which add up to the whole."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

OTHER = "other"  # what no stage names


class Clock:
    """Counts the seconds of each stage; those of a stage within another count for the inner one alone.

    Attributes:
        seconds: by stage, in the order in which they began.

    Example:
        >>> with Clock().running() as clock:
        ...     with timed("read"):
        ...         _ = sum(range(1000))
        >>> list(clock.seconds)
        ['other', 'read']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {OTHER: 0.0}
        self._stages = [OTHER]
        self._since = time.perf_counter()

    @contextmanager
    def running(self) -> Iterator[Clock]:
        """Count what :func:`timed` names within the block."""
        token, self._since = _running.set(self), time.perf_counter()
        try:
            yield self
        finally:
            self._count()
            _running.reset(token)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block for a stage."""
        self._count()
        self.seconds.setdefault(name, 0.0)
        self._stages.append(name)
        try:
            yield
        finally:
            self._count()
            self._stages.pop()

    def so_far(self) -> dict[str, float]:
        """The seconds of every stage until now."""
        self._count()
        return dict(self.seconds)

    def _count(self) -> None:
        now = time.perf_counter()
        self.seconds[self._stages[-1]] += now - self._since
        self._since = now


_running: ContextVar[Clock | None] = ContextVar("clock", default=None)


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Count the block for a stage of the clock that runs; without one do nothing."""
    clock = _running.get()
    if clock is None:
        yield
        return
    with clock.stage(stage):
        yield


def time_table(seconds: Mapping[str, float]) -> str:
    """Stages with their seconds and shares, the longest first, and the whole; those below 1 % of it count as other.

    Example:
        >>> print(time_table({"other": 0.5, "encoder": 30.0, "read": 9.5, "save": 0.2}))
        encoder                 30.0 s   75 %
        read                     9.5 s   24 %
        other                    0.7 s    2 %
        in all                  40.2 s
    """
    whole = sum(seconds.values())
    rows = {name: value for name, value in seconds.items() if name != OTHER and value >= 0.01 * whole}
    rows = dict(sorted(rows.items(), key=lambda row: -row[1]))
    rows[OTHER] = whole - sum(rows.values())
    lines = [f"{name:<20}{value:8.1f} s {100 * value / max(whole, 1e-9):4.0f} %" for name, value in rows.items()]
    return "\n".join([*lines, f"{'in all':<20}{whole:8.1f} s"])
