"""ASGI middleware: limits request bodies, checks the API key and counts requests."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ramen.serve.metrics import ServerMetrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN = frozenset({"/", "/healthz", "/metrics", "/openapi.json", "/docs"})  # need no key
_PATIENCE = 16  # rejected bodies are read up to this multiple of the limit
_COUNTED = OPEN | {"/tag", "/labels", "/reload"}


class Middleware:
    """Wraps an ASGI application.

    Args:
        app: the application.
        metrics: counts requests.
        body: maximum number of bytes.
        timeout: seconds for a body to arrive.
        key: API key that a request must send as ``Authorization: Bearer KEY``; "" for none.
    """

    def __init__(self, app: App, metrics: ServerMetrics, body: int, timeout: float, key: str) -> None:
        self.app, self.metrics, self.body, self.timeout, self.key = app, metrics, body, timeout, key

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle a connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, path = time.perf_counter(), scope["path"] if scope["path"] in _COUNTED else "other"
        status = 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            headers = {name: value for name, value in scope["headers"]}
            if self.key and scope["path"] not in OPEN and not self._has_key(headers):
                await _refuse(counted, 401, "expected the header Authorization: Bearer KEY with the server's key")
                return
            try:
                async with asyncio.timeout(self.timeout):
                    body = await self._read(headers, receive)
            except TimeoutError:
                await _refuse(counted, 408, f"body: incomplete after {self.timeout:g} s")
                return
            if body is None:
                await _refuse(counted, 413, f"body: expected at most {self.body:,} bytes")
                return
            # Cross-site pages in a browser can send text, but not JSON, to a server on the same machine.
            if body and headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
                await _refuse(counted, 415, "expected the header Content-Type: application/json")
                return
            await self.app(scope, _replay(body, receive), counted)
        finally:
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - began)

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        return hmac.compare_digest(headers.get(b"authorization", b""), b"Bearer " + self.key.encode())

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """Read the body; returns None if it is too long.

        Reads and drops some of the excess, because a client that is still sending does not see the response.
        """
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > _PATIENCE * self.body:
            return None
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b""
            size += len(message.get("body", b""))
            if size <= self.body:
                parts.append(message.get("body", b""))
            if size > _PATIENCE * self.body or not message.get("more_body"):
                return None if size > self.body else b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that replays the body."""
    is_read = False

    async def again() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, status: int, error: str) -> None:
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
