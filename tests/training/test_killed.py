"""A run that is killed with SIGKILL, again and again, ends as one that never was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 20
# One process that imports everything and then forks: importing torch twenty times would take a minute. No thread is
# started before the forks.
DRIVER = """
import os, random, signal, sys, time
import ramen, ramen.checkpoint, ramen.training.train
from ramen.training import train as module
ramen.checkpoint._EVERY_SECONDS = 0.0  # keeps every batch
data, out, kills, settings = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
chance = random.Random(5)
for attempt in range(kills + 1):
    resume = os.path.exists(os.path.join(out, "config.yaml"))
    read, write = os.pipe()
    child = os.fork()
    if not child:
        prepare = module.prepare
        def told(*arguments):
            made = prepare(*arguments)
            os.write(write, b".")
            return made
        module.prepare = told
        ramen.train(data, out=out, overrides=settings, resume=resume)
        os._exit(0)
    if attempt < kills:
        os.read(read, 1)  # the data are read, training begins
        time.sleep(chance.uniform(0.0, float(os.environ["LONGEST"])))
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    os.close(read), os.close(write)
    if os.WIFEXITED(status):
        print(attempt, "kills", flush=True)
        sys.exit(os.WEXITSTATUS(status))
"""


def drive(data: Path, out: Path, kills: int, settings: list[str], longest: float) -> int:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "LONGEST": str(longest)}
    command = [sys.executable, "-c", DRIVER, str(data), str(out), str(kills), *settings]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-2])


def whole(run: Path) -> dict[str, bytes]:
    names = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name != "log.jsonl"]
    return {str(path.relative_to(run)): path.read_bytes() for path in names}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("bandit", [False, True], ids=["as set", "bandit"])
def test_a_run_killed_at_random_points_ends_with_the_same_bytes(planted, searching, tmp_path, bandit):
    weights = "graph.lambda=bandit" if bandit else "graph.lambda=fixed"
    settings = [*searching, "sparse.choose=false", weights, "training.hard_from=1"]
    runs = [tmp_path / "straight/run", tmp_path / "killed/run"]  # of one name, which the card says
    drive(planted, runs[0], 0, settings, 0)
    kills = drive(planted, runs[1], KILLS // 2, settings, 0.8)
    assert kills >= KILLS // 4, "it was over before it was killed often"
    straight, killed = whole(runs[0]), whole(runs[1])
    assert straight.keys() == killed.keys()
    assert [name for name in straight if straight[name] != killed[name]] == []
