"""``ramen serve`` under load on loopback: 64 clients, one text a request; then killed and started again.

    python benchmarks/serve_load.py RUN [--seconds 60] [--clients 64] [--cores 0] [--out FOLDER]

With ``--cores`` the server has these cores alone, and the clients the others. Texts are the run's label texts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from reference_sets import _commit, machine

from ramen.inference.run import load_run

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Measure and write the result; returns an exit code, 1 where a request failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--cores", type=int, nargs="*", help="of the server; default all, shared with the clients")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    loaded = load_run(options.run)
    texts = [text for text in loaded.texts[:20_000] if text.strip()]
    everywhere = os.sched_getaffinity(0)
    server, url, ready = start(options.run, set(options.cores or everywhere))
    if options.cores:
        os.sched_setaffinity(0, everywhere - set(options.cores) or everywhere)
    try:
        seconds, statuses = asyncio.run(load(url, texts, options.clients, options.seconds))
        memory = resident(server.pid)
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    again, url, restart = start(options.run, set(options.cores or everywhere))
    again.send_signal(signal.SIGTERM)
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    facts: dict[str, Any] = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine(),
        "labels": len(loaded.uids), "clients": options.clients, "seconds": options.seconds,
        "server_cores": options.cores,
        "requests": len(seconds), "requests_a_second": len(seconds) / options.seconds, "statuses": dict(statuses),
        "p50_ms": p50, "p99_ms": p99, "worst_ms": 1000 * max(seconds), "resident_gb": memory, "start_s": ready,
        "start_after_kill_s": restart, "ended_by_sigterm_with": again.wait(60),
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    name = "serve_load" + ("_" + "_".join(map(str, options.cores)) if options.cores else "")
    (options.out / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))
    return int(set(statuses) != {200})


def start(run: Path, cores: set[int]) -> tuple[subprocess.Popen, str, float]:
    """A server that answers, its address and the seconds it took."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "ramen.cli.main", "serve", str(run), "--port", "0"]
    server = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cores)
    )  # fmt: skip
    assert server.stderr is not None
    line = server.stderr.readline()
    found = re.search(r"http://(\S+)", line)
    assert found, line
    return server, found[1], time.perf_counter() - begun


async def load(url: str, texts: list[str], clients: int, seconds: float) -> tuple[list[float], Counter[int]]:
    """Seconds of every request, and how many ended with which status."""
    host, port = url.split(":")
    until, taken, statuses = time.perf_counter() + seconds, list[float](), Counter[int]()

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        at = number
        while time.perf_counter() < until:
            body = json.dumps({"texts": [texts[at % len(texts)]], "k": 5}).encode()
            head = f"POST /tag HTTP/1.1\r\nHost: {url}\r\nContent-Type: application/json\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            begun = time.perf_counter()
            writer.write(head.encode() + body)
            told = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(re.search(r"content-length: (\d+)", told)[1]))  # type: ignore[index]
            taken.append(time.perf_counter() - begun)
            statuses[int(told.split()[1])] += 1
            at += clients
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return taken, statuses


def resident(process: int) -> float:
    """Memory of a process, GB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e6 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    sys.exit(main())
