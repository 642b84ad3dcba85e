"""examples/demo.py in a folder of its own, on a machine without a package index."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ramen.data.prepare import prepare

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


def hear_ctrl_c():
    """In a child: a shell lets its background jobs ignore SIGINT, and they pass that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def demo(tmp_path, tiny_backbone):
    """The command of the demo as a started process; small set, tiny encoder, no apt-get."""
    prepare("planted", tmp_path / "data/planted", points=100, labels=40)

    def start(*settings):
        command = [
            sys.executable,
            str(SCRIPT),
            f"encoder.backbone={tiny_backbone}",
            "training.min_steps=1",
            "graph.min_steps=1",
            *settings,
        ]
        # Its own process group, as a terminal gives it: Ctrl-C there reaches the demo and its command.
        return subprocess.Popen(
            command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PATH": str(tmp_path)}, start_new_session=True, preexec_fn=hear_ctrl_c,
        )  # fmt: skip

    return start


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_without_an_index_it_says_so_in_one_line_and_a_second_call_does_not_train(demo, tmp_path):
    code, out, err = finish(demo("training.epochs=1"))
    assert code == 0, err
    lines = out.splitlines()
    assert [line for line in lines if "package index" in line] == [
        "no package index: apt-get is not on PATH; going on with invented texts (recipe planted)"
    ]
    verbs = [line.split()[2] for line in lines if line.startswith("$ ramen")]
    assert verbs == ["data", "train", "eval", "tag"]
    assert len([line for line in lines[lines.index("Next:") - 20 :] if line.startswith("   ")]) == 3 * 5
    assert (tmp_path / "runs/demo/manifest.json").exists()

    written = (tmp_path / "runs/demo/manifest.json").stat().st_mtime_ns
    code, out, err = finish(demo("training.epochs=1"))
    assert code == 0, err
    assert "holds a finished run: not trained again" in out
    assert [line.split()[2] for line in out.splitlines() if line.startswith("$ ramen")] == ["eval", "tag"]
    assert (tmp_path / "runs/demo/manifest.json").stat().st_mtime_ns == written


def test_exit_code_of_a_failing_command_is_passed_on(demo):
    code, out, err = finish(demo("no.such=1"))
    assert code == 2
    assert "ramen: unknown key 'no.such'" in err
    assert "$ ramen eval" not in out


def test_ctrl_c_in_training_ends_it_and_the_next_call_goes_on(demo, tmp_path):
    process = demo("training.epochs=2000")
    log = tmp_path / "runs/demo/log.jsonl"
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = finish(process)
    assert code == 130
    assert "start it again to go on" in err and "Traceback" not in err
    code, out, _ = finish(demo("training.epochs=1"))  # other settings: it resumes, and so refuses
    assert "--resume" in out
    assert code == 2
