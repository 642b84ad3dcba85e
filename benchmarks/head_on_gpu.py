"""Memory and time of a step of the bfloat16 head on a GPU, beside the bound of its matrix products and plain torch.

python benchmarks/head_on_gpu.py [--labels 1300000 2800000] [--dim 768] [--batch 1024] [--steps 100] [--out FOLDER]

Weights and queries are drawn by chance, three true labels a point. The bound is the time of two bfloat16 products of a
batch with all labels (scores, gradient), measured here. The peer is what one would write first: logits of the whole
batch, binary_cross_entropy_with_logits, autograd, AdamW; where it does not fit it says so. Without a GPU all runs on
the CPU, which tells nothing of one: use few labels there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from reference_sets import _commit, machine

from ramen.scorers.dense.classifier import DenseClassifier

ROOT = Path(__file__).resolve().parents[1]
TRUE_LABELS, LR, REPEATS = 3, 1e-3, 5
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def main() -> int:
    """Measure and write the result; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, nargs="+", default=[1_300_000, 2_800_000])
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--chunk", type=int, default=32_768)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--loss", choices=("softmax", "bce"), default="bce")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
    facts |= {"device": torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu", "torch": torch.__version__}
    facts |= {name: value for name, value in vars(options).items() if name not in ("labels", "out")}
    facts["rows"] = []
    for labels in options.labels:
        row = measure(labels, options)
        facts["rows"].append(row)
        print(json.dumps(row), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "head_on_gpu.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def measure(labels: int, options: argparse.Namespace) -> dict[str, Any]:
    """Both heads and the bound for one number of labels."""
    rng = np.random.default_rng(0)
    batches = [
        (torch.randn(options.batch, options.dim, device=DEVICE) / options.dim**0.5, pairs(rng, options.batch, labels))
        for _ in range(4)
    ]
    start = torch.randn(labels, options.dim, device=DEVICE, dtype=torch.bfloat16) / options.dim**0.5
    bound = statistics.median(timed(lambda: products(start, batches[0][0])) for _ in range(REPEATS))
    kept = 3 * start.nbytes + 4 * labels  # weights, two moments, a count of steps
    row: dict[str, Any] = {"labels": labels, "kept_gb": kept / 1e9, "bound_ms": 1000 * bound}
    row["ours"] = run(lambda: ours(start, options), batches, options.steps)
    row["peer"] = run(lambda: Peer(start).step, batches, options.steps)
    row["peak_by_kept"] = row["ours"]["peak_gb"] * 1e9 / kept if DEVICE == "cuda" else None
    row["step_by_bound"] = row["ours"]["step_ms"] / row["bound_ms"]
    return row


def ours(start: torch.Tensor, options: argparse.Namespace) -> Callable[[torch.Tensor, sp.csr_matrix], None]:
    """A step of the head."""
    head = DenseClassifier(start, 0.05, options.chunk, "bf16", options.loss)
    return lambda queries, targets: head.fit_step(queries, targets, None, LR) and None


class Peer:
    """float32 weights, logits of the whole batch in bfloat16, autograd, AdamW."""

    def __init__(self, start: torch.Tensor) -> None:
        self.weights = torch.nn.Parameter(start.float())
        self.adam = torch.optim.AdamW([self.weights], lr=LR, fused=True)

    def step(self, queries: torch.Tensor, targets: sp.csr_matrix) -> None:
        """A step on all labels."""
        with torch.autocast(queries.device.type, dtype=torch.bfloat16):
            logits = queries @ self.weights.T / 0.05
        rows, columns = (torch.from_numpy(at.astype(np.int64)).to(DEVICE) for at in targets.nonzero())
        truth = torch.zeros_like(logits)
        truth[rows, columns] = 1
        self.adam.zero_grad()
        (F.binary_cross_entropy_with_logits(logits, truth, reduction="sum") / len(queries)).backward()
        self.adam.step()


def run(make: Callable[[], Callable], batches: list, steps: int) -> dict[str, Any]:
    """Median milliseconds of a step, and the peak of memory over all of them, without what was there before."""
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    try:
        step = make()
        for queries, targets in batches:
            step(queries, targets)
        times = [timed(lambda at=at: step(*batches[at % len(batches)])) for at in range(steps)]
    except torch.OutOfMemoryError:
        return {"step_ms": None, "peak_gb": None, "note": "out of memory"}
    peak = (torch.cuda.max_memory_allocated() - before) / 1e9 if DEVICE == "cuda" else None
    return {"step_ms": 1000 * statistics.median(times), "peak_gb": peak}


def timed(work: Callable[[], object]) -> float:
    """Seconds of a call, the device's work included."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def products(weights: torch.Tensor, queries: torch.Tensor) -> None:
    """Scores of all labels and their gradient, in blocks that fit."""
    queries = queries.to(torch.bfloat16)
    for part in weights.split(100_000):
        scores = queries @ part.T
        scores.T @ queries


def pairs(rng: np.random.Generator, batch: int, labels: int) -> sp.csr_matrix:
    """True labels of a batch, CSR (batch, labels)."""
    columns = np.sort(rng.integers(0, labels, (batch, TRUE_LABELS)), axis=1)
    starts = np.arange(0, columns.size + 1, TRUE_LABELS)
    matrix = sp.csr_matrix((np.ones(columns.size, np.float32), columns.ravel(), starts), shape=(batch, labels))
    matrix.sum_duplicates()
    return matrix


if __name__ == "__main__":
    sys.exit(main())
