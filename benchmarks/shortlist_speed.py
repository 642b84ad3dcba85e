"""Examples a second of the shortlist head beside torch's sparse-gradient embedding, on planted vectors.

python benchmarks/shortlist_speed.py [--labels N] [--points N] [--out FOLDER]

Labels are random unit vectors; a point is the noisy sum of one to three of them. Both heads start from noisy labels and
see the same lists: the true labels and a hundred negatives that lie near a noisy copy of the point, or are drawn by
chance. Speeds are medians of blocks of batches, taken in turn; P@1 is of held-out points after the same batches.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from reference_sets import _commit, machine

from ramen.mining.nearest import nearest
from ramen.scorers.dense.shortlist import ShortlistClassifier, listed

ROOT = Path(__file__).resolve().parents[1]
NEGATIVES, BATCH, TEMPERATURE, LR, HELD_OUT = 100, 512, 0.05, 2e-3, 2000


class Embedding:
    """The peer: a score of every listed pair by gathering rows, autograd, SparseAdam."""

    def __init__(self, start: torch.Tensor) -> None:
        self.table = torch.nn.Embedding.from_pretrained(start.clone(), freeze=False, sparse=True)
        self.adam = torch.optim.SparseAdam(list(self.table.parameters()), lr=LR)

    @property
    def weights(self) -> torch.Tensor:
        """float32 (L, d)."""
        return self.table.weight.detach()

    def fit_step(self, queries: torch.Tensor, targets: sp.csr_matrix, lists: sp.csr_matrix) -> None:
        """The same decoupled softmax over the same pairs."""
        points, labels, is_true = (torch.from_numpy(array) for array in listed(targets, None, lists))
        scores = (self.table(labels) * queries[points]).sum(1) / TEMPERATURE
        wrong = scores.masked_fill(is_true, -1e9)
        highest = torch.full((len(queries),), -1e9).scatter_reduce(0, points, wrong.detach(), "amax")
        total = torch.zeros(len(queries)).index_add(0, points, torch.exp(wrong - highest[points]))
        margins = (highest + total.log())[points][is_true] - scores[is_true]
        self.adam.zero_grad()
        (F.softplus(margins).sum() / len(queries)).backward()
        self.adam.step()


class Ours(ShortlistClassifier):
    """With the peer's call."""

    def step(self, queries: torch.Tensor, targets: sp.csr_matrix, lists: sp.csr_matrix) -> None:
        """See :meth:`fit_step`."""
        self.fit_step(queries, targets, None, LR, lists)


def main() -> int:
    """Measure and write the result; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=131_000)
    parser.add_argument("--points", type=int, default=30_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    truth = _unit(rng.normal(size=(options.labels, options.dim)))
    points, targets = planted(rng, truth, options.points)
    lists = near_lists(rng, points, truth)
    start = torch.from_numpy(_unit(truth + 3 * _unit(rng.normal(size=truth.shape))))
    order = rng.permutation(options.points - HELD_OUT) + HELD_OUT
    batches = [order[at : at + BATCH] for at in range(0, len(order) - BATCH, BATCH)]
    ours, peer = Ours(start, TEMPERATURE), Embedding(start)
    steps = {"ours": ours.step, "torch": peer.fit_step}
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    vectors = torch.from_numpy(points)
    for name, step in steps.items():  # compiles and allocates; on copies of no consequence
        spare = Ours(start[:1000]) if name == "ours" else Embedding(start[:1000])
        call = spare.step if isinstance(spare, Ours) else spare.fit_step
        some = sp.csr_matrix(np.eye(8, 1000, dtype=np.float32))
        call(vectors[:8], some, some)
        del step
    a_block = max(1, len(batches) // options.blocks)
    for block in range(options.blocks):
        for name, step in steps.items():
            begin = time.perf_counter()
            for rows in batches[block * a_block : (block + 1) * a_block]:
                step(vectors[rows], targets[rows], lists[rows])
            speeds[name].append(a_block * BATCH / (time.perf_counter() - begin))
    facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
    facts |= {"labels": options.labels, "dim": options.dim, "negatives": NEGATIVES, "batch": BATCH}
    for name, weights in (("start", start), ("ours", ours.weights), ("torch", peer.weights)):
        facts[f"{name} P@1"] = precision(points[:HELD_OUT], targets[:HELD_OUT], weights.numpy())
    facts["examples_a_second"] = {name: statistics.median(values) for name, values in speeds.items()}
    facts["ratio"] = facts["examples_a_second"]["ours"] / facts["examples_a_second"]["torch"]
    # A pair's row is read for its score, and once more with its query for the gradient; each row in use is moved once.
    bytes_ = 4 * options.dim * (2 + 2 * (1 + NEGATIVES))
    facts |= {"bytes_an_example": bytes_, "copy_gb_a_second": _copy_speed() / 1e9}
    facts["bound_examples_a_second"] = _copy_speed() / bytes_
    print(json.dumps(facts, indent=1))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "shortlist_speed.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def planted(rng: np.random.Generator, truth: np.ndarray, n: int) -> tuple[np.ndarray, sp.csr_matrix]:
    """Points, float32 (n, d), and their labels."""
    rows = np.repeat(np.arange(n), rng.integers(1, 4, size=n))
    labels = rng.integers(len(truth), size=len(rows))
    targets = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, labels)), shape=(n, len(truth)))
    targets.data[:] = 1.0
    return _unit(targets @ truth + 0.7 * _unit(rng.normal(size=(n, truth.shape[1])))), targets


def near_lists(rng: np.random.Generator, points: np.ndarray, truth: np.ndarray) -> sp.csr_matrix:
    """Half of the negatives from those nearest to the point among a sample of the labels, half by chance."""
    half, sample = NEGATIVES // 2, rng.permutation(len(truth))[:20_000]
    near = sample[nearest(points, truth[sample], min(half, len(sample)))[0]]
    columns = np.concatenate([near, rng.integers(len(truth), size=(len(points), NEGATIVES - near.shape[1]))], axis=1)
    starts = np.arange(0, columns.size + 1, columns.shape[1])
    ones = np.ones(columns.size, np.float32)
    return sp.csr_matrix((ones, columns.ravel(), starts), shape=(len(points), len(truth)))


def precision(points: np.ndarray, targets: sp.csr_matrix, weights: np.ndarray) -> float:
    """P@1 over all labels, percent."""
    best = nearest(points, weights, 1)[0][:, 0]
    return 100 * float(np.asarray(targets[np.arange(len(points)), best]).mean())


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _copy_speed() -> float:
    array = np.ones(50_000_000, dtype=np.float32)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        array.copy()
        seconds.append(time.perf_counter() - start)
    return 2 * array.nbytes / statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(main())
