"""benchmarks/reference_sets.py on a small set with a tiny encoder."""

import doctest
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "reference_sets.py"


def run(*arguments, **environment):
    without = {key: value for key, value in os.environ.items() if key != "RAMEN_DATA"}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**without, **environment}, timeout=120)


@pytest.mark.slow
def test_writes_figures_time_and_memory_of_a_run(planted, quick, tmp_path):
    done = run("planted", "--seeds", 3, "--graphs", "links", "--out", tmp_path, *quick, RAMEN_DATA=str(planted.parent))
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.glob("reference_sets_*.json")
    facts = json.loads(written.read_text())
    (result,) = facts["results"]
    assert (result["set"], result["system"], result["seed"]) == ("planted", "ramen static", 3)
    assert result["command"].startswith("ramen train $RAMEN_DATA/planted --preset static --graphs links --seed 3 ")
    assert 0 < result["test"]["P@1"] <= 100
    assert 1 < result["seconds"] < 120
    assert 100 < result["peak_mib"] < 20_000  # torch alone takes more than 100
    assert facts["machine"]["cores"] >= 1 and facts["versions"]["torch"]
    table = written.with_suffix(".md").read_text()
    assert f"| planted | ramen static | 1 | {result['test']['P@1']:.2f} |" in table


@pytest.mark.slow
def test_a_failing_run_passes_its_exit_code_on_and_writes_nothing(planted, tmp_path):
    done = run("planted", "--seeds", 0, "--out", tmp_path, "no.such=1", RAMEN_DATA=str(planted.parent))
    assert done.returncode == 2
    assert "unknown key 'no.such'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_refuses_without_data(tmp_path):
    assert "RAMEN_DATA is not set" in run().stderr
    done = run("LF-None", RAMEN_DATA=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"benchmark: {tmp_path / 'LF-None'}: no such folder, expected a data set\n"


def test_the_table_of_the_docstring():
    spec = importlib.util.spec_from_file_location("reference_sets_by_path", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert doctest.testmod(module).failed == 0 < doctest.testmod(module).attempted
