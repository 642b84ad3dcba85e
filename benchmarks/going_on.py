"""Going on from a run beside training anew: a run on 80 % of the training points, then all of them.

    RAMEN_DATA=FOLDER python benchmarks/going_on.py [SET] [--out FOLDER] [--folder DIR] [KEY=VALUE ...]

The test split is measured, and CPU seconds of this process from reading the data to the finished run. The first
training compiles kernels, so its seconds are not compared. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from reference_sets import _commit, machine

import ramen
from ramen.data import Dataset
from ramen.data.dataset import Texts

ROOT = Path(__file__).resolve().parents[1]
SHARE = 0.8  # of the training points, which the first run has
COLUMNS = ("P@1", "P@5", "PSP@5", "R@10")


def main() -> int:
    """Train, measure, print and write; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", nargs="?", default="LF-DebianRelated")
    parser.add_argument("--folder", type=Path, help="for the runs, which are kept; else temporary")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("--seed", type=int, default=0, help="of all trainings, and of the points of the first")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of the first and of the new run")
    options = parser.parse_intermixed_args()
    dataset = ramen.load_dataset(Path(os.environ["RAMEN_DATA"]) / options.set)
    rows = first_rows(len(dataset.train), options.seed)
    facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
    facts |= {"set": options.set, "seed": options.seed, "points": [len(rows), len(dataset.train)], "rows": []}
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ramen-benchmark-") as temporary:
        folder, seed, words = options.folder or Path(temporary), options.seed, options.overrides
        first, set_out = folder / "first", partial(dict, seed=seed, verbose=0)
        anew = partial(ramen.train, **set_out(), overrides=words)
        go_on = partial(ramen.train_from, first, dataset, **set_out())
        ways: dict[str, Callable[[], Path]] = {
            "run on 80 %": lambda: anew(some_points(dataset, rows), out=first),
            "going on from it": lambda: go_on(out=folder / "on"),
            "going on, ranking kept": lambda: go_on(out=folder / "kept", overrides=["validation.share=0"]),
            "anew on all": lambda: anew(dataset, out=folder / "anew"),
        }
        for way, work in ways.items():
            facts["rows"].append({"way": way, **measured(work)})
            (options.out / "going_on.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(f"| {options.set} | CPU s | {' | '.join(COLUMNS)} |\n|---|{'---:|' * (1 + len(COLUMNS))}")
    for row in facts["rows"]:
        figures = " | ".join(f"{row[name]:.1f}" for name in COLUMNS)
        print(f"| {row['way']} | {row['cpu_seconds']:.0f} | {figures} |")
    return 0


def first_rows(n: int, seed: int) -> np.ndarray:
    """Rows of the points of the first run, int64, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(n)[: int(SHARE * n)])


def measured(work: Callable[[], Path]) -> dict[str, float]:
    """CPU and wall seconds of a training and its test figures."""
    start, wall = time.process_time(), time.perf_counter()
    run = work()
    spent = {"cpu_seconds": time.process_time() - start, "seconds": time.perf_counter() - wall}
    test = json.loads((run / "metrics.json").read_text())["test"]
    return {**spent, **{name: test[name] for name in COLUMNS}}


def some_points(data: Dataset, rows: np.ndarray) -> Dataset:
    """The data set with some of its training points.

    Args:
        data: the whole.
        rows: int64, ascending.
    """
    place = np.full(len(data.train), -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    filtered = data.train_filter[place[data.train_filter[:, 0]] >= 0]
    graphs = {
        kind: dataclasses.replace(graph, points=None if graph.points is None else graph.points[rows])
        for kind, graph in data.graphs.items()
    }
    points = data.train
    texts = Texts(*([part[row] for row in rows.tolist()] for part in (points.uids, points.titles, points.contents)))
    return dataclasses.replace(
        data, train=texts, train_targets=data.train_targets[rows], graphs=graphs, features=None,
        train_filter=np.column_stack([place[filtered[:, 0]], filtered[:, 1]]),
    )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
