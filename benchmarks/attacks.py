"""Attacks on a server, for ``serve_attacks.py``: each returns how its requests ended, and how often."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

from serving import Client, request, tag_body

Ends = Counter[str]
Attack = Callable[[str, int, float], Awaitable[Ends]]  # host, port and seconds

LONG = "battery charger " * 6_200  # 99 kB
REAL = " ".join(f"battery{at} charger library{at % 999} python perl {at}" for at in range(2_000))  # as long
LABELS = b'{"texts": ["a battery"], '
HEAVY = tag_body(*["a battery charger for a laptop"] * 1_000, k=100, why=True)


def many_values(kind: str) -> bytes:
    """Return a body of 4 MB that is cheap to send and dear to parse."""
    match kind:
        case "numbers":
            return b'{"texts": [' + b"1," * 1_990_000 + b"1]}"
        case "lists":
            return b'{"texts": [' + b"[]," * 1_300_000 + b"[]]}"
        case "empty strings":
            return b'{"texts": [' + b'"",' * 1_300_000 + b'""]}'
        case "keys":
            return LABELS + b",".join(b'"%d":1' % number for number in range(100_000, 450_000)) + b"}"
        case "nested lists":
            return b"[" * 3_990_000
        case "escapes":
            return b'{"texts": ["' + rb"\"" * 1_990_000 + b'"]}'
    raise ValueError(kind)


async def repeat(host: str, port: int, seconds: float, bodies: list[bytes], at_once: int = 1) -> Ends:
    """Post bodies in turns from some clients, as fast as they are answered."""
    ends, until = Ends(), time.monotonic() + seconds

    async def client(number: int) -> None:
        connection = Client(host, port)
        while time.monotonic() < until:
            try:
                async with asyncio.timeout(max(0.1, until - time.monotonic())):
                    status, _ = await connection.ask("/v1/tag", bodies[number % len(bodies)])
                ends[str(status)] += 1
            except TimeoutError:
                ends["unanswered at the end"] += 1
            except (OSError, asyncio.IncompleteReadError):
                ends["closed"] += 1
            number += 1
        connection.close()

    await asyncio.gather(*map(client, range(at_once)))
    return ends


async def values(host: str, port: int, seconds: float, kind: str) -> Ends:
    """Post bodies of many values; one client, or four with all kinds."""
    if kind != "all":
        return await repeat(host, port, seconds, [many_values(kind)])
    return await repeat(
        host, port, seconds, [many_values(one) for one in ("numbers", "lists", "empty strings", "keys")], 4
    )


async def texts(host: str, port: int, seconds: float, kind: str, at_once: int = 1) -> Ends:
    """Post texts that take long."""
    body = {
        "long": tag_body(LONG, k=100, why=True),
        "many": HEAVY,
        "answers": tag_body(*["a battery charger for a laptop"] * 1_000, k=100),
        "real": tag_body(REAL, k=100, why=True),
        "most": tag_body(*["a battery charger for a laptop"] * 500, k=100, why=True),
        "no spaces": tag_body(*["x" * 99_000] * 40, k=100),
        "distinct letters": tag_body(*["".join(chr(0x4E00 + at % 20_000) for at in range(33_000))] * 40, k=100),
    }[kind]
    return await repeat(host, port, seconds, [body], at_once)


async def half_open(host: str, port: int, seconds: float, kind: str, count: int) -> Ends:
    """Open connections whose requests never end, and open those again that the server closes."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    whole = request("/v1/tag", tag_body("a battery"))
    head = whole.partition(b"\r\n\r\n")[0]
    start = {"nothing": b"", "half a header": head[:40], "no body": head + b"\r\n\r\n{", "a byte a second": b""}[kind]
    ends, until = Ends(), time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < until:
            try:
                reader, writer = await asyncio.open_connection(host, port)
                ends["opened"] += 1
                writer.write(start)
                ends[await wait(reader, writer)] += 1
                writer.close()
            except OSError:
                ends["refused or reset"] += 1
            await asyncio.sleep(0.5)

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        answer = asyncio.ensure_future(reader.read(1_000))
        at = 0
        while time.monotonic() < until:
            if kind == "a byte a second":
                writer.write(whole[at : at + 1])
                at += 1
            await asyncio.wait([answer], timeout=min(1, max(0, until - time.monotonic())))
            if answer.done():
                return (answer.result()[9:12] or b"closed").decode()
        answer.cancel()
        return "open at the end"

    await asyncio.gather(*(client() for _ in range(count)))
    return ends


async def unread(host: str, port: int, seconds: float, count: int = 50) -> Ends:
    """Ask for long answers and read none."""
    ends, open_ones = Ends(), []
    for _ in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
        open_ones.append(sock)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for sock in open_ones:
            try:
                sock.send(request("/v1/labels?limit=1000") * 20)
                ends["sent"] += 1
            except BlockingIOError:
                ends["server reads no more"] += 1
            except OSError:
                ends["closed"] += 1
        await asyncio.sleep(0.2)
    return ends


