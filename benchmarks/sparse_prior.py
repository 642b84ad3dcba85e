"""Where the prior of the sparse head pays: none, the label text, with anchors, with random ones; few pairs or all.

    RAMEN_DATA=FOLDER python benchmarks/sparse_prior.py [SET ...] [--shares 0.1 0.3 1]

The sparse head alone on the test split (percent, filter applied). A share of the training points keeps its pairs, the
others are taken out. Settings are the defaults of every set alike: nothing is chosen. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
from sparse_head import WATCHED, test

from ramen.config import load_config
from ramen.data import Dataset, load_dataset
from ramen.scorers.sparse.scorer import SparseParams, SparseScorer
from ramen.training.data import prepare
from ramen.training.split import everything

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
    data, encoder = prepare(dataset, config)
    n = len(dataset.train)
    kept = np.sort(np.random.default_rng(0).permutation(n)[: round(share * n)])
    views = data.views(dataclasses.replace(everything(dataset), train_rows=kept), encoder)
    linked = dict.fromkeys(config.graphs, config.sparse.anchors)
    choices = {
        "none": SparseParams("words", config.sparse.C, 0.0, {}),
        "text": SparseParams("words", config.sparse.C, config.sparse.prior, {}),
        "text and anchors": SparseParams("words", config.sparse.C, config.sparse.prior, linked),
        "text and random anchors": SparseParams("words", config.sparse.C, config.sparse.prior, linked),
    }
    order = np.random.default_rng(1).permutation(dataset.n_labels)
    shuffled = {graph: links[order] for graph, links in views.links.items()}
    for prior, params in choices.items():
        if "random" in prior:
            views.links = shuffled
        figures = test(views, SparseScorer.fit(views, params), params, dataset)
        print(
            f"| {name} | {len(kept):,} | {prior} | " + " | ".join(f"{figures[m]:.2f}" for m in WATCHED) + " |",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
