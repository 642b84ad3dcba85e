"""``ramen serve`` for long: load, bad requests, reloads, changes of labels and killed workers.

    python benchmarks/serve_soak.py RUN --minutes 60 [--workers 2] [--clients 8] [--out FOLDER]

A link leads to one of two copies of the run in turn. One has another label, which is added while it is served; another
label of it is renamed. Every answer must be that of one of the two, to three digits; a request may get lost only when
a worker was killed. Memory (shared pages count once), open files and snapshots are sampled every ten seconds. Needs
psutil.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reference_sets import _commit, machine
from serving import Client, Server, label_texts, served, tag_body

from ramen.inference.tagger import Tagger

ROOT = Path(__file__).resolve().parents[1]
ADDED = "zebra crossing planner for submarines"
BAD = [
    b"{", b'{"texts": 1}', b'{"texts": [" "]}', tag_body("a", k=0), tag_body("a", colour="red"),
    tag_body(*["a"] * 1001),
]  # fmt: skip
Answer = list[tuple[str, str, float]]
RELOAD, KILL, SAMPLE = 20.0, 30.0, 10.0  # seconds


def main() -> int:
    """Run and write the result; returns an exit code, 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for copy in ("a", "b", "b_later"):
            shutil.copytree(options.run, folder / copy)
        change(folder / "b_later")
        texts = [*random.Random(0).sample(label_texts(options.run), 60), ADDED]
        expected = [answers(folder / copy, texts) for copy in ("a", "b_later")]
        (folder / "snapshots").mkdir()
        (folder / "current").symlink_to(folder / "a")
        with served(
            folder / "current", "--workers", str(options.workers), "--snapshot", str(folder / "snapshots")
        ) as server:
            soak = Soak(server, folder, texts, expected)
            facts = asyncio.run(soak.run(60 * options.minutes, options.clients))
            server.process.terminate()
            facts["ended_with"] = server.process.wait(40)
        facts["snapshots_left"] = len(os.listdir(folder / "snapshots"))
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine(), "minutes": options.minutes,
        "workers": options.workers, "clients": options.clients, **facts,
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "serve_soak.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))
    return int(bool(facts["wrong"] or facts["lost_without_a_kill"] or facts["ended_with"] or facts["failed_changes"]))


def change(run: Path) -> None:
    """Add a label to a run and rename another."""
    line = json.dumps({"uid": "added", "text": ADDED}).encode()
    uid = Tagger.load(run).run.uids[0]
    for arguments, given in ((["add", str(run), "-"], line), (["rename", str(run), str(uid), "renamed"], None)):
        command = [sys.executable, "-m", "ramen.cli.main", "labels", *arguments]
        subprocess.run(command, input=given, check=True, capture_output=True)


def answers(run: Path, texts: list[str]) -> list[Answer]:
    """Return what a run answers to each text."""
    return [comparable(labels) for labels in Tagger.load(run).tag(texts, k=5)]


def comparable(labels: list[dict[str, Any]]) -> Answer:
    """Return what must be equal of an answer."""
    return [(label["uid"], label["text"], round(label["score"], 3)) for label in labels]


def agree(found: Answer, expected: Answer) -> bool:
    """Whether two answers have equal scores, and equal labels where the scores tell them apart."""
    if len(found) != len(expected):
        return False
    if any(abs(one[2] - two[2]) > 0.0015 for one, two in zip(found, expected, strict=True)):
        return False
    last = expected[-1][2] + 0.003 if expected else 0.0  # labels of nearly the last score may have others beside them
    names = [{label[:2] for label in labels if label[2] > last} for labels in (found, expected)]
    return names[0] <= {label[:2] for label in expected} and names[1] <= {label[:2] for label in found}


