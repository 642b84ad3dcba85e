"""A run that is stopped goes on; one that is whole is not written over."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ramen
from ramen.errors import InputError

CHOSEN = ("chosen", "validation")


def test_a_run_has_its_files_and_figures(finished_run: Path):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    assert {"P@1", "P@5", "PSP@5", "R@10", "nDCG@3", "PSnDCG@5"} <= set(metrics["test"])
    assert metrics["propensity"]["A"] == 0.55
    for name in ("config.yaml", "labels.jsonl.gz", "log.jsonl", "manifest.json", "encoder/modules.json"):
        assert (finished_run / name).is_file()
    assert not (finished_run / "checkpoints").exists()


def test_same_seed_same_figures(finished_run: Path, planted: Path, searching: list[str], tmp_path: Path):
    again = ramen.train(planted, out=tmp_path / "again", overrides=searching)
    first, second = (json.loads((run / "metrics.json").read_text()) for run in (finished_run, again))
    assert first == second


def test_the_test_split_chooses_nothing(finished_run: Path, planted: Path, searching: list[str], tmp_path: Path):
    dataset = ramen.load_dataset(planted)
    none = dataset.test_targets[:0]
    for texts in (dataset.test.uids, dataset.test.titles, dataset.test.contents):
        texts.clear()
    dataset.test_targets, dataset.test_filter = none, dataset.test_filter[:0]
    run = ramen.train(dataset, out=tmp_path / "untested", overrides=searching)
    with_test = json.loads((finished_run / "metrics.json").read_text())
    without = json.loads((run / "metrics.json").read_text())
    assert "test" not in without
    assert [without[key] for key in CHOSEN] == [with_test[key] for key in CHOSEN]


def hear_ctrl_c() -> None:
    """In a child: a shell lets its background jobs ignore SIGINT, and they pass that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_ctrl_c_then_resume(planted: Path, quick: list[str], tmp_path: Path):
    out = tmp_path / "run"
    slow = [item.replace("training.epochs=3", "training.epochs=120") for item in quick]
    command = [sys.executable, "-m", "ramen.cli.main", "train", str(planted), "--out", str(out), *slow]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c
    )
    deadline = time.monotonic() + 120
    while not (out / "log.jsonl").exists() or '"encoder"' not in (out / "log.jsonl").read_text():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "no epoch within two minutes"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 130, message
    assert "--resume" in message
    with pytest.raises(InputError, match="unfinished run"):
        ramen.Tagger.load(out)
    with pytest.raises(InputError, match="--resume"):
        ramen.train(planted, out=out, overrides=slow)
    with pytest.raises(InputError, match="other settings"):
        ramen.train(planted, out=out, overrides=quick, resume=True)
    ramen.train(planted, out=out, overrides=slow, resume=True)
    assert ramen.Tagger.load(out).tag(["a text"], k=3)


def test_a_finished_run_is_not_written_over(finished_run: Path, planted: Path, quick: list[str]):
    before = (finished_run / "manifest.json").read_bytes()
    for resume in (False, True):
        with pytest.raises(InputError, match="finished run"):
            ramen.train(planted, out=finished_run, overrides=quick, resume=resume)
    assert (finished_run / "manifest.json").read_bytes() == before


def test_unknown_graph_names_the_nearest(planted: Path, quick: list[str], tmp_path: Path):
    with pytest.raises(InputError, match="did you mean 'links'"):
        ramen.train(planted, out=tmp_path / "run", graphs="link", overrides=quick)
    assert not (tmp_path / "run").exists()
