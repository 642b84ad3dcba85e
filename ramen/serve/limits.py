"""Limits of a server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of requests and of the queue.

    Attributes:
        body: bytes per request.
        texts: per request.
        characters: per text.
        k: labels per text.
        waiting: texts in the queue; beyond that, requests are rejected with 503.
        batch: texts tagged at once.
        timeout: seconds until a request fails with 503, and for its body to arrive (408).
    """

    body: int = 4_000_000
    texts: int = 1_000
    characters: int = 100_000
    k: int = 100
    waiting: int = 10_000
    batch: int = 256
    timeout: float = 30.0
