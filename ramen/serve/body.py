"""Read request bodies with limits on their bytes and on their number of values."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ramen.serve.access import Headers, Refused
from ramen.serve.limits import Limits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_EXCESS = 16  # rejected bodies are read up to this multiple of the limit
_DIGITS = 18  # of a length in bytes
_OTHERS = 64  # values besides the texts, generously


class Gone(Exception):
    """The client closed the connection before its body was complete."""


class BodyReader:
    """Reads the bodies of a server's requests.

    Args:
        limits: of a body, and of all bodies at once.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits, self.pending = limits, 0

    async def read(self, headers: Headers, receive: Receive) -> bytes:
        """Return the body of a request; JSON if there is one.

        Raises:
            Refused: 400 for an upgrade or another encoding of characters, 415 for another type or an encoding, 413
                for too many bytes or values, 408 if it does not arrive in time, 503 if all bodies together are too
                long.
            Gone: the client did not wait.
        """
        sent = dict(headers)
        if b"upgrade" in sent and (b"content-length" in sent or b"transfer-encoding" in sent):
            raise Refused(400, "Upgrade: expected none with a body, whose end the parser would miss")
        if sent.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise Refused(415, "Content-Encoding: expected none: bodies are not decompressed")
        length = sent.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > _DIGITS or int(length) > _EXCESS * self.limits.body:
            raise self._too_long()
        try:
            async with asyncio.timeout(self.limits.timeout):
                body = await self._receive_all(receive)
        except TimeoutError as error:
            raise Refused(408, f"body: incomplete after {self.limits.timeout:g} s") from error
        # Cross-site pages in a browser can send text, but not JSON, to a server on the same machine.
        if body and sent.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
            raise Refused(415, "expected the header Content-Type: application/json")
        if b"\0" in body:  # UTF-16 or UTF-32, in which the bytes below mean other characters
            raise Refused(400, "body: expected JSON in UTF-8, found a NUL byte")
        if has_more_values(body, self.limits.texts + _OTHERS):
            raise Refused(413, f"texts: expected at most {self.limits.texts:,}, found a body of more values")
        return body

    async def _receive_all(self, receive: Receive) -> bytes:
        """Read and drop some of the excess, too: a client that is still sending does not see the response."""
        parts: list[bytes] = []
        size = kept = 0
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Gone
                part = message.get("body", b"")
                size += len(part)
                if size <= self.limits.body:
                    if self.pending + len(part) > self.limits.bodies:
                        raise Refused(503, "too many bytes are being received; try again", {"Retry-After": "1"})
                    parts.append(part)
                    kept += len(part)
                    self.pending += len(part)
                if size > _EXCESS * self.limits.body or not message.get("more_body"):
                    if size > self.limits.body:
                        raise self._too_long()
                    return b"".join(parts)
        finally:
            self.pending -= kept

    def _too_long(self) -> Refused:
        return Refused(413, f"body: expected at most {self.limits.body:,} bytes")


def has_more_values(body: bytes, most: int) -> bool:
    """Whether a JSON text has more strings, keys or items than expected, by counting quotes and commas.

    Parsing and validating two million numbers would stop the server for a minute; counting them takes milliseconds.

    Example:
        >>> has_more_values(b'{"texts": ["a, b, c", "d"]}', 3), has_more_values(b"[1,1,1,1,1]", 3)
        (False, True)
    """
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if body.count(b'"') > 4 * most:
        return True
    return sum(part.count(b",") for part in body.split(b'"')[::2]) >= most


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives the body first."""
    is_read = False

    async def again() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
