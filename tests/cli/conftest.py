"""Runs the command line: in this process, or as a process of its own."""

import subprocess
import sys

import pytest


@pytest.fixture
def ramen(ramen_here):
    """See :func:`ramen_here`."""
    return ramen_here


@pytest.fixture
def ramen_process(tmp_path):
    """The same as a process, with ``code`` to run beforehand."""

    def call(*arguments, stdin=b"", code=""):
        script = f"{code}\nfrom ramen.cli.main import main\nmain()"
        command = [sys.executable, "-c", script] if code else [sys.executable, "-m", "ramen.cli.main"]
        done = subprocess.run([*command, *map(str, arguments)], input=stdin, capture_output=True, cwd=tmp_path)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done

    return call
