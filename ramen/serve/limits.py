"""What a server accepts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of requests and of the work that may wait.

    Attributes:
        body: bytes of a request.
        texts: of a request.
        characters: of a text.
        k: labels a text.
        waiting: texts that wait for their turn; more are refused with 503.
        batch: texts tagged at once.
        timeout: seconds until a request is given up with 503, and for its body to arrive (408).
    """

    body: int = 4_000_000
    texts: int = 1_000
    characters: int = 100_000
    k: int = 100
    waiting: int = 10_000
    batch: int = 256
    timeout: float = 30.0
