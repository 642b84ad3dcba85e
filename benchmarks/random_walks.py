"""Steps a second of the random walks that densify graphs, against plainer walks and the memory's random reads.

    python benchmarks/random_walks.py [--quick]

Writes results/random_walks.md. The row of torch-cluster needs it installed (it builds from source).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import scipy.sparse as sp

from ramen.graph import walks

OUT = Path(__file__).parent / "results" / "random_walks.md"
HOPS, RESTART, KEEP, MAX_DEGREE, REPEATS = 400, 0.8, 10, 500, 15


def graph(nodes: int, edges: int) -> sp.csr_matrix:
    """Four rows to an anchor; anchor degrees of a power law, below ``MAX_DEGREE`` so that no edge is a hub's."""
    rng = np.random.default_rng(0)
    rows, anchors = nodes * 4 // 5, nodes // 5
    weights = 1 + rng.pareto(1.2, anchors)
    low, high = 0.0, float(edges)
    for _ in range(60):  # the scale at which the clipped degrees add up
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(weights * middle, 1, 490).sum() < edges else (low, middle)
    degrees = np.clip(weights * high, 1, 490).astype(np.int64)
    missing = edges - int(degrees.sum())
    degrees[rng.choice(np.flatnonzero(degrees < 490), missing, replace=False)] += 1
    columns = np.repeat(np.arange(anchors), degrees)
    links = sp.csr_matrix((np.ones(edges, np.float32), (rng.integers(0, rows, edges), columns)), shape=(rows, anchors))
    return walks._linked([links], MAX_DEGREE)


def rate(run: Callable[[], int]) -> tuple[float, float]:
    """Median and best steps a second after a warm-up: the best is what other work on the machine spoils least."""
    run()
    rates = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        steps = run()
        rates.append(steps / (time.perf_counter() - start))
    return statistics.median(rates), max(rates)


def vectorised(near: tuple, far: tuple, starts: np.ndarray, hops: int) -> int:
    """The same walk from all starts at once in numpy, without counting visits."""
    rng = np.random.default_rng(0)
    at, inside = starts.copy(), np.zeros(len(starts), dtype=np.bool_)  # inside: on the far side
    for _ in range(hops):
        for on_far, (indptr, indices) in ((False, near), (True, far)):
            who = np.flatnonzero(inside == on_far)
            if not on_far:
                arrived = who
            low = indptr[at[who]]
            drawn = (rng.random(len(who), dtype=np.float32) * (indptr[at[who] + 1] - low)).astype(np.int32)
            at[who] = indices[low + drawn]
            if on_far:
                inside[who] = False
        again = rng.random(len(arrived), dtype=np.float32) < RESTART
        inside[arrived] = True
        at[arrived[again]], inside[arrived[again]] = starts[arrived[again]], False
    return len(starts) * hops


@numba.njit(parallel=True)
def read_lines(memory: np.ndarray, reads: int, threads: int) -> int:
    """Independent reads of random 64-byte lines (16 int32)."""
    total = 0
    for thread in numba.prange(threads):
        state, part = np.uint64(thread + 1), 0
        for _ in range(reads):
            state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            line = np.int64(((state >> np.uint64(32)) * np.uint64(len(memory) // 16)) >> np.uint64(32))
            part += memory[line * 16]
        total += part
    return total


def machine() -> str:
    """The processor and the number of cores used."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    return f"{found[1] if found else platform.processor()}, {os.cpu_count()} cores, {numba.get_num_threads()} threads"


def main() -> None:
    """Measure, print and write the table."""
    load = os.getloadavg()[0]  # before we add our own
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small graph; prints only")
    quick = parser.parse_args().quick
    nodes, edges, sample = (10_000, 100_000, 2_000) if quick else (1_000_000, 10_000_000, 40_000)
    links = graph(nodes, edges)
    rows, anchors = links.shape
    near, far = walks._both_directions(links)
    limit = round(RESTART * 2**32)
    of_rows, of_anchors = sample * 4 // 5, sample // 5  # the share that each side has of all nodes

    def ours() -> int:
        walks._most_visited(near, far, of_rows, 0, 0, HOPS, limit, KEEP)
        walks._most_visited(far, near, of_anchors, rows, 0, HOPS, limit, KEEP)
        return (of_rows + of_anchors) * HOPS

    starts = np.flatnonzero(np.diff(near[0]))[:sample].astype(np.int32)
    reads, threads = (2**20 if quick else 2**23), numba.get_num_threads()
    memory = np.ones((2**24 if quick else 2**30) // 4, dtype=np.int32)

    def roof() -> int:
        read_lines(memory, reads, threads)
        return reads * threads

    rates = {
        "ramen, walks and counts": rate(ours),
        "numpy, one array of walkers, no counts": rate(lambda: vectorised(near, far, starts, HOPS // 10)),
    }
    try:
        import torch
        from torch_cluster import random_walk
    except (ImportError, OSError):
        print("torch-cluster is not installed: its row is left out")
    else:  # its walks never restart, so every step reads memory
        row, column = (torch.from_numpy(part.astype(np.int64)) for part in links.nonzero())
        row, column = torch.cat([row, column + rows]), torch.cat([column + rows, row])
        torch_starts = torch.from_numpy(starts.astype(np.int64))

        def torch_cluster() -> int:
            random_walk(row, column, torch_starts, walk_length=HOPS // 10, num_nodes=rows + anchors)
            return len(starts) * (HOPS // 10)

        rates["torch-cluster, no restarts, no counts"] = rate(torch_cluster)
    rates["roof: independent reads of random 64-byte lines"] = rate(roof)

    ours_rate = rates["ramen, walks and counts"][1]
    top = rates["roof: independent reads of random 64-byte lines"][1]
    lines = [
        "# Random walks with restart",
        "",
        f"{rows:,} rows, {anchors:,} anchors, {links.nnz:,} edges; {HOPS} hops, restart {RESTART}; "
        f"median of {REPEATS}; walks from {sample:,} nodes.",
        "",
        "| what | M steps/s, median | best | best to ramen's | to the roof |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {middle / 1e6:.1f} | {best / 1e6:.1f} | {best / ours_rate:.2f} | {best / top:.2f} |"
            for name, (middle, best) in rates.items()
        ),
        "",
        "Of three hops two start a stretch, from a list in cache; the third reads an offset and an edge: 0.67 reads of "
        f"memory a hop, {ours_rate * 2 / 3 / 1e6:.0f} M a second, {ours_rate * 2 / 3 / top:.2f} of the roof.",
        "",
        f"- machine: {machine()}, load of others before the start {load:.1f}",
        "- `python benchmarks/random_walks.py`",
    ]
    print("\n".join(lines))
    if not quick:
        OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
