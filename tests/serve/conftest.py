"""The service without a socket, and a real ``ramen serve`` on a free port."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import asynccontextmanager, contextmanager

import pytest

pytest.importorskip("fastapi")


class Asked:
    """What can be asked: ``ask(path, body)`` gives the status and the decoded answer."""

    def ask(self, path, body=None, raw=None, **headers):
        """Status and decoded answer; a body goes as JSON."""
        data = json.dumps(body).encode() if body is not None else raw
        self.headers = {}
        headers = {"Content-Type": "application/json", **{name.replace("_", "-"): v for name, v in headers.items()}}
        status, text = self.send(path, data, headers)
        return status, json.loads(text) if text.startswith("{") else text


class Address(Asked):
    """A server by its address."""

    def __init__(self, url):
        self.url = url

    def send(self, path, data, headers):
        asked = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                self.headers = answer.headers
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            self.headers = error.headers
            return error.code, error.read().decode()


class Server(Address):
    """A running server: its process, its address, that of its admin, and the lines that it has printed."""

    def __init__(self, process, url, admin):
        super().__init__(url)
        self.process, self.admin, self.log, self.requests = process, Address(admin), [], []
        for stream, lines in ((process.stderr, self.log), (process.stdout, self.requests)):
            threading.Thread(target=self._read, args=(stream, lines), daemon=True).start()

    def _read(self, stream, lines):
        for line in stream:
            lines.append(line)

    def workers(self):
        """Process numbers of the workers that are ready."""
        return [worker["process"] for worker in self.admin.ask("/healthz")[1]["workers"]]

    def connect(self):
        """A socket to the server."""
        host, port = self.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=30)


class Here(Asked):
    """A service in this process, asked as a server asks it; its loop runs in a thread of its own."""

    def __init__(self, app, holder, loop):
        self.app, self.holder, self.loop = app, holder, loop

    def send(self, path, data, headers):
        parts = [] if data is None else [data[at : at + 65536] for at in range(0, len(data), 65536)]
        return self.send_parts(
            path, "GET" if data is None else "POST", parts, {**headers, "Content-Length": len(data or b"")}
        )

    def send_parts(self, path, method, parts, headers, whole=True):
        """Status and text of the answer to a body in parts; not ``whole``: what would come after them does not."""
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        messages += [{"type": "http.request"}] * whole
        return asyncio.run_coroutine_threadsafe(self._answer(path, method, messages, headers), self.loop).result(60)

    async def _answer(self, path, method, messages, headers):
        where, _, query = path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": where, "query_string": query.encode(), "client": ("127.0.0.1", 1), "server": ("here", 80),
            "headers": [(name.lower().encode(), str(value).encode()) for name, value in headers.items()],
        }  # fmt: skip
        left, told = iter(messages), []

        async def receive():
            for message in left:
                return message
            await asyncio.Event().wait()  # a client that waits for its answer

        async def send(message):
            told.append(message)

        try:
            await self.app(scope, receive, send)
        except Exception:
            if not told:  # else a server would log it
                raise
        self.headers = {name.decode(): value.decode() for name, value in told[0]["headers"]}
        return told[0]["status"], b"".join(message.get("body", b"") for message in told[1:]).decode()


@asynccontextmanager
async def started(app):
    """An application between its startup and its shutdown."""
    asked, told = asyncio.Queue(), asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, asked.get, told.put))
    await asked.put({"type": "lifespan.startup"})
    assert (await told.get())["type"] == "lifespan.startup.complete"
    yield
    await asked.put({"type": "lifespan.shutdown"})
    assert (await told.get())["type"] == "lifespan.shutdown.complete"
    await task


@contextmanager
def served_here(run, key="", hosts=(), log=None, **limits):
    from ramen.serve.access import Access
    from ramen.serve.app import make_app
    from ramen.serve.limits import Limits
    from ramen.serve.model_holder import ModelHolder

    holder = ModelHolder(run)
    app = make_app(holder, Limits(**limits), Access(key, hosts), log=log)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    life = started(app)
    try:
        do(life.__aenter__())
        try:
            yield Here(app, holder, loop)
        finally:
            do(life.__aexit__(None, None, None))
    finally:
        do(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def served(run, *options, **environment):
    command = [sys.executable, "-m", "ramen.cli.main", "serve", str(run), "--port", "0", *map(str, options)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        lines, found = [], {}
        while "serving" not in found:
            lines.append(process.stderr.readline())
            assert lines[-1], lines
            if match := re.search(r"(admin|serving) .*?(http://\S+|unix:\S+)$", lines[-1]):
                found[match[1]] = match[2]
        server = Server(process, found["serving"], found.get("admin", ""))
        server.log += lines
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()
                process.wait()


@pytest.fixture
def serve_here():
    """A context: ``serve_here(run, key="x", timeout=1)`` gives a :class:`Here`; limits by their names."""
    return served_here


@pytest.fixture
def serve():
    """A context: ``serve(run, "--timeout", 1, RAMEN_API_KEY="x")`` gives a :class:`Server`. For slow tests."""
    return served


@pytest.fixture(scope="module")
def server(finished_run):
    """The finished run served in this process with the usual limits."""
    with served_here(finished_run, body=3_000_000, work=1_000) as found:
        yield found


@pytest.fixture(scope="module")
def live(finished_run):
    """A server process of the finished run. For slow tests."""
    with served(finished_run, "--max-body", 3_000_000) as found:
        yield found
