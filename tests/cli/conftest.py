"""Runs the command line as a process of its own."""

import subprocess
import sys

import pytest


@pytest.fixture
def ramen(tmp_path):
    """``ramen("data", "check", folder)`` in an empty folder; bytes for ``stdin``, ``code`` to run beforehand."""

    def call(*arguments, stdin=b"", code=""):
        script = f"{code}\nfrom ramen.cli.main import main\nmain()"
        command = [sys.executable, "-c", script] if code else [sys.executable, "-m", "ramen.cli.main"]
        done = subprocess.run([*command, *map(str, arguments)], input=stdin, capture_output=True, cwd=tmp_path)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done

    return call
