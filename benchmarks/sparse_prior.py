"""Where the prior of the sparse head pays: none, the label text, with anchors, with random ones; few pairs or all.

    RAMEN_DATA=FOLDER python benchmarks/sparse_prior.py [SET ...] [--shares 0.1 0.3 1]

The sparse head alone on the test split (percent, filter applied). A share of the training points keeps its pairs, the
others are taken out. Settings are the defaults of every set alike: nothing is chosen. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from ramen.training.fit import Fitter
from sparse_head import WATCHED, test

from ramen.config import load_config
from ramen.data import Dataset, load_dataset
from ramen.scorers.sparse.search import SparseChoice
from ramen.training.data import prepare
from ramen.training.split import Split

SETS = ("LF-DebianRelated", "LF-ManSeeAlso", "LF-WordNet")


def main() -> int:
    """Print a table row for each set, share and prior."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS), metavar="SET")
    parser.add_argument("--shares", nargs="+", type=float, default=[0.1, 1.0])
    options = parser.parse_args()
    if "RAMEN_DATA" not in os.environ:
        print("benchmark: RAMEN_DATA is not set, expected the folder that holds the data sets", file=sys.stderr)
        return 2
    print("| set | points with pairs | prior | " + " | ".join(WATCHED) + " |\n" + "|---" * (3 + len(WATCHED)) + "|")
    for name in options.sets:
        dataset = load_dataset(Path(os.environ["RAMEN_DATA"]) / name)
        for share in options.shares:
            rows(name, dataset, share)
    return 0


def rows(name: str, dataset: Dataset, share: float) -> None:
    """The priors on one share of the points."""
    config = load_config("static")
    config.graphs = sorted(dataset.graphs)
    material, encoder = prepare(dataset, config)
    n = len(dataset.train)
    kept = np.sort(np.random.default_rng(0).permutation(n)[: round(share * n)])
    none = np.empty(0, dtype=np.int64)
    fitter = Fitter(
        material,
        Split(kept, none, dataset.train_targets, *(dataset.train_targets[none] for _ in range(3))),
        encoder,
    )
    linked = dict.fromkeys(config.graphs, config.sparse.anchors)
    choices = {
        "none": SparseChoice("words", config.sparse.C, 0.0, {}),
        "text": SparseChoice("words", config.sparse.C, config.sparse.prior, {}),
        "text and anchors": SparseChoice("words", config.sparse.C, config.sparse.prior, linked),
        "text and random anchors": SparseChoice("words", config.sparse.C, config.sparse.prior, linked),
    }
    true = {kind: graph.labels for kind, graph in dataset.graphs.items()}
    for prior, choice in choices.items():
        if "random" in prior:
            for graph in dataset.graphs.values():
                if graph.labels is not None:
                    graph.labels = graph.labels[np.random.default_rng(1).permutation(graph.labels.shape[0])]
        figures = test(fitter, fitter.sparse(choice), choice, dataset)
        print(
            f"| {name} | {len(kept):,} | {prior} | " + " | ".join(f"{figures[m]:.2f}" for m in WATCHED) + " |",
            flush=True,
        )
    for kind, graph in dataset.graphs.items():
        graph.labels = true[kind]


if __name__ == "__main__":
    sys.exit(main())
