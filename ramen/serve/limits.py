"""Limits of a server, and the work of a request."""

from __future__ import annotations

from dataclasses import dataclass

# As measured on 18,000 labels: a text in a batch takes 1.5 ms, 1,000 characters 1.1 ms, a text explained 0.3 ms and
# each of its labels 0.03 ms.
_CHARACTERS, _EXPLAINED, _LABELS = 1_500, 0.2, 50


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
    work: int = 4_000
    waiting: int = 8_000
    batch: int = 64
    part: int = 16
    timeout: float = 30.0


def work_of(text: str, k: int, why: bool) -> float:
    """Return the work of a text, in short texts: it grows with its length, and with ``why`` with the labels.

    Example:
        >>> work_of("a battery", 5, False) < 1.01, work_of("x" * 99_000, 5, False), work_of("", 100, True)
        (True, 67.0, 3.2)
    """
    return 1 + len(text) / _CHARACTERS + (_EXPLAINED + k / _LABELS if why else 0)
