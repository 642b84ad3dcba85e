"""benchmarks/gpu.py: toy sizes on the CPU, parts that fail, and the refusal without a card."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
without_card = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@pytest.fixture
def gpu(monkeypatch):
    """The benchmark's modules, as its own process imports them; no call leaves anything in the environment."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setitem(os.environ, "RAMEN_CACHE", os.environ["RAMEN_CACHE"])
    import gpu

    return gpu


@pytest.fixture
def call(gpu, monkeypatch, tmp_path):
    """A function that runs toy sizes of some parts and returns the exit code and the results."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["gpu.py", "--tiny", "--out", str(tmp_path), *words])
        code = gpu.main()
        return code, json.loads((tmp_path / "gpu.json").read_text())

    return run


def fails(context):
    yield {"before": 1}
    raise torch.OutOfMemoryError("too large")


def never_ends(context):
    yield {"before": 2}
    while True:
        time.sleep(0.01)


@pytest.mark.slow
def test_every_part_writes_its_rows(planted, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/LF-ManSeeAlso").symlink_to(planted)
    environment = {**os.environ, "RAMEN_DATA": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--tiny", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "gpu.json").read_text())
    assert set(facts["roofs"]) == {"bf16_tflops", "tf32_tflops", "fp32_tflops", "copy_gb_s"}
    parts = {part["part"]: part for part in facts["parts"]}
    names = ["tests", "step", "encode", "head", "topk", "query_encoders", "man", "planted", "profile"]
    assert list(parts) == names and not [part["error"] for part in parts.values() if "error" in part]
    printed = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"part"')]
    assert printed == facts["parts"]
    rows = {name: part["rows"] for name, part in parts.items()}
    assert [row["what"] for row in rows["step"]] == ["eager", "full texts", "torch.compile"]
    assert rows["step"][0]["calls"] <= 4 and rows["step"][0]["step_by_bound"] > 0
    assert rows["step"][1]["calls"] > rows["step"][0]["calls"], "in chunks"
    assert [row["what"] for row in rows["encode"]] == ["bfloat16", "exact"]
    assert [row.get("products") for row in rows["head"]] == [3, 4, 2, 3, None]
    assert rows["topk"][0]["certified_percent"] == 100 and rows["topk"][1]["same_rows_percent"] > 99
    assert len(rows["query_encoders"]) == 4 and rows["query_encoders"][0]["student_is_faster"]["1"] == 1
    assert rows["man"][1]["test_points"] == rows["planted"][1]["test_points"] == 60
    assert {row["of"] for row in rows["profile"]} >= {"step: eager", "encode: bfloat16"}
    checks = [one for part in parts.values() for row in part["rows"] for one in row.get("checks", ())]
    assert all(set(one) == {"what", "measured", "relation", "target", "met"} for one in checks)
    assert done.stdout.count("\n| ") == len(checks) + 1, "a line for each, and the heading"


def test_a_part_that_fails_is_recorded_and_the_others_run(gpu, call, monkeypatch, capsys):
    monkeypatch.setitem(gpu.PARTS, "step", (fails, 1))
    monkeypatch.setitem(gpu.PARTS, "encode", (never_ends, 1))
    code, facts = call("--only", "step,encode,head", "--minutes", "0.1")
    assert code == 0
    step, encode, head = facts["parts"]
    assert step["rows"] == [{"before": 1}] and step["error"] == "OutOfMemoryError: too large"
    assert encode["rows"] == [{"before": 2}] and encode["error"].startswith("stopped after its share")
    assert "error" not in head and len(head["rows"]) == 5
    assert "| step | OutOfMemoryError: too large | | | no |" in capsys.readouterr().out


def test_rows_are_on_disk_before_the_part_ends(gpu, call, monkeypatch, tmp_path):
    found = []

    def looks(context):
        yield {"first": True}
        found.extend(json.loads((tmp_path / "gpu.json").read_text())["parts"])
        yield {"second": True}

    monkeypatch.setitem(gpu.PARTS, "head", (looks, 1))
    call("--only", "head")
    assert found[0]["rows"] == [{"first": True}]


def test_a_broken_card_leaves_the_other_parts_to_a_new_process(gpu, call, monkeypatch):
    replaced = []
    monkeypatch.setitem(gpu.PARTS, "step", (fails, 1))
    monkeypatch.setattr(gpu, "_device_works", lambda: False)
    monkeypatch.setattr(os, "execv", lambda path, words: replaced.extend(words))
    call("--only", "step,head,profile")
    assert replaced[replaced.index("--only") + 1] == "head,profile" and "--append" in replaced and "--tiny" in replaced


def test_append_keeps_the_other_parts(call):
    assert call("--only", "profile")[0] == 0
    code, facts = call("--only", "tests", "--append", "--minutes", "0")
    assert code == 0 and [part["part"] for part in facts["parts"]] == ["profile", "tests"]


def test_tests_that_take_too_long_are_stopped_and_say_so(gpu, tmp_path):
    context = gpu.Context(True, tmp_path)  # its time is over: a second is left
    (row,) = gpu.cuda_tests(context)
    assert row["exit"] is None and row["summary"] == "stopped: no time left" and row["checks"][0]["met"] is None


@without_card
def test_without_a_card_it_says_so(gpu, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(tmp_path)])
    assert gpu.main() == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "no CUDA device" in said and not list(tmp_path.iterdir())


def test_an_unknown_part_is_refused(call, capsys):
    with pytest.raises(SystemExit) as ended:
        call("--only", "head,steps")
    assert ended.value.code == 2 and "no part steps" in capsys.readouterr().err


def test_busy_time_counts_kernels_once_and_no_ranges(gpu):
    import gpu_parts

    cuda, cpu = torch.autograd.DeviceType.CUDA, torch.autograd.DeviceType.CPU

    def event(start, end, name="gemm", device=cuda, is_range=False):
        span = SimpleNamespace(start=start, end=end)
        return SimpleNamespace(time_range=span, name=name, device_type=device, is_user_annotation=is_range)

    events = [event(5, 9), event(0, 4), event(2, 6), event(20, 21), event(7, 8)]
    events += [
        event(0, 99, "Optimizer.step#AdamW.step", is_range=True),
        event(30, 40, "Memcpy HtoD"),
        event(0, 50, device=cpu),
    ]
    assert gpu_parts.covered(gpu_parts.kernel_spans(events)) == 10