class Soak:
    """What is done to a server, and what it answered.

    Args:
        server: of the link ``current`` in the folder.
        folder: with the runs ``a``, ``b`` and ``b_later``.
        texts: to tag.
        expected: answers of ``a`` and ``b_later`` to each text.
    """

    def __init__(self, server: Server, folder: Path, texts: list[str], expected: list[list[Answer]]) -> None:
        self.server, self.folder, self.texts, self.expected = server, folder, texts, expected
        self.statuses: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()
        self.wrong: list[Any] = []
        self.lost: list[float] = []
        self.killed: list[float] = []
        self.failed: list[str] = []
        self.samples: list[dict[str, float]] = []
        self.seconds: list[float] = []
        self.random = random.Random(0)

    async def run(self, seconds: float, clients: int) -> dict[str, Any]:
        """Do everything at once for some time; returns the facts."""
        self.until = time.monotonic() + seconds
        await asyncio.gather(
            *(self.ask(number) for number in range(clients)),
            self.every(RELOAD, self.reload), self.every(KILL, self.kill), self.every(SAMPLE, self.sample),
        )  # fmt: skip
        unexplained = [at for at in self.lost if not any(-0.1 <= at - kill < 2 for kill in self.killed)]
        return {
            "requests": dict(self.counts), "statuses": dict(self.statuses), "answers_of": dict(self.runs),
            "worst_ms": round(1000 * max(self.seconds)), "wrong": self.wrong[:10], "n_wrong": len(self.wrong),
            "killed": len(self.killed), "lost": len(self.lost), "lost_without_a_kill": len(unexplained),
            "failed_changes": self.failed,
            **{
                name: {"first": found[0], "last": found[-1], "max": max(found)}
                for name in self.samples[0]
                for found in [[sample[name] for sample in self.samples]]
            },
        }  # fmt: skip

    async def every(self, seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        """Do something at regular times."""
        while time.monotonic() + seconds < self.until:
            await asyncio.sleep(seconds)
            await do()

    async def ask(self, number: int) -> None:
        """Ask in one of four ways, in turns."""
        connection = Client(self.server.host, self.server.port)
        while time.monotonic() < self.until:
            number += 1
            kind = ("light", "light", "bad", "light", "batch", "light", "why")[number % 7]
            self.counts[kind] += 1
            begun = time.monotonic()
            try:
                await self.ask_once(connection, kind)
            except (OSError, asyncio.IncompleteReadError):
                self.lost.append(time.monotonic())
                await asyncio.sleep(0.05)
            self.seconds.append(time.monotonic() - begun)
            if number % 50 == 0:
                connection.close()  # the next one may be another worker's

    async def ask_once(self, connection: Client, kind: str) -> None:
        """Send one request and check its answer."""
        if kind == "bad":
            body = self.random.choice(BAD)
            status, content = await connection.ask("/v1/tag", body)
            if not (400 <= status < 500 and "error" in json.loads(content)):
                self.wrong.append([status, content[:300].decode()])
        else:
            chosen = self.random.sample(range(len(self.texts)), 40 if kind == "batch" else 1)
            body = tag_body(*(self.texts[text] for text in chosen), k=5, why=kind == "why")
            status, content = await connection.ask("/v1/tag", body)
            if status == 200:
                self.check(chosen, [comparable(one["labels"]) for one in json.loads(content)["results"]])
        self.statuses[str(status)] += 1

    def check(self, chosen: list[int], found: list[Answer]) -> None:
        """Compare an answer, all of which must be of one run."""
        fits = [all(map(agree, found, (run[text] for text in chosen))) for run in self.expected]
        self.runs["ab"[fits.index(True)] if fits.count(True) == 1 else "both" if any(fits) else "none"] += 1
        if not any(fits):
            self.wrong.append([[self.texts[text] for text in chosen][:3], found[:3]])

    async def reload(self) -> None:
        """Lead the link to the other run and reload; the second time, change the labels of the served one instead."""
        other = "b" if (self.folder / "current").resolve().name == "a" else "a"
        if self.counts["reload"] == 1:
            other = "b"
            await asyncio.to_thread(change, self.folder / "b")
        (self.folder / "next").symlink_to(self.folder / other)
        (self.folder / "next").rename(self.folder / "current")
        admin = Client(self.server.host, self.server.admin)
        status, content = await admin.ask("/reload", b"{}")
        admin.close()
        self.counts["reload"] += 1
        if status != 200:
            self.failed.append(content.decode())

    async def kill(self) -> None:
        """Kill a worker."""
        self.killed.append(time.monotonic())
        os.kill(self.random.choice(self.server.workers()), signal.SIGKILL)

    async def sample(self) -> None:
        """Note memory, open files and snapshots."""
        self.samples.append({
            "memory_mb": round(self.server.memory_mb()), "descriptors": self.server.descriptors(),
            "snapshots": len(os.listdir(self.folder / "snapshots")), "processes": len(self.server.processes()),
        })  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
