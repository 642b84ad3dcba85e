"""The service without a socket, and a real ``ramen serve`` on a free port."""

from __future__ import annotations

import asyncio
import json
import os
import re
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
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


class Server(Address):
    """A running server: its process and address."""

    def __init__(self, process, url):
        super().__init__(url)
        self.process, self.log = process, []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)


class Here(Asked):
    """A service in this process, asked as a server asks it; its loop runs in a thread of its own."""

    def __init__(self, app, loop, client):
        self.app, self.loop, self.client = app, loop, client

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
            "path": where, "query_string": query.encode(), "client": (self.client, 1), "server": ("here", 80),
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
def served_here(run, key="", client="127.0.0.1", **limits):
    from ramen.serve.app import make_app
    from ramen.serve.limits import Limits
    from ramen.serve.model_holder import ModelHolder

    app = make_app(ModelHolder(run), Limits(**limits), key)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    life = started(app)
    try:
        do(life.__aenter__())
        try:
            yield Here(app, loop, client)
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
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
    try:
        first = process.stderr.readline()
        found = re.search(r"http://\S+", first)
        assert found, first
        yield Server(process, found[0])
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


@pytest.fixture
def until_asked(ramen_here, monkeypatch):
    """``until_asked(ask, run, "--timeout", 1)``: ``ramen serve`` in this process until ``ask(address)`` returns."""

    def call(ask, *arguments):
        async def main_loop(server):
            port = server.servers[0].sockets[0].getsockname()[1]
            await asyncio.to_thread(ask, Address(f"http://127.0.0.1:{port}"))

        monkeypatch.setattr("uvicorn.Server.main_loop", main_loop)
        return ramen_here("serve", *arguments, "--port", 0)

    return call


@pytest.fixture(scope="module")
def server(finished_run):
    """The finished run served in this process with the usual limits."""
    with served_here(finished_run, body=3_000_000) as found:
        yield found


@pytest.fixture(scope="module")
def live(finished_run):
    """A server process of the finished run. For slow tests."""
    with served(finished_run, "--max-body", 3_000_000) as found:
        yield found
