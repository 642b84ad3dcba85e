"""All six metrics @1..5 of a million rows with 100 scores each over a million labels, beside numpy and scipy.

python benchmarks/metric_speed.py [--rows N] [--labels N] [--out FOLDER]
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

import numba
import numpy as np
import scipy.sparse as sp
from reference_sets import _commit, machine

from ramen.metrics import report

ROOT = Path(__file__).resolve().parents[1]
KS = (1, 3, 5)
A_ROW, TRUE = 100, 5  # predictions and true labels of a row


def main() -> int:
    """Measure and write the result; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    scores, truth, weights = _data(options.rows, options.labels)
    ours, found = _timed(lambda: report(scores, truth, weights, KS), options.times)
    peer, expected = _timed(lambda: with_scipy(scores, truth, weights, max(KS)), options.times)
    for name, value in found.items():
        # A few hundred rows have two equal scores, of which argpartition takes either.
        assert abs(value - expected[name]) < 1e-4, (name, value, expected[name])
    read = scores.data.nbytes + scores.indices.nbytes + truth.indices.nbytes
    speed = _read_speed(scores.data)
    facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
    facts |= {"rows": options.rows, "labels": options.labels, "scores_a_row": A_ROW, "times": options.times}
    facts |= {"seconds": ours, "scipy_seconds": peer, "ratio": peer / ours}
    facts |= {"bytes": read, "read_gb_a_second": speed / 1e9, "bound_seconds": read / speed}
    print(json.dumps(facts, indent=1))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "metric_speed.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def with_scipy(scores: sp.csr_matrix, truth: sp.csr_matrix, weights: np.ndarray, k: int) -> dict[str, float]:
    """The same figures by argpartition, fancy indexing and cumulative sums; rows of one length only."""
    n = scores.shape[0]
    values, labels = scores.data.reshape(n, -1), scores.indices.reshape(n, -1)
    near = np.argpartition(-values, k, axis=1)[:, :k]
    order = np.take_along_axis(near, np.argsort(-np.take_along_axis(values, near, axis=1), axis=1), axis=1)
    ranked = np.take_along_axis(labels, order, axis=1)
    hits = np.asarray(truth[np.arange(n)[:, None], ranked].todense()) > 0
    count = np.diff(truth.indptr)[:, None]
    best = np.sort(weights[truth.indices].reshape(n, -1), axis=1)[:, ::-1][:, :k]
    places = np.arange(1, k + 1)
    discounts = 1 / np.log2(places + 1)
    ideal = np.cumsum(discounts)[np.minimum(places, count) - 1]
    gain = hits * weights[ranked]

    def ratio(of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return of(gain).mean(axis=0) / of(best).mean(axis=0)

    found = {
        "P": (np.cumsum(hits, axis=1) / places).mean(axis=0),
        "nDCG": (np.cumsum(hits * discounts, axis=1) / ideal).mean(axis=0),
        "R": (np.cumsum(hits, axis=1) / count).mean(axis=0),
        "PSP": ratio(lambda values: np.cumsum(values, axis=1)),
        "PSnDCG": ratio(lambda values: np.cumsum(values * discounts, axis=1) / ideal),
        "PSR": ratio(lambda values: np.cumsum(values, axis=1) / count),
    }
    return {f"{name}@{place}": 100 * float(value[place - 1]) for name, value in found.items() for place in KS}


def _data(n_rows: int, n_labels: int) -> tuple[sp.csr_matrix, sp.csr_matrix, np.ndarray]:
    """Random scores; all true labels are among the predicted."""
    rng = np.random.default_rng(0)
    indptr = np.arange(n_rows + 1, dtype=np.int64)
    labels = np.sort(rng.integers(0, n_labels - A_ROW, (n_rows, A_ROW), dtype=np.int32), axis=1)
    labels += np.arange(A_ROW, dtype=np.int32)
    values = rng.random(labels.shape, dtype=np.float32)
    scores = sp.csr_matrix((values.ravel(), labels.ravel(), indptr * A_ROW), shape=(n_rows, n_labels))
    at = np.sort(rng.permuted(np.tile(np.arange(A_ROW, dtype=np.int8), (n_rows, 1)), axis=1)[:, :TRUE], axis=1)
    true = np.take_along_axis(labels, at.astype(np.int64), axis=1)
    truth = sp.csr_matrix((np.ones(true.size, np.float32), true.ravel(), indptr * TRUE), shape=scores.shape)
    return scores, truth, 1 + 20 * rng.random(n_labels)


def _timed(call: Callable[[], dict[str, float]], times: int) -> tuple[float, dict[str, float]]:
    """Median seconds after one call that compiles, and the result."""
    found, taken = call(), []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken), found


def _read_speed(array: np.ndarray) -> float:
    """Bytes a second that the cores read together."""
    _sum(array)
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        _sum(array)
        taken.append(time.perf_counter() - start)
    return array.nbytes / statistics.median(taken)


@numba.njit(parallel=True, fastmath=True)
def _sum(array: np.ndarray) -> float:
    total = np.float32(0)
    for at in numba.prange(len(array)):
        total += array[at]
    return total


if __name__ == "__main__":
    sys.exit(main())
