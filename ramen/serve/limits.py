"""Limits of a server, and the work of a request."""

from __future__ import annotations

from dataclasses import dataclass

_CHARACTERS = 2_000  # of a text take as long as the rest of its ranking
_LABELS = 25  # explained take as long as ranking the text


@dataclass(frozen=True)
class Limits:
    """Limits of requests, of the queue and of connections.

    Work is counted in short texts, see :func:`work_of`.

    Attributes:
        body: bytes per request.
        bodies: bytes of all bodies that are being received; beyond that, requests are rejected with 503.
        texts: per request.
        characters: per text.
        k: labels per text.
        work: per request.
        waiting: work in the queue; beyond that, requests are rejected with 503.
        batch: work of light requests in one batch; a request with more is a heavy one.
        part: work of a heavy request in one batch.
        timeout: seconds until a request fails with 503, and for its body to arrive (408).
    """

    body: int = 4_000_000
    bodies: int = 256_000_000
    texts: int = 1_000
    characters: int = 100_000
    k: int = 100
    work: int = 10_000
    waiting: int = 20_000
    batch: int = 64
    part: int = 16
    timeout: float = 30.0


def work_of(text: str, k: int, why: bool) -> float:
    """Return the work of a text, in short texts: it grows with its length, and with ``why`` with the labels.

    Example:
        >>> work_of("a battery", 5, False) < 1.01, work_of("x" * 100_000, 5, False), work_of("", 100, True)
        (True, 51.0, 5.0)
    """
    return 1 + len(text) / _CHARACTERS + (k / _LABELS if why else 0)
