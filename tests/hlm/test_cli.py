"""``hlm`` as a user runs it."""

from __future__ import annotations

import subprocess
import sys

import pytest


def hlm(*arguments, cwd):
    command = [sys.executable, "-m", "hlm_bridge.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def test_a_chain_from_the_command_line(chain_config, tmp_path):
    chain_config()
    first = hlm("teacher", "hlm.yaml", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stderr.rstrip().endswith("next: hlm align hlm.yaml")
    done = hlm("run", "hlm.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| teacher |" in done.stdout and "| refine |" in done.stdout
    assert "next: ramen train" in done.stderr and f"encoder=hlm:{tmp_path / 'chain'}" in done.stderr
    again = hlm("run", "hlm.yaml", "gate.refine=50", cwd=tmp_path)
    assert again.returncode == 0, "a gate that passed is not asked again"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "none.yaml"], "none.yaml: no such file"),
        (["run", "hlm.yaml", "align.step=1"], "unknown key 'align.step'"),
        (["run", "hlm.yaml", "stray"], "argument 'stray': expected key=value"),
        (["refine", "hlm.yaml"], "align: not there yet; run it first: hlm align CONFIG"),
        (["algin", "hlm.yaml"], "No such command 'algin'"),
        (["run", "hlm.yaml", "data.path=nowhere"], "nowhere"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(chain_config, tmp_path, arguments, message):
    chain_config()
    done = hlm(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr
    assert done.stderr.startswith("hlm: ") and done.stderr.count("\n") == 1


def test_a_failed_gate_is_exit_code_1(chain_config, tmp_path):
    chain_config()
    done = hlm("run", "hlm.yaml", "gate.align=30", "align.steps=2", cwd=tmp_path)
    assert done.returncode == 1 and "hlm: gate: align keeps less than 3000% of the teacher" in done.stderr


def test_help_ends_with_examples(tmp_path):
    for verb in ("teacher", "align", "prune", "refine", "run"):
        assert f"hlm {verb} examples/hlm.yaml" in hlm(verb, "--help", cwd=tmp_path).stdout
