"""Connections: time limits, a cap that waiting ones give way to, and listening sockets."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import nullcontext
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Protocol
else:
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Protocol
    except ModuleNotFoundError:  # it is faster, but h11 does as well
        _Protocol = H11Protocol

_OTHER_FILES = 64  # that a process keeps open besides connections
_HEAD = 65_536  # bytes of a request before its body
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_SLICE = 8192  # bytes that are parsed at once: a read of 256 kB may hold thousands of requests


class LimitedProtocol(_Protocol):
    """HTTP of one connection, which is closed if its headers take too long, or if it waits and others need its place.

    Requests that a client sends before it has the answers are parsed as they are answered, so neither their parsing nor
    their number holds up the others.

    A connection waits for its client while no complete request of it is being answered, or the answer is not read.
    Beyond the cap, the one that waits longest is closed, first of those that never had an answer, so clients that never
    finish a request cannot keep others out.

    Attributes:
        most: connections at once.
        header_timeout: seconds for the headers of a request.
        write_timeout: seconds without progress until a client that does not read its answer is cut off.
    """

    most = 1_000
    header_timeout = 10.0
    write_timeout = 30.0
    _waiting: dict[LimitedProtocol, None] = {}  # in the order of waiting
    _idle: dict[LimitedProtocol, None] = {}  # the same, after an answer
    _timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _unparsed = b""
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; closes another one beyond the cap."""
        super().connection_made(transport)
        self._waiting[self] = None
        self._start_timer()
        if len(self.connections) > self.most:
            oldest = next(iter(self._waiting or self._idle))  # first those that never had an answer
            oldest.transport.abort()
            oldest.connections.discard(oldest)  # at once: many may connect before it is told
            oldest._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._stop_waiting()
        self._stop_timer()
        self._stop_write_timer()

    def pause_writing(self) -> None:
        """Wait for the client to read, but not for long: closing would wait for it, too."""
        super().pause_writing()
        self._waiting[self] = None
        self._stop_write_timer()
        self._watch_writing(self.transport.get_write_buffer_size())

    def _watch_writing(self, unread: int) -> None:
        """Cut the client off if it reads nothing until the time is over."""

        def check() -> None:
            now = self.transport.get_write_buffer_size()
            if now < unread:
                self._watch_writing(now)
            else:
                self.transport.abort()

        self._write_timer = self.loop.call_later(self.write_timeout, check)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        self._stop_write_timer()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request, or requests."""
        self._unparsed += data
        self._parse()

    def _parse(self) -> None:
        """Parse what has come, up to a request that follows one that is being answered."""
        while self._unparsed and not self._follows():
            if self.transport.is_closing():  # after a wrong request
                self._unparsed = b""
                return
            data, self._unparsed = self._unparsed[:_SLICE], self._unparsed[_SLICE:]
            self._parse_slice(data)
        if self._unparsed:
            self.flow.pause_reading()

    def _follows(self) -> bool:
        return bool(getattr(self, "pipeline", ()))  # h11 keeps none: it stops parsing by itself

    def _parse_slice(self, data: bytes) -> None:
        super().data_received(data)
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._start_timer()  # a request has begun, but its headers are incomplete
            self._head += len(data)
            if self._head > _HEAD and not self.transport.is_closing():
                self.transport.write(_TOO_LONG)
                self.transport.close()
            return
        self._head = 0
        self._stop_timer()
        if not cycle.more_body:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._stop_waiting()
            self._idle[self] = None
            self._parse()

    def shutdown(self) -> None:
        """Close the connection, after the response to a complete request."""
        if self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete:
            self.transport.close()
        else:
            super().shutdown()

    def _stop_waiting(self) -> None:
        self._waiting.pop(self, None)
        self._idle.pop(self, None)

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_timeout, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def limited_protocol(most: int, header_timeout: float) -> type[LimitedProtocol]:
    """Return the protocol of one server."""
    most = min(most, _room_for_connections(most))
    members = {"most": most, "header_timeout": header_timeout, "_waiting": {}, "_idle": {}}
    return type("Protocol", (LimitedProtocol,), members)


def _room_for_connections(wanted: int) -> int:
    """Return how many connections the limit of open files allows; raises the limit as far as needed and allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, soft - _OTHER_FILES)


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to its process."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        """Do nothing."""
        return nullcontext()


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address but does not listen yet.

    Its protocol is named: asyncio sets TCP_NODELAY only where it is. Without, each answer would wait 40 ms for the
    client's acknowledgement.

    Raises:
        OSError: the address is taken or unknown.
    """
    (family, kind, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    sock = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock
