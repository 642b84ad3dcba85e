"""benchmarks/going_on.py on the planted set: a row for each way, and the first run's points."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ramen

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.slow
def test_a_row_for_each_way(planted, quick, tmp_path):
    command = [sys.executable, str(BENCHMARKS / "going_on.py"), "planted", "--out", str(tmp_path), *quick]
    environment = {**os.environ, "RAMEN_DATA": str(planted.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "going_on.json").read_text())
    rows = {row["way"]: row for row in facts["rows"]}
    assert list(rows) == ["run on 80 %", "going on from it", "going on, ranking kept", "anew on all"]
    assert all(0 < row["P@1"] <= 100 and row["cpu_seconds"] > 0 for row in rows.values())
    assert facts["points"] == [192, 240] and "| anew on all |" in done.stdout


def test_the_first_run_has_some_of_the_points(planted, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from going_on import first_rows, some_points

    data = ramen.load_dataset(planted)
    rows = first_rows(len(data.train), 0)
    part = some_points(data, rows)
    assert len(rows) == 192 and (np.diff(rows) > 0).all()
    assert part.train.uids == [data.train.uids[row] for row in rows]
    assert (part.train_targets != data.train_targets[rows]).nnz == 0
    pairs = {(part.train.uids[row], label) for row, label in part.train_filter.tolist()}
    uids = set(part.train.uids)
    whole = {(data.train.uids[row], label) for row, label in data.train_filter.tolist()}
    assert pairs == {pair for pair in whole if pair[0] in uids}
