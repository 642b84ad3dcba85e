"""Mining kernels beside faiss and a joblib 2-means: balanced clusters, nearest other rows, exact top 100 of batches.

    python benchmarks/mining.py [--parts clusters,nearest,topk] [--rows N] [--out FILE]
    python benchmarks/mining.py --parts recall --run RUN --data DATA   # of the nearest by a trained encoder's vectors

Needs `pip install faiss-cpu joblib`. A part that takes over 30 s runs once, the others five times (the median stands).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from reference_sets import _commit, machine

from ramen.mining.approximate import nearest_of_each
from ramen.mining.clusters import balanced_clusters
from ramen.mining.nearest import nearest

try:
    import faiss
    import joblib
except ImportError as error:
    sys.exit(f"{error}: pip install faiss-cpu joblib")

ROOT = Path(__file__).resolve().parents[1]
DIM, CLUSTER, BATCH, TOP, NEAR = 384, 49, 256, 100, 20
ONCE = 30.0  # seconds from which one run has to do


def main() -> int:
    """Measure and write the result; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="clusters,nearest,topk")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/mining.json")
    options = parser.parse_args()
    facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
    facts |= {"rows": options.rows, "dim": DIM, "faiss": faiss.__version__, "sgemm_gflops": roof()}
    facts["load_before"] = os.getloadavg()[0]
    for part in options.parts.split(","):
        if part == "recall":
            facts[part] = of_run(options.run, options.data)
        else:
            facts[part] = {"clusters": clusters, "nearest": near, "topk": topk}[part](options.rows)
        print(json.dumps({part: facts[part]}, indent=1), flush=True)
    facts["load_after"], facts["sgemm_gflops_after"] = os.getloadavg()[0], roof()
    print(json.dumps({key: value for key, value in facts.items() if not isinstance(value, dict)}, indent=1))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def clusters(n: int) -> dict[str, Any]:
    """Seconds and mean cosine to the cluster's mean, on rows around few centres and around many."""
    balanced_clusters(unit_rows(1000, 10, 1.0), CLUSTER)  # compiles
    facts = {}
    for name, rows in (("few centres", unit_rows(n, n // 100, 1.0)), ("many centres", unit_rows(n, n // 10, 1.7))):
        found: dict[str, Any] = {}
        for who, call in (("ramen", _ours), ("joblib 2-means", two_means), ("faiss k-means", k_means)):
            taken, runs, assigned = timed(lambda call=call, rows=rows: call(rows))  # type: ignore[misc]
            sizes = np.bincount(assigned)
            found[who] = {"seconds": taken, "runs": runs, "cosine": cosine(rows, assigned), "clusters": len(sizes)}
            found[who] |= {"smallest": int(sizes.min()), "largest": int(sizes.max())}
        found["times_faster_than_joblib"] = found["joblib 2-means"]["seconds"] / found["ramen"]["seconds"]
        found["cosine_to_faiss"] = found["ramen"]["cosine"] / found["faiss k-means"]["cosine"]
        facts[name] = found
    return facts


def _ours(rows: np.ndarray) -> np.ndarray:
    return balanced_clusters(rows, CLUSTER)


def two_means(rows: np.ndarray) -> np.ndarray:
    """Balanced 2-means all the way down, a full sort a round, until the objective gains less than 1e-4."""

    def split(members: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        part, half, before = rows[members], len(members) // 2, -np.inf
        one, other = part[np.random.default_rng(seed).choice(len(part), 2, replace=False)]
        while True:
            order = np.argsort(-(part @ (one - other)))
            sums = part[order[:half]].sum(0), part[order[half:]].sum(0)
            gain = sum(float(np.linalg.norm(total)) for total in sums) / len(part)
            if gain - before < 1e-4:
                return members[order[:half]], members[order[half:]]
            one, other = (total / max(float(np.linalg.norm(total)), 1e-12) for total in sums)
            before = gain

    groups, seed = [np.arange(len(rows))], 0
    with joblib.Parallel(joblib.cpu_count(), prefer="threads") as pool:
        while max(map(len, groups)) > CLUSTER:
            pairs = pool(joblib.delayed(split)(members, seed + at) for at, members in enumerate(groups))
            seed += len(groups)
            groups = [half for pair in pairs for half in pair]
    assigned = np.empty(len(rows), dtype=np.int64)
    for number, members in enumerate(groups):
        assigned[members] = number
    return assigned


def k_means(rows: np.ndarray) -> np.ndarray:
    """Spherical k-means of faiss, ten rounds over all rows; its clusters are not balanced."""
    parts = int(2 ** np.ceil(np.log2(len(rows) / CLUSTER)))
    found = faiss.Kmeans(
        DIM, parts, niter=10, spherical=True, max_points_per_centroid=len(rows), min_points_per_centroid=1
    )
    found.train(rows)
    return found.index.search(rows, 1)[1][:, 0]


def of_run(run: Path, data: Path) -> dict[str, Any]:
    """Recall of the 20 nearest others of 2,000 training points, by the vectors of a run's encoder."""
    import ramen

    dataset = ramen.load_dataset(data)
    rows = ramen.Tagger.load(run).queries(dataset.train.joined()).vectors
    sample = np.random.default_rng(0).choice(len(rows), min(2000, len(rows)), replace=False)
    true, found = nearest(rows[sample], rows, NEAR, sample)[0], nearest_of_each(rows, NEAR)[0][sample]
    return {"data": dataset.path.name, "rows": len(rows), "recall": overlap(true, found)}


def overlap(true: np.ndarray, found: np.ndarray) -> float:
    """Share of the true rows that were found."""
    return float(np.mean([len(set(a) & set(b)) / NEAR for a, b in zip(true, found, strict=True)]))


def near(n: int) -> dict[str, Any]:
    """For each row its 20 nearest others: recall on 2,000 rows; faiss IVF with the fewest probes of that recall."""
    nearest_of_each(unit_rows(2000, 10, 1.0), NEAR)  # compiles
    rows = unit_rows(n, n // 100, 1.0)
    sample = np.random.default_rng(1).choice(n, min(2000, n), replace=False)
    true = nearest(rows[sample], rows, NEAR, sample)[0]

    def recall(found: np.ndarray) -> float:
        return overlap(true, found)

    taken, runs, found = timed(lambda: nearest_of_each(rows, NEAR)[0])
    facts: dict[str, Any] = {"ramen": {"seconds": taken, "runs": runs, "recall": recall(found[sample])}}
    cells = int(4 * np.sqrt(n))
    start = time.perf_counter()
    index = faiss.index_factory(DIM, f"IVF{cells},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(rows)
    index.add(rows)
    built = time.perf_counter() - start
    probes, reached = 1, 0.0
    while probes <= cells:
        index.nprobe = probes
        got = [
            [r for r in line if r != own][:NEAR] for line, own in zip(search(index, rows[sample]), sample, strict=True)
        ]
        reached = recall(np.array(got))
        if reached >= facts["ramen"]["recall"]:
            break
        probes *= 2
    start = time.perf_counter()
    index.search(rows, NEAR + 1)
    searched = time.perf_counter() - start
    facts["faiss IVF"] = {"seconds": built + searched, "build_seconds": built, "runs": 1, "recall": reached}
    facts["faiss IVF"] |= {"cells": cells, "probes": min(probes, cells)}
    facts["times_faster_than_faiss"] = facts["faiss IVF"]["seconds"] / taken
    return facts


def search(index: Any, queries: np.ndarray) -> np.ndarray:
    """One row more than is wanted: the query itself is among them."""
    return index.search(queries, NEAR + 1)[1]


def topk(n: int) -> dict[str, Any]:
    """Exact top 100 of 256 queries, as a share of the matrix product's roof."""
    rows = unit_rows(n, n // 100, 1.0)
    queries = unit_rows(BATCH, max(1, n // 100), 1.0)
    index = faiss.IndexFlatIP(DIM)
    index.add(rows)
    work, top = 2 * BATCH * n * DIM / 1e9, roof()
    facts: dict[str, Any] = {"sgemm_gflops": top}
    for who, call in (("ramen", lambda: nearest(queries, rows, TOP)), ("faiss", lambda: index.search(queries, TOP))):
        call()  # compiles
        taken, runs, found = timed(call)
        facts[who] = {"seconds": taken, "runs": runs, "gflops": work / taken, "of_the_roof": work / taken / top}
        facts[who]["scores"] = np.asarray(found[1 if who == "ramen" else 0])
    # Rows may differ where rounding makes or breaks a tie; the scores may not.
    np.testing.assert_allclose(facts["ramen"].pop("scores"), facts["faiss"].pop("scores"), atol=1e-5)
    facts["times_faster_than_faiss"] = facts["faiss"]["seconds"] / facts["ramen"]["seconds"]
    return facts


def cosine(rows: np.ndarray, assigned: np.ndarray) -> float:
    """Mean cosine of the rows with the mean of their cluster: the length of each cluster's sum, over all rows."""
    order, bounds = np.argsort(assigned, kind="stable"), np.cumsum(np.bincount(assigned))
    parts = np.split(rows[order], bounds[:-1])
    return float(sum(np.linalg.norm(part.sum(0)) for part in parts) / len(rows))


def unit_rows(n: int, centres: int, noise: float) -> np.ndarray:
    """Unit rows around random unit centres, with noise of this length."""
    rng = np.random.default_rng(0)
    middle = rng.normal(size=(centres, DIM)).astype(np.float32)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    rows = middle[rng.integers(0, centres, n)]
    for start in range(0, n, 65_536):  # the noise of a million rows is 3 GB as it is drawn
        part = rows[start : start + 65_536]
        part += (noise / np.sqrt(DIM) * rng.normal(size=part.shape)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def timed(call: Callable[[], Any]) -> tuple[float, int, Any]:
    """Median seconds, of how many runs, and the result."""
    taken: list[float] = []
    while len(taken) < 5:
        start = time.perf_counter()
        found = call()
        taken.append(time.perf_counter() - start)
        if taken[0] > ONCE:
            break
    return statistics.median(taken), len(taken), found


def roof() -> float:
    """GFLOP/s of a square product in float32, the best of five."""
    square = np.random.default_rng(0).random((3072, 3072), dtype=np.float32)
    best = np.inf
    for _ in range(6):
        start = time.perf_counter()
        square @ square
        best = min(best, time.perf_counter() - start)
    return 2 * 3072**3 / best / 1e9


if __name__ == "__main__":
    sys.exit(main())
