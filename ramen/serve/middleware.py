"""ASGI middleware: checks requests before the application sees them, counts and logs them."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from ramen.serve.access import Access, Refused
from ramen.serve.body import BodyReader, Gone, Message, Receive, replay
from ramen.serve.limits import Limits
from ramen.serve.metrics import ServerMetrics

Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

GONE = 499  # the client closed the connection; a status of logs and metrics only
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,64}")
_SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


class Middleware:
    """Wraps an ASGI application.

    The application reads and fills the dictionary ``scope["ramen"]``, whose entries are logged.

    Args:
        app: the application.
        metrics: counts requests.
        limits: of bodies and time.
        access: checks who asks.
        paths: that are counted by their names, the others as "other".
        open_paths: need no key.
        log: called with the facts about each request; None for no log.
    """

    def __init__(
        self,
        app: App,
        metrics: ServerMetrics,
        limits: Limits,
        access: Access,
        paths: Collection[str],
        open_paths: Collection[str],
        log: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.app, self.metrics, self.limits, self.access = app, metrics, limits, access
        self.paths, self.open_paths, self.log = frozenset(paths), frozenset(open_paths), log
        self.bodies = BodyReader(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        facts: dict[str, Any] = {"id": _request_id(scope), "method": scope["method"]}
        scope["ramen"] = facts
        response = _Response(send, facts["id"].encode(), self.limits.timeout)
        try:
            try:
                self.access.check(scope["headers"], scope["path"] not in self.open_paths)
                body = await self.bodies.read(scope["headers"], receive)
            except Refused as error:
                await _refuse(response, error)
                return
            method = "GET" if scope["method"] == "HEAD" else scope["method"]  # whose body the server drops
            await self.app({**scope, "method": method}, replay(body, receive), response)
        except Gone:
            response.status = GONE
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            taken = time.perf_counter() - began
            self.metrics.requests.labels(path, response.status).inc()
            self.metrics.seconds.labels(path).observe(taken)
            if self.log is not None:
                client = (scope.get("client") or ("",))[0]
                answer = {"path": path, "status": response.status, "ms": round(1000 * taken, 1), "client": client}
                self.log({"time": round(time.time(), 3)} | facts | answer)


class _Response:
    """Sends a response: adds headers, and gives up a client that does not read or has gone (:class:`Gone`).

    Attributes:
        status: that was sent; 500 if none was.
    """

    def __init__(self, send: Send, request_id: bytes, timeout: float) -> None:
        self.send, self.timeout, self.status = send, timeout, 500
        self.headers = [(b"x-request-id", request_id), *_SAFE]

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name for name, _ in message["headers"]}
            added = [(name, value) for name, value in self.headers if name not in present]
            message = {**message, "headers": [*message["headers"], *added]}
        try:
            async with asyncio.timeout(self.timeout):
                await self.send(message)
        except (OSError, TimeoutError) as error:
            raise Gone from error
        except RuntimeError as error:
            if "closed" in str(error):  # uvloop's, between the end of a connection and its being told
                raise Gone from error
            raise


def _request_id(scope: Scope) -> str:
    """Return the client's ``X-Request-Id`` if it is a plain one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return uuid.uuid4().hex


async def _refuse(send: Send, refused: Refused) -> None:
    body = json.dumps({"error": refused.error}).encode()
    headers = [(name.lower().encode(), value.encode()) for name, value in refused.headers.items()]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"connection", b"close"))  # an unread body may follow
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
