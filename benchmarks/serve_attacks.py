"""``ramen serve`` under attack: what a light client sees while somebody does one of many bad things.

    python benchmarks/serve_attacks.py RUN [--seconds 8] [--only WORD ...] [--workers 1] [--out FOLDER]

Each attack runs by itself, from a process of its own, beside one light client that asks for /healthz (each time on a
new connection) and for the labels of one short text (on one that it keeps) fifty times a second. Server, attacker and
light client share the machine's cores, so a part of the waiting is that of the machine. Needs psutil.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from attacks import ATTACKS
from reference_sets import _commit, machine
from serving import Client, Server, served, tag_body

ROOT = Path(__file__).resolve().parents[1]
TARGETS = {"healthz": 100.0, "tag": 300.0}  # worst, milliseconds
OVERWRITTEN = "a shorter run copied over the served one"
LIGHT = tag_body("a battery charger", k=5)


def main() -> int:
    """Measure and write the result; returns an exit code, 1 where a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", nargs="*", default=[""], help="attacks whose name has one of these words")
    parser.add_argument("--workers", default="1")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    names = ["none", *ATTACKS, OVERWRITTEN]
    chosen = [name for name in names if any(word in name for word in options.only)]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        shutil.copytree(options.run, run)
        with served(run, "--workers", options.workers) as server:
            for name in chosen:
                results[name] = facts = asyncio.run(measure(server, name, options.seconds, run))
                print(name, json.dumps(facts), flush=True)
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine(),
        "workers": int(options.workers), "seconds": options.seconds, "worst_ms_wanted": TARGETS, "attacks": results,
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "serve_attacks.json").write_text(json.dumps(facts, indent=1) + "\n")
    missed = [name for name, found in results.items() if found["missed"]]
    print(f"{len(missed)} of {len(results)} attacks missed a target: {', '.join(missed)}")
    return int(bool(missed))


async def measure(server: Server, name: str, seconds: float, run: Path) -> dict[str, Any]:
    """Run one attack beside the light client."""
    before, peak, facts = server.memory_mb(), 0.0, dict[str, Any]()
    workers, n_lines = server.workers(), len(server.lines)
    lights = {
        "healthz": Light(server, "/healthz", None, keeps=False),
        "tag": Light(server, "/v1/tag", LIGHT, keeps=True),
    }
    tasks = [asyncio.create_task(light.ask_until_cancelled()) for light in lights.values()]
    with started(name, server, seconds, run) as ended:
        while (ends := ended()) is None:
            await asyncio.sleep(0.25)
            peak = max(peak, server.memory_mb())
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for kind, light in lights.items():
        facts |= {f"{kind}_{key}": value for key, value in light.facts().items()}
    facts |= {"memory_mb": [round(amount) for amount in (before, peak, server.memory_mb())], "attacker": ends}
    facts["lines_printed"] = len(server.lines) - n_lines
    facts["worker_died"] = server.workers() != workers
    facts["missed"] = facts["worker_died"] or any(
        light.facts()["worst_ms"] > TARGETS[kind] or light.facts()["others"] for kind, light in lights.items()
    )
    return facts


@contextmanager
def started(name: str, server: Server, seconds: float, run: Path) -> Iterator[Any]:
    """Start an attack; yields a function that returns how its requests ended, None before its end."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("spawn")  # a process of its own delays no measurement of this one
    process = context.Process(target=attack, args=(theirs, name, server.host, server.port, seconds, run), daemon=True)
    process.start()
    theirs.close()
    yield lambda: ours.recv() if ours.poll() else None
    process.join()


def attack(answer: Any, name: str, host: str, port: int, seconds: float, run: Path) -> None:
    """Run one attack in this process and send its ends."""
    if name in ATTACKS:
        answer.send(dict(asyncio.run(ATTACKS[name](host, port, seconds))))
        return
    if name == OVERWRITTEN:
        overwrite(run)
    time.sleep(seconds)
    answer.send({})


def overwrite(run: Path) -> None:
    """Copy a run over another one in place whose files have half the length."""
    with tempfile.TemporaryDirectory() as folder:
        for path in (path for path in run.rglob("*") if path.is_file()):
            other = Path(folder, path.relative_to(run))
            other.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes()
            other.write_bytes(content[: len(content) // 2])
        subprocess.run(["cp", "-r", f"{folder}/.", str(run)], check=True)


class Light:
    """A client that asks for one thing fifty times a second.

    Args:
        server: to ask.
        path, body: of the request.
        keeps: whether it keeps its connection.
    """

    def __init__(self, server: Server, path: str, body: bytes | None, keeps: bool) -> None:
        self.connection = Client(server.host, server.port)
        self.path, self.body, self.keeps = path, body, keeps
        self.seconds: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.begun = 0.0

    async def ask_until_cancelled(self) -> None:
        """Ask, and note the time of each answer."""
        while True:
            self.begun = time.perf_counter()
            try:
                status, _ = await self.connection.ask(self.path, self.body)
                self.statuses[str(status)] += 1
            except (OSError, asyncio.IncompleteReadError) as error:
                self.statuses[type(error).__name__] += 1
            self.seconds.append(time.perf_counter() - self.begun)
            if not self.keeps:
                self.connection.close()
            await asyncio.sleep(0.02)

    def facts(self) -> dict[str, Any]:
        """Return the median and the worst time, and answers other than 200."""
        others = {name: count for name, count in self.statuses.items() if name != "200"}
        milliseconds = 1000 * np.array(self.seconds or [time.perf_counter() - self.begun])
        return {
            "p50_ms": round(float(np.median(milliseconds)), 1), "worst_ms": round(float(milliseconds.max()), 1),
            "answers": len(self.seconds), "others": others,
        }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
