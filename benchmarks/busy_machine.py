"""A run that is trained and that tags, alone on the machine and beside processes that keep all cores busy.

    python benchmarks/busy_machine.py DATA [KEY=VALUE ...] [--loops 0 6] [--repeats 5] [--only train tag warm cold]
        [--python this=.venv/bin/python before=OTHER/.venv/bin/python] [--out FOLDER]

Threads that wait actively, as those of OpenMP and BLAS do by default, lose whole time slices to the other processes. A
fair share of C cores beside N loops is C / (C + N) of them: two cores beside six loops should make two threads four
times as slow. ``--python`` measures other interpreters, such as that of an older clone, turn about.
``cold`` and ``warm`` are ``ramen tag`` without and with the compiled kernels of an earlier call.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from reference_sets import _commit, machine

ROOT = Path(__file__).resolve().parents[1]
TAG = """
import sys, time
from ramen import Tagger
tagger = Tagger.load(sys.argv[1])
texts = tagger.run.texts[:60]
seconds = []
for text in [text for text in texts if text.strip()]:
    start = time.perf_counter()
    tagger.tag([text])
    seconds.append(time.perf_counter() - start)
print(sorted(seconds[10:])[len(seconds[10:]) // 2])
"""


def main() -> int:
    """Measure and write the result; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("settings", nargs="*", help="of ramen train")
    parser.add_argument("--loops", type=int, nargs="+", default=[0, 6])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=["train", "tag", "warm", "cold"])
    parser.add_argument("--python", nargs="+", default=[f"this={sys.executable}"], help="NAME=FILE of each, turn about")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        pythons = dict(item.split("=", 1) for item in options.python)
        run = Path(work) / "run"  # one for all to tag with
        train(next(iter(pythons.values())), options.data, run, options.settings)
        rows = [
            {"what": what, "loops": loops, "of": name, **seconds_of(values)}
            for what in options.only
            for loops in options.loops
            for name, values in measured(what, loops, options, pythons, run).items()
        ]
    facts = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine(), "rows": rows}
    facts |= {"data": options.data.name, "settings": options.settings, "repeats": options.repeats}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "busy_machine.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def measured(
    what: str, loops: int, options: argparse.Namespace, pythons: dict[str, str], run: Path
) -> dict[str, list[float]]:
    """Seconds of each interpreter."""
    found: dict[str, list[float]] = {name: [] for name in pythons}
    work: dict[str, Callable[[str, Path], float]] = {
        "train": lambda python, run: train(python, options.data, run.with_name("again"), options.settings),
        "tag": lambda python, run: float(call(python, "-c", TAG, run).stdout),
        "warm": lambda python, run: timed(lambda: tag(python, run)),
        "cold": cold,
    }
    with busy(loops):
        for _ in range(options.repeats):
            for name, python in pythons.items():
                found[name].append(work[what](python, run))
                print(f"{what:6} beside {loops} loops  {found[name][-1]:9.4f} s  {name}", flush=True)
    return found


def seconds_of(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median_s": statistics.median(values), "least_s": min(values), "most_s": max(values)}


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that do nothing, all the time."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def call(python: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess:
    """A Python process that has to succeed."""
    return subprocess.run(
        [python, *arguments], check=True, capture_output=True, text=True, env={**os.environ, **environment}
    )


def timed(work: Callable[[], object]) -> float:
    """Seconds that work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def train(python: str, data: Path, run: Path, settings: list[str]) -> float:
    """Seconds of ``ramen train``; a run that is there gives way."""
    subprocess.run(["rm", "-rf", run], check=True)
    return timed(lambda: call(python, "-m", "ramen.cli.main", "train", data, "--out", run, *settings))


def tag(python: str, run: Path, **environment: str) -> None:
    """Tag one text from the command line."""
    call(python, "-m", "ramen.cli.main", "tag", run, "a text about words", **environment)


def cold(python: str, run: Path) -> float:
    """Seconds of ``ramen tag`` where nothing is compiled."""
    with tempfile.TemporaryDirectory() as empty:
        return timed(lambda: tag(python, run, NUMBA_CACHE_DIR=empty))


if __name__ == "__main__":
    sys.exit(main())
