"""A real ``ramen serve`` on a free port."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

pytest.importorskip("fastapi")


class Server:
    """A running server: its process and address."""

    def __init__(self, process, url):
        self.process, self.url, self.log = process, url, []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)

    def ask(self, path, body=None, raw=None, **headers):
        """Status and decoded answer; a body goes as JSON."""
        data = json.dumps(body).encode() if body is not None else raw
        headers = {"Content-Type": "application/json", **{name.replace("_", "-"): v for name, v in headers.items()}}
        asked = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        return status, json.loads(text) if text.startswith("{") else text


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
def serve():
    """A context: ``serve(run, "--timeout", 1, RAMEN_API_KEY="x")`` gives a :class:`Server`."""
    return served


@pytest.fixture(scope="module")
def server(finished_run):
    """A server of the finished run with the usual limits."""
    with served(finished_run, "--max-body", 3_000_000) as found:
        yield found
