"""Completion of a shell: what Typer offers for a line that is being typed."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("line, offered", [("ramen lab", ["labels"]), ("ramen train --pre", ["--preset"])])
def test_bash_gets_verbs_and_options(line, offered):
    asked = {"_RAMEN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    command = [sys.executable, "-m", "ramen"]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (offered, "")


def test_the_help_offers_to_install_it(ramen_here):
    assert "--install-completion" in ramen_here("--help").stdout
