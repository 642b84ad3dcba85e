"""Messages between the supervisor and its workers: lines of JSON over a pair of sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import asdict, dataclass, field
from typing import Any

from ramen.serve.limits import Limits

_LONGEST = 1 << 20  # bytes of a message


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to know.

    Attributes:
        run, name, run_id: folder to load, the name that users see, and its version.
        checked: whether the folder's hashes were checked and it stays as it is.
        limits: of requests.
        key, hosts: of :class:`ramen.serve.access.Access`.
        forwarded_allow_ips: proxies whose forwarded addresses are believed; "" for none.
        connections: at once.
        header_timeout, idle_timeout: seconds.
        grace: seconds to answer what was asked before the end.
        log: whether to log requests.
    """

    run: str = ""
    name: str = ""
    run_id: str = ""
    checked: bool = False
    limits: Limits = field(default_factory=Limits)
    key: str = ""
    hosts: tuple[str, ...] = ()
    forwarded_allow_ips: str = ""
    connections: int = 1_000
    header_timeout: float = 10.0
    idle_timeout: float = 60.0
    grace: float = 20.0
    log: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON."""
        return asdict(self)

    @classmethod
    def of_json(cls, facts: dict[str, Any]) -> WorkerSettings:
        """Return what :meth:`to_json` wrote."""
        return cls(**{**facts, "limits": Limits(**facts["limits"]), "hosts": tuple(facts["hosts"])})


class Channel:
    """One end of a connection that carries messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self._turn = reader, writer, asyncio.Lock()

    @classmethod
    async def open(cls, sock: socket.socket) -> Channel:
        """Wrap a socket."""
        return cls(*await asyncio.open_connection(sock=sock, limit=_LONGEST))

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message.

        Raises:
            ConnectionError: the other process has ended.
        """
        self.writer.write(json.dumps(message).encode() + b"\n")
        await self.writer.drain()

    async def receive(self) -> dict[str, Any]:
        """Receive a message.

        Raises:
            ConnectionError: the other process has ended.
        """
        line = await self.reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the other process has ended")
        return json.loads(line)

    async def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a message and receive the answer, after earlier ones.

        Raises:
            ConnectionError: the other process has ended.
            TimeoutError: there was no answer in time.
        """
        async with self._turn, asyncio.timeout(seconds):
            await self.send(message)
            return await self.receive()

    def close(self) -> None:
        """Close this end."""
        self.writer.close()
