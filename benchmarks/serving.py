"""A ``ramen serve`` to measure, for the benchmarks beside this file: its processes, and clients that stay connected."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

FAST = ("httptools", "uvloop")  # without them, uvicorn takes h11 and asyncio
LONGEST = 64 << 20  # bytes of an answer


@dataclass
class Server:
    """A running server.

    Attributes:
        process: of the supervisor.
        host, port: public address.
        admin: port of the admin address.
        start: seconds until it answered.
        lines: that it printed since.
    """

    process: subprocess.Popen[str]
    host: str
    port: int
    admin: int
    start: float
    lines: list[str] = field(default_factory=list)

    def processes(self) -> list[psutil.Process]:
        """Return the supervisor and its workers."""
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children()]

    def workers(self) -> list[int]:
        """Return the process numbers of the workers."""
        return [process.pid for process in self.processes()[1:]]

    def memory_mb(self) -> float:
        """Return the memory of all processes; pages that they share count once (PSS)."""
        return sum(_or_none(process, _pss) for process in self.processes()) / 1e6

    def cpu_seconds(self) -> float:
        """Return the CPU time of all processes."""
        return sum(_or_none(process, lambda one: sum(one.cpu_times()[:2])) for process in self.processes())

    def descriptors(self) -> int:
        """Return the number of open files and connections of all processes."""
        return int(sum(_or_none(process, psutil.Process.num_fds) for process in self.processes()))


def _or_none(process: psutil.Process, measure: Any) -> float:
    """Measure a process; 0 for one that has just ended."""
    try:
        return measure(process)
    except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError, ProcessLookupError):
        return 0


def _pss(process: psutil.Process) -> int:
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return next(1024 * int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


@contextlib.contextmanager
def served(
    run: Path, *options: str, cores: set[int] | None = None, is_fast: bool = True, **environment: str
) -> Iterator[Server]:
    """Serve a run on free ports until the block ends.

    Args:
        run: folder.
        options: of ``ramen serve``.
        cores: that the server may use; None for all.
        is_fast: whether it finds httptools and uvloop.
        environment: of the server.
    """
    with contextlib.ExitStack() as resources:
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if not is_fast:
            paths = [resources.enter_context(hidden(FAST)), *paths]
        command = [sys.executable, "-m", "ramen.cli.main", "serve", str(run), "--port", "0", "--no-log", *options]
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            preexec_fn=lambda: os.sched_setaffinity(0, cores or os.sched_getaffinity(0)),
        )  # fmt: skip
        try:
            ports = read_ports(process)
            server = Server(process, "127.0.0.1", ports["serving"], ports["admin"], time.perf_counter() - begun)
            assert process.stderr is not None
            reader = threading.Thread(target=server.lines.extend, args=(process.stderr,), daemon=True)
            reader.start()  # a full pipe would stop the server
            yield server
        finally:
            stop(process)


def read_ports(process: subprocess.Popen[str]) -> dict[str, int]:
    """Return the ports that a server prints when it answers.

    Raises:
        RuntimeError: it ended; with its last line.
    """
    ports: dict[str, int] = {}
    line = ""
    assert process.stderr is not None
    while "serving" not in ports:
        last, line = line, process.stderr.readline()
        if not line:
            raise RuntimeError(f"the server did not start: {last}")
        if match := re.search(r"(admin|serving) .*?http://\S+:(\d+)$", line):
            ports[match[1]] = int(match[2])
    return ports


def stop(process: subprocess.Popen[str]) -> None:
    """Stop a server."""
    process.terminate()
    try:
        process.wait(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def hidden(modules: tuple[str, ...]) -> Iterator[str]:
    """Yield a folder for PYTHONPATH with which Python does not find some modules."""
    with tempfile.TemporaryDirectory() as folder:
        for name in modules:
            Path(folder, f"{name}.py").write_text(f"raise ModuleNotFoundError('hidden', name={name!r})\n")
        yield folder


class Client:
    """A connection that is kept for many requests.

    Args:
        host, port: of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Return the status and the body of an answer.

        Raises:
            OSError, asyncio.IncompleteReadError: the connection was closed; the next request opens another.
        """
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port, limit=LONGEST)
        try:
            self.writer.write(request(path, body, **headers))
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None, head
            content = await self.reader.readexactly(int(length[1]))
        except BaseException:
            self.close()
            raise
        if b"connection: close" in head:
            self.close()
        return int(head.split()[1]), content

    def close(self) -> None:
        """Close the connection."""
        if self.writer is not None:
            self.writer.close()
        self.writer = None


def request(path: str, body: bytes | None = None, **headers: str) -> bytes:
    """Return the bytes of a request; POST where it has a body."""
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "Host: localhost"]
    if body is not None:
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))} | headers
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def tag_body(*texts: str, **options: Any) -> bytes:
    """Return the body of a request for labels."""
    return json.dumps({"texts": texts, **options}).encode()


def label_texts(run: Path, most: int = 20_000) -> list[str]:
    """Return the texts of a run's labels, which serve as texts to tag."""
    with gzip.open(run / "labels.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    return [text for text in texts if text.strip()][:most]
