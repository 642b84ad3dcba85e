"""examples/own_texts.py as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from ramen.data import check

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "own_texts.py"


def test_writes_a_sound_data_set_trains_and_tags(tiny_backbone, tmp_path):
    command = [sys.executable, str(SCRIPT), "--backbone", str(tiny_backbone), "--out", "own"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert check(tmp_path / "own/data").problems == []
    tags = [line.split()[1] for line in done.stdout.splitlines()]
    assert set(tags[:2]) == {"soup", "vegetables"}
    assert len(tags) == 3
