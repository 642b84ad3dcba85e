"""``ramen serve`` under load on loopback: clients that keep their connection and ask for one text at a time.

    python benchmarks/serve_load.py RUN [--seconds 3] [--repeats 5] [--clients 1 8 64] [--workers 1 2 4] [--cores 0]
                                    [--parsers fast plain] [--out FOLDER]

``fast`` is httptools and uvloop, ``plain`` h11 and asyncio, which a server takes where the others are not installed.
With ``--cores`` the server has these cores alone, and the clients the others; otherwise they share all, and the clients
take a large part. Texts are the run's label texts. Also measured: the start, a worker's restart after SIGKILL, and
SIGTERM. Needs psutil.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from reference_sets import _commit, machine
from serving import Client, Server, label_texts, served, tag_body

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Measure and write the result; returns an exit code, 1 where a request failed."""
    options = _options()
    bodies = [tag_body(text, k=5) for text in label_texts(options.run)]
    cores = os.sched_getaffinity(0)
    if options.cores:
        os.sched_setaffinity(0, cores - set(options.cores) or cores)
    results = []
    for parsers in options.parsers:
        for workers in options.workers:
            facts = measure(options, bodies, parsers, workers, set(options.cores or cores))
            results.append(facts)
            print(json.dumps(facts), flush=True)
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine(),
        "server_cores": options.cores, "seconds": options.seconds, "repeats": options.repeats, "results": results,
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    name = "serve_load" + ("_" + "_".join(map(str, options.cores)) if options.cores else "")
    (options.out / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")
    return int(any(set(load["statuses"]) != {200} for result in results for load in result["loads"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--cores", type=int, nargs="*", help="of the server; default all, shared with the clients")
    parser.add_argument("--parsers", nargs="+", choices=["fast", "plain"], default=["fast"])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    return parser.parse_args()


def measure(
    options: argparse.Namespace, bodies: list[bytes], parsers: str, workers: int, cores: set[int]
) -> dict[str, Any]:
    """Measure one server: its start, its load by each number of clients, a killed worker, and its end."""
    with served(options.run, "--workers", str(workers), cores=cores, is_fast=parsers == "fast") as server:
        facts: dict[str, Any] = {"parsers": parsers, "workers": workers, "start_s": round(server.start, 2)}
        facts["memory_mb_idle"] = round(server.memory_mb())
        facts["loads"] = [
            measure_load(server, bodies, clients, options.seconds, options.repeats) for clients in options.clients
        ]
        facts["memory_mb"] = round(server.memory_mb())
        facts["restart_of_a_worker_s"] = round(restart(server, workers), 2)
        begun = time.perf_counter()
        server.process.terminate()
        facts["ended_with"] = server.process.wait(40)
        facts["end_s"] = round(time.perf_counter() - begun, 2)
    return facts


def measure_load(server: Server, bodies: list[bytes], clients: int, seconds: float, repeats: int) -> dict[str, Any]:
    """Measure requests a second, the time of a request and the server's CPU time."""
    rates, taken, statuses = [], list[float](), Counter[int]()
    cpu = server.cpu_seconds()
    for _ in range(repeats):
        some, ended = asyncio.run(load(server, bodies, clients, seconds))
        rates.append(round(len(some) / seconds, 1))
        taken += some
        statuses += ended
    cpu = server.cpu_seconds() - cpu
    p50, p99 = np.percentile(taken, [50, 99]) * 1000
    return {
        "clients": clients, "requests": len(taken), "statuses": dict(statuses),
        "requests_a_second": sorted(rates)[len(rates) // 2], "repeats": rates,
        "p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "worst_ms": round(1000 * max(taken), 1),
        "server_cpu_ms_a_request": round(1000 * cpu / len(taken), 3),
        "requests_a_core_second": round(len(taken) / cpu, 1),
    }  # fmt: skip


async def load(server: Server, bodies: list[bytes], clients: int, seconds: float) -> tuple[list[float], Counter[int]]:
    """Return the seconds of every request, and how many ended with which status."""
    taken, statuses = list[float](), Counter[int]()
    connections = [Client(server.host, server.port) for _ in range(clients)]
    await asyncio.gather(*(connection.ask("/healthz") for connection in connections))
    until = time.perf_counter() + seconds

    async def ask(connection: Client, number: int) -> None:
        while time.perf_counter() < until:
            begun = time.perf_counter()
            status, _ = await connection.ask("/v1/tag", bodies[number % len(bodies)])
            taken.append(time.perf_counter() - begun)
            statuses[status] += 1
            number += clients
        connection.close()

    await asyncio.gather(*(ask(connection, number) for number, connection in enumerate(connections)))
    return taken, statuses


def restart(server: Server, workers: int) -> float:
    """Return the seconds from the end of a killed worker until all workers are ready again."""
    os.kill(server.workers()[0], signal.SIGKILL)
    return asyncio.run(until_ready(server, workers))


async def until_ready(server: Server, workers: int) -> float:
    """Return the seconds until another worker has taken the place of one that was killed."""
    admin, begun, was_missed = Client(server.host, server.admin), time.perf_counter(), False
    while time.perf_counter() - begun < 60:
        status, _ = await admin.ask("/readyz")
        was_missed |= status != 200
        if was_missed and status == 200:
            admin.close()
            return time.perf_counter() - begun
        await asyncio.sleep(0.01)
    raise TimeoutError(f"expected {workers} workers within 60 s of the end of one")


if __name__ == "__main__":
    sys.exit(main())
