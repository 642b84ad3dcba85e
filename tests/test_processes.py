"""A run in processes and threads that a host program starts: none hangs, none answers otherwise.

Each script is a program of its own, as each needs a process that nothing has touched before.
"""

import os
import subprocess
import sys

import pytest

import ramen

pytestmark = pytest.mark.slow

TEXTS = """
import os, sys
import ramen.threads
from ramen import Tagger
ramen.threads._LEAST = 1  # threads even for these few labels
run, data = sys.argv[1:]
TEXTS = [f"{a} {b}" for a in ("one", "two", "three", "four") for b in ("text", "word", "label")] * 8
def tags(tagger):
    return [[label["uid"] for label in labels] for labels in tagger.tag(TEXTS, k=5)]
"""

POOL = """
import multiprocessing
tagger = Tagger.load(run)
def child(number):
    return tags(tagger)
if __name__ == "__main__":
    here = tags(tagger)
    with multiprocessing.get_context({method!r}).Pool(3) as pool:
        assert pool.map_async(child, range(6)).get(100) == [here] * 6
    assert tags(tagger) == here and all(here)
"""

FORK = """
import numpy as np, scipy.sparse as sp
import ramen
from ramen.metrics import precision
def everything(_=None):
    loaded = ramen.load_dataset(data)
    figures = precision(sp.csr_matrix(np.eye(5)), sp.csr_matrix(np.eye(5)), k=1)
    return loaded.n_labels, float(np.ravel(figures)[0])
if __name__ == "__main__":
    import multiprocessing
    here = everything()
    with multiprocessing.Pool(2) as pool:  # Linux forks by default
        assert pool.map_async(everything, range(4)).get(100) == [here] * 4
"""

PRELOAD = """
# As gunicorn --preload: the app and its kernels are warm in the parent, workers are forked and answer from threads.
import concurrent.futures as futures
tagger = Tagger.load(run)
here = tags(tagger)
workers = []
for _ in range(2):
    pid = os.fork()
    if not pid:
        with futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: tags(tagger), range(8)))
        os._exit(0 if answers == [here] * 8 and all(here) else 1)
    workers.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in workers] == [0, 0]
"""

FORK_BESIDE = """
# A thread forks while others tag.
import threading
tagger, stop, states = Tagger.load(run), [], []
here = tags(tagger)
def caller():
    while not stop:
        tags(tagger)
def forker():
    for _ in range(8):
        pid = os.fork()
        if not pid:
            os._exit(0 if tags(tagger) == here else 1)
        states.append(os.waitpid(pid, 0)[1])
callers = [threading.Thread(target=caller) for _ in range(3)]
forking = threading.Thread(target=forker)
[thread.start() for thread in (*callers, forking)]
forking.join()
stop.append(1)
[thread.join() for thread in callers]
assert states == [0] * 8
"""

LOKY = """
from joblib import Parallel, delayed
def child(run):
    return tags(Tagger.load(run))
if __name__ == "__main__":
    here = tags(Tagger.load(run))
    assert Parallel(2)(delayed(child)(run) for _ in range(3)) == [here] * 3
"""

THREADS = """
import threading
tagger, wrong = Tagger.load(run), []
here = tags(tagger)
def caller():
    for _ in range(10):
        if tags(tagger) != here:
            wrong.append(1)
callers = [threading.Thread(target=caller) for _ in range(8)]
[thread.start() for thread in callers]
[thread.join() for thread in callers]
assert not wrong and all(here)
"""

LOOP = """
import asyncio
tagger = Tagger.load(run)
async def cell():  # Jupyter runs cells in a running loop
    here = tags(tagger)
    there = await asyncio.gather(*(asyncio.to_thread(tags, tagger) for _ in range(4)))
    return all(answer == here for answer in there)
assert asyncio.run(cell())
"""

SIGNALS = """
import signal
seen, environment = [], dict(os.environ)
handlers = {number: lambda number, frame: seen.append(number) for number in (signal.SIGCHLD, signal.SIGTERM)}
for number, handler in handlers.items():
    signal.signal(number, handler)
tagger = Tagger.load(run)
here = tags(tagger)
os.kill(os.getpid(), signal.SIGTERM)
if not os.fork():
    os._exit(0 if tags(tagger) == here else 1)
assert os.wait()[1] == 0 and tags(tagger) == here
assert seen == [signal.SIGTERM, signal.SIGCHLD]
assert all(signal.getsignal(number) is handler for number, handler in handlers.items())
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert dict(os.environ) == environment and "torch" not in sys.modules
"""

AT_EXIT = """
import atexit
tagger = Tagger.load(run)
here = tags(tagger)
atexit.register(lambda: print("same" if tags(tagger) == here else "other"))
"""


def play(folder, script, *arguments):
    """What a program prints that has to end well, and soon."""
    program = folder / "host.py"  # a file: spawned children import it
    program.write_text(TEXTS + script)
    done = subprocess.run(
        [sys.executable, program, *arguments],
        capture_output=True, text=True, timeout=150, env={**os.environ, "RAMEN_THREADS": "3"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


TRAIN = """
import multiprocessing
import ramen
def train(number):
    settings = SETTINGS
    return str(ramen.train(data, out=run + str(number), graphs="none", overrides=settings))
if __name__ == "__main__":
    train(0)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.map_async(train, [1]).get(100)
"""


def test_a_forked_child_trains(planted, quick, tmp_path):
    settings = [*quick, "sparse.passes=0", "dense.epochs=0"]
    play(tmp_path, TRAIN.replace("SETTINGS", repr(settings)), tmp_path / "run", planted)


def test_a_forked_child_encodes_with_a_transformer(planted, searching, tmp_path):
    settings = [*searching, "training.max_steps=2", "sparse.passes=0", "dense.epochs=0", "graph.lambda=fixed"]
    run = ramen.train(planted, preset="transformer", out=tmp_path / "run", overrides=settings)
    play(tmp_path, POOL.format(method="fork").replace("TEXTS", "TEXTS * 8"), run, planted)


@pytest.mark.parametrize(
    "script",
    [
        POOL.format(method="fork"),
        POOL.format(method="spawn"),
        POOL.format(method="forkserver"),
        FORK,
        PRELOAD,
        FORK_BESIDE,
        LOKY,
        THREADS,
        LOOP,
        SIGNALS,
        AT_EXIT,
    ],
    ids=[
        "fork",
        "spawn",
        "forkserver",
        "fork-data",
        "preload",
        "fork-beside",
        "loky",
        "threads",
        "loop",
        "signals",
        "at-exit",
    ],
)
def test_a_host_program(finished_run, planted, tmp_path, script):
    assert play(tmp_path, script, finished_run, planted) in ("", "same\n")
