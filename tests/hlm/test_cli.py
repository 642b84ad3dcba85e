"""``hlm`` as a user runs it."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from hlm_bridge.cli import app
from ramen.cli.exits import exits


@pytest.fixture
def hlm(monkeypatch, capsys, tmp_path):
    """``hlm`` in this process, in ``tmp_path``: a process a call is seconds of imports each."""

    def call(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["hlm", *arguments])
        monkeypatch.setattr(logging.getLogger("ramen"), "handlers", [])  # each call adds one
        with pytest.raises(SystemExit) as left:
            exits(app, "hlm")
        out, errors = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, left.value.code, out, errors)

    return call


def shell(*arguments, cwd):
    command = [sys.executable, "-m", "hlm_bridge.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def test_a_wrong_call_from_a_shell(tmp_path):
    done = shell("algin", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("hlm: No such command 'algin'"), done.stderr


@pytest.mark.slow
def test_a_chain_from_a_shell(chain_config, tmp_path):
    chain_config()
    done = shell("run", "hlm.yaml", cwd=tmp_path)
    assert done.returncode == 0 and "| refine |" in done.stdout, done.stderr
    assert "next: ramen train" in done.stderr


def test_a_chain_from_the_command_line(hlm, chain_config, tmp_path):
    chain_config()
    first = hlm("teacher", "hlm.yaml")
    assert first.returncode == 0, first.stderr
    assert first.stderr.rstrip().endswith("next: hlm align hlm.yaml")
    done = hlm("run", "hlm.yaml")
    assert done.returncode == 0, done.stderr
    assert "| teacher |" in done.stdout and "| refine |" in done.stdout
    assert "next: ramen train" in done.stderr and f"encoder=hlm:{tmp_path / 'chain'}" in done.stderr
    again = hlm("run", "hlm.yaml", "gate.refine=50")
    assert again.returncode == 0, "a gate that passed is not asked again"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "none.yaml"], "none.yaml: no such file"),
        (["run", "hlm.yaml", "align.step=1"], "unknown key 'align.step'"),
        (["run", "hlm.yaml", "stray"], "argument 'stray': expected key=value"),
        (["refine", "hlm.yaml"], "align: does not exist yet; first run: hlm align CONFIG"),
        (["algin", "hlm.yaml"], "No such command 'algin'"),
        (["run", "hlm.yaml", "data.path=nowhere"], "nowhere"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(hlm, chain_config, arguments, message):
    chain_config()
    done = hlm(*arguments)
    assert done.returncode == 2 and message in done.stderr
    assert done.stderr.startswith("hlm: ") and done.stderr.count("\n") == 1


def test_a_failed_gate_is_exit_code_1(hlm, chain_config):
    chain_config()
    done = hlm("run", "hlm.yaml", "gate.align=30", "align.steps=2")
    assert done.returncode == 1 and "hlm: gate: align keeps less than 3000% of the teacher" in done.stderr


def test_help_ends_with_examples(hlm):
    for verb in ("teacher", "align", "prune", "refine", "run"):
        assert f"hlm {verb} examples/hlm.yaml" in hlm(verb, "--help").stdout
