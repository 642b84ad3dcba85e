"""One run on two ranks: as torchrun starts them on one machine, and by hand as on two machines."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import ramen
from ramen.inference.labels import add_labels

pytestmark = pytest.mark.slow
# Batches by chance: clusters are a decision, which the last bit of a vector can turn.
SETTINGS = ["training.negatives=batch"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
RAMEN = ["-m", "ramen.cli.main"]


def torchrun(*arguments, timeout=200):
    return subprocess.run([*TORCHRUN, *RAMEN, *map(str, arguments)], capture_output=True, text=True, timeout=timeout)


def start_ranks(arguments, port, **changed):
    """Two processes that only the network joins; ``changed``: more arguments of the second."""
    ranks = []
    for rank in range(2):
        environment = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        environment.update(LOCAL_WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        command = [sys.executable, *RAMEN, *map(str, arguments), *(changed.get("second", []) if rank else [])]
        ranks.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    return ranks


@pytest.fixture
def port():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


# Ends in the second epoch, after a checkpoint in the middle of it.
STOPPED = """
import os, sys
import ramen, ramen.checkpoint as kept
kept._EVERY_SECONDS = 0.0
save, calls = kept.Checkpoint.save, []
def stopping(self, *arguments, **named):
    save(self, *arguments, **named)
    calls.append(1)
    if len(calls) == 5:
        os._exit(1)
kept.Checkpoint.save = stopping
ramen.train(sys.argv[1], out=sys.argv[2], overrides=sys.argv[3:])
"""


def wait_for_training(run: Path):
    stop = time.monotonic() + 60
    while time.monotonic() < stop:
        if (run / "log.jsonl").exists() and '"encoder"' in (run / "log.jsonl").read_text():
            return
        time.sleep(0.1)
    raise AssertionError("no epoch in a minute")


def without_end(quick):
    kept = [setting for setting in quick if not setting.startswith("training.epochs")]
    return [*kept, *SETTINGS, "training.epochs=100000", "training.max_steps=10000000", "validation.share=0"]


def stages(run: Path):
    return [json.loads(line)["stage"] for line in (run / "log.jsonl").read_text().splitlines()]


def vectors(run: Path, *scorers: str):
    return [load_file(run / "scorers" / name / "vectors.safetensors")["vectors"] for name in scorers]


def test_two_ranks_train_what_one_process_does(planted, quick, tmp_path):
    settings = [*quick, *SETTINGS, "sparse.passes=0"]
    one = ramen.train(planted, out=tmp_path / "one", overrides=settings)
    done = torchrun("train", planted, "--out", tmp_path / "two", *settings)
    assert done.returncode == 0, done.stderr[-3000:]
    two = tmp_path / "two"
    for found, expected in zip(vectors(two, "encoder"), vectors(one, "encoder"), strict=True):
        np.testing.assert_allclose(found, expected, atol=5e-4)  # products round to eight bits
    chosen, others = (json.loads((run / "metrics.json").read_text()) for run in (one, two))
    assert chosen["chosen"] == others["chosen"]
    np.testing.assert_allclose(list(chosen["test"].values()), list(others["test"].values()), atol=1e-4)
    assert stages(two) == stages(one)
    assert ramen.evaluate(two, planted)


def test_all_that_a_run_decides_is_decided_once(planted, searching, tmp_path):
    """All that is decided on the way: graphs, clusters, the sparse scorer, dense classifiers with a shortlist."""
    settings = [*searching, "training.hard_from=1", "dense.all_labels=50", "dense.kind=shortlist"]
    done = torchrun("train", planted, "--out", tmp_path / "run", *settings)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {"search", "rank", "time"} <= set(stages(tmp_path / "run"))


def test_two_ranks_go_on_from_a_run(planted, finished_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    add_labels(run, [{"uid": "new", "text": "solar charger"}])
    one = ramen.train_from(run, planted, out=tmp_path / "one", overrides=SETTINGS)
    done = torchrun("train", planted, "--from", run, "--out", tmp_path / "two", *SETTINGS)
    assert done.returncode == 0, done.stderr[-3000:]
    two = tmp_path / "two"
    np.testing.assert_allclose(vectors(two, "encoder")[0], vectors(one, "encoder")[0], atol=5e-4)
    assert stages(two) == stages(one) and ramen.evaluate(two, planted)


def test_a_run_goes_on_with_another_number_of_ranks(planted, quick, tmp_path):
    quick = [setting for setting in quick if not setting.startswith("dense.epochs")]
    settings = [*quick, *SETTINGS, "sparse.passes=0", "dense.epochs=0", "validation.share=0"]
    whole = ramen.train(planted, out=tmp_path / "whole", overrides=settings)
    for first, then in ((2, 1), (1, 2)):
        out = tmp_path / f"from {first}"
        driver = tmp_path / "stop.py"
        driver.write_text(STOPPED)
        launch = [sys.executable] if first == 1 else TORCHRUN
        subprocess.run([*launch, str(driver), str(planted), str(out), *settings], capture_output=True, timeout=120)
        assert (out / "checkpoints" / "search-1.safetensors").exists()
        command = ["train", planted, "--out", out, "--resume", *settings]
        if then == 1:
            ramen.train(planted, out=out, overrides=settings, resume=True)
        else:
            assert torchrun(*command).returncode == 0
        np.testing.assert_allclose(vectors(out, "encoder")[0], vectors(whole, "encoder")[0], atol=1e-4)


def test_a_rank_that_dies_ends_the_others_with_its_name(planted, quick, tmp_path, port):
    endless = without_end(quick)
    ranks = start_ranks(["train", planted, "--out", tmp_path / "run", *endless], port)
    wait_for_training(tmp_path / "run")
    ranks[1].kill()
    killed = time.monotonic()
    said = ranks[0].communicate(timeout=60)[1]
    assert ranks[0].returncode == 1 and time.monotonic() - killed < 30
    assert re.search(rf"ramen: rank 1 \(.*process {ranks[1].pid}\) died.*--resume", said), said[-2000:]


def test_torchrun_ends_a_run_whose_rank_was_killed(planted, quick, tmp_path):
    endless = without_end(quick)
    command = [*TORCHRUN, *RAMEN, "train", str(planted), "--out", str(tmp_path / "run"), *endless]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        wait_for_training(tmp_path / "run")
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        of_rank_1 = [p for p in children if b"\0RANK=1\0" in Path(f"/proc/{p}/environ").read_bytes()]
        os.kill(int(of_rank_1[0]), signal.SIGKILL)
        killed = time.monotonic()
        said = run.communicate(timeout=60)[1]
    assert run.returncode == 1 and time.monotonic() - killed < 30
    assert re.search(r"rank\s*: 1 ", said), said[-3000:]


def test_ranks_that_disagree_are_refused(planted, quick, tmp_path, port):
    command = ["train", planted, "--out", tmp_path / "run", *quick]
    ranks = start_ranks(command, port, second=["--seed", "3"])
    said = [rank.communicate(timeout=60)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [2, 2]
    assert "ramen: rank 1" in said[1] and "differ in settings: found seed: 3, rank 0 has seed: 0" in said[1], said[1]
    assert "ramen: rank 1 has another command" in said[0], said[0]
    assert not (tmp_path / "run").exists()


def test_an_error_of_the_first_rank_is_said_once(planted, quick, tmp_path, port):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep")
    ranks = start_ranks(["train", planted, "--out", tmp_path / "run", *quick], port)
    said = [rank.communicate(timeout=60)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [2, 2]
    assert said[0].count("not empty") == 1 and not said[1].strip(), said
