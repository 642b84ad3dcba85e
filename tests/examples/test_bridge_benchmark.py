"""The bridge benchmark on a small set under the real one's name: chains, rows and controls, kept and written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_chains_and_controls_are_kept_and_written(planted, tiny_backbone, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/LF-ManSeeAlso").symlink_to(planted)
    words = [f"teacher.backbone={tiny_backbone}", "data.pairs=1.0", "teacher.epochs=1", "teacher.max_pairs=32"]
    words += ["align.steps=5", "align.batch_size=32", "refine.steps=3", "refine.batch_size=32"]
    words += ["gate.align=0", "gate.refine=0", "gate.own=off", "gate.share=0.2"]
    only = ["--parts", "chains", "backbone", "joined", "controls", "--cases", "10 %"]
    only += [
        "--only",
        "10 %",
        "align by l2",
        "both towers at once",
        "no bridge, no graph",
        "oracle bridge (refine), graph",
    ]
    only += ["all scorers, bridge"]
    command = [sys.executable, str(BENCHMARKS / "bridge.py"), *only, "--work", str(tmp_path / "w")]
    command += ["--out", str(tmp_path / "out"), *words]
    environment = {**os.environ, "RAMEN_DATA": str(tmp_path / "data")}
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
        assert done.returncode == 0, done.stderr
    assert "control" not in done.stderr, "a second call measures nothing again"
    found = json.loads((tmp_path / "out/bridge.json").read_text())
    assert list(found["chains"]) == ["10 %", "10 %, oracle"] and len(found["chains"]["10 %"]["rows"]) == 3
    assert [row["row"] for row in found["controls"]] == ["align by l2", "both towers at once"]
    rows = ["no bridge, no graph", "oracle bridge (refine), graph", "all scorers, bridge"]
    assert [row["row"] for row in found["backbone"]] == rows
    page = (tmp_path / "out/bridge.md").read_text()
    assert "| refine |" in page and "| both towers at once |" in page
