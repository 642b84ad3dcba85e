"""What a parent graph of the labels adds, on package texts with two-level labels (``works with audio``).

    RAMEN_DATA=FOLDER python benchmarks/label_trees.py [--points 1000] [--seeds 0 1 2]

Points are those of LF-DebianRelated that have debtags; labels are the debtags, read from its graph of that
name. Their facet, such as ``works with``, is the parent; a label's text is the rest. Each line is the mean of test
figures over the seeds, with the difference to training without the tree and a paired test for each seed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ramen import from_lists, load_dataset, train
from ramen.data import Dataset
from ramen.inference.comparison import compare_rankings
from ramen.inference.evaluation import rankings

METRICS = ("P@1", "P@5", "PSP@5", "R@10")
SYSTEMS = ("no tree", "graph: labels to parents", "graph: labels and points to parents", "parent in the label's text")
FACETS = (
    "accessibility", "admin", "biology", "culture", "devel", "field", "filetransfer", "game", "hardware",
    "implemented in", "interface", "junior", "mail", "made of", "network", "office", "protocol", "role", "science",
    "scope", "security", "sound", "special", "suite", "system", "uitoolkit", "use", "web", "works with",
    "works with format", "x11",
)  # fmt: skip
TESTED = 1000  # points of the test part


def main() -> int:
    """Measure and print a table; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=1000, help="of the training part")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SYSTEMS[1:]}
    for seed in options.seeds:
        texts, labels = packages(options.points, seed)
        print(f"seed {seed}: {len(texts)} points, {len({name for row in labels for name in row})} labels", flush=True)
        ranked, dataset = {}, None
        for name in SYSTEMS:
            dataset = build(name, texts, labels, options.points)
            with tempfile.TemporaryDirectory() as folder:
                run = train(dataset, out=Path(folder) / "run", seed=seed, overrides=options.settings)
                ranked[name] = rankings(run, dataset)
        for name in SYSTEMS[1:]:
            found[name].append(
                {system: compare_rankings(ranked[SYSTEMS[0]][key], ranked[name][key], dataset)
                 for system, key in (("joint", ""), ("encoder", "encoder"))}
            )  # fmt: skip
    for system in ("joint", "encoder"):
        for name, runs in found.items():
            cells = [cell([run[system][metric] for run in runs]) for metric in METRICS]
            print(f"| {system} | {name} | " + " | ".join(cells) + " |", flush=True)
    return 0


def packages(points: int, seed: int) -> tuple[list[str], list[list[str]]]:
    """Return texts with their debtags, training points first; the order is drawn with ``seed``."""
    whole = load_dataset(Path(os.environ["RAMEN_DATA"]) / "LF-DebianRelated")
    graph = whole.graphs["debtags"]
    assert graph.points is not None
    joined = whole.train.joined()
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(np.diff(graph.points.indptr)))[: points + TESTED]
    names = [[graph.anchors[at] for at in graph.points[row].indices] for row in rows]
    return [joined[row] for row in rows], names


def facet(label: str) -> str:
    """Return the facet of a debtag.

    Example:
        >>> facet("works with audio"), facet("works with format pdf")
        ('works with', 'works with format')
    """
    return max((name for name in FACETS if label.startswith(name + " ")), key=len, default="other")


def build(system: str, texts: list[str], labels: list[list[str]], points: int) -> Dataset:
    """Return the data set of one line of the table."""
    trained = {name for row in labels[:points] for name in row}
    labels = [[name for name in row if name in trained] for row in labels]
    leaf = {name: name.removeprefix(facet(name)).strip() for name in trained}
    if system == SYSTEMS[3]:
        leaf = {name: f"{facet(name)}: {text}" for name, text in leaf.items()}
    label_graph = {"parent": {name: [facet(name)] for name in trained}}
    held_out = [row >= points for row in range(len(texts))]
    point_graph = {"parent": [sorted({facet(name) for name in row}) for row in labels]}
    return from_lists(
        texts, labels, label_texts=leaf, keep_names=False, test=held_out,
        graphs=point_graph if system == SYSTEMS[2] else None,
        label_graphs=label_graph if system in SYSTEMS[1:3] else None,
    )  # fmt: skip


def cell(runs: list[dict[str, float]]) -> str:
    """Return the mean over the seeds, the difference to no tree, and the p-values."""
    base, value = (statistics.mean(run[name] for run in runs) for name in ("first", "second"))
    return f"{value:.1f} ({value - base:+.1f}; p {', '.join(format(run['p'], '.2f') for run in runs)})"


if __name__ == "__main__":
    sys.exit(main())