async def pipelined(host: str, port: int, seconds: float, path: str, count: int, at_once: int = 4) -> Ends:
    """Send many requests at once on each connection, then read the answers."""
    body = tag_body("a battery") if path == "/v1/tag" else None
    ends, until, bulk = Ends(), time.monotonic() + seconds, request(path, body) * count

    async def client() -> None:
        while time.monotonic() < until:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(bulk)
            seen = 0
            try:
                async with asyncio.timeout(max(0.1, until - time.monotonic())):
                    while seen < count and (data := await reader.read(1 << 20)):
                        seen += data.count(b"HTTP/1.1 200")
            except (TimeoutError, OSError):
                ends["unanswered at the end or closed"] += count - seen
            ends["200"] += seen
            writer.close()

    await asyncio.gather(*(client() for _ in range(at_once)))
    return ends


async def churn(host: str, port: int, seconds: float, at_once: int = 8) -> Ends:
    """Open and close connections as fast as possible."""
    ends, until = Ends(), time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < until:
            try:
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                ends["opened"] += 1
            except OSError:
                ends["refused or reset"] += 1
                await asyncio.sleep(0.01)

    await asyncio.gather(*(client() for _ in range(at_once)))
    return ends


async def go_away(host: str, port: int, seconds: float, a_second: int = 20) -> Ends:
    """Send a heavy request and close the connection at once."""
    ends, until = Ends(), time.monotonic() + seconds
    body = tag_body(*["a battery charger for a laptop"] * 500, k=100, why=True)
    while time.monotonic() < until:
        try:
            _, writer = await asyncio.open_connection(host, port)
            writer.write(request("/v1/tag", body))
            await writer.drain()
            await asyncio.sleep(1 / a_second)
            writer.close()
            ends["gone"] += 1
        except OSError:
            ends["refused or reset"] += 1
    return ends


async def fill(host: str, port: int, seconds: float) -> Ends:
    """Keep the queue full with requests of falling weight."""
    weights = [1_000, 1_000, 1_000, *[200] * 6, *[20] * 20]
    bodies = [tag_body(*["a battery charger"] * count, k=100, why=True) for count in weights]
    ends = await asyncio.gather(*(repeat(host, port, seconds, [body]) for body in bodies))
    return sum(ends, Ends())


async def forged(host: str, port: int, seconds: float) -> Ends:
    """Ask for what the admin address alone answers, with forged headers."""
    ends, until = Ends(), time.monotonic() + seconds
    headers: list[dict[str, str]] = [
        {}, {"X_Forwarded_For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"Origin": "https://evil.example"},
        {"Host": "evil.example"},
    ]  # fmt: skip
    while time.monotonic() < until:
        for some in headers:
            for path, body in (("/reload", b"{}"), ("/metrics", None), ("/v1/tag", tag_body("a battery"))):
                connection = Client(host, port)
                status, _ = await connection.ask(path, body, **some)
                connection.close()
                ends[f"{path} {' '.join(some) or 'plain'}: {status}"] += 1
    return ends


ATTACKS: dict[str, Attack] = {
    **{
        f"4 MB of {kind}": partial(values, kind=kind)
        for kind in ("numbers", "lists", "empty strings", "keys", "nested lists", "escapes")
    },
    "four of these at once": partial(values, kind="all"),
    "a text of 99 kB, why, k=100": partial(texts, kind="long"),
    "a text of 99 kB of different words, why, k=100": partial(texts, kind="real"),
    "1,000 texts, k=100": partial(texts, kind="answers"),
    "four clients: 1,000 texts, k=100": partial(texts, kind="answers", at_once=4),
    "1,000 texts, why, k=100": partial(texts, kind="many"),
    "500 texts, why, k=100": partial(texts, kind="most"),
    "four clients: 1,000 texts, why, k=100": partial(texts, kind="many", at_once=4),
    "four clients: 500 texts, why, k=100": partial(texts, kind="most", at_once=4),
    "four clients: texts of 99 kB, why, k=100": partial(texts, kind="long", at_once=4),
    "4 MB of texts without spaces": partial(texts, kind="no spaces"),
    "4 MB of distinct letters": partial(texts, kind="distinct letters"),
    **{
        f"{count:,} connections: {kind}": partial(half_open, kind=kind, count=count)
        for count in (1_010, 3_000)
        for kind in ("nothing", "half a header", "no body", "a byte a second")
    },
    "answers never read": unread,
    "queue filled": fill,
    "pipelined: 100 texts": partial(pipelined, path="/v1/tag", count=100),
    "pipelined: 2,000 /healthz": partial(pipelined, path="/healthz", count=2_000),
    "connections opened and closed": churn,
    "heavy requests left at once": go_away,
    "forged headers": forged,
}
