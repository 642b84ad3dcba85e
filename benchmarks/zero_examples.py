"""Labels without any example: tag by their texts alone, untrained, beside a run that is trained on examples.

    RAMEN_DATA=FOLDER python benchmarks/zero_examples.py [SET] [--presets static transformer]

The untrained runs see nothing but the labels' texts: each is the one training point of its label, and the encoder is
the backbone as it comes (``training.epochs=0``). All are measured on the test points of SET.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen import evaluate, load_dataset, train
from ramen.data import Dataset


def main() -> int:
    """Measure and print a table; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("set", nargs="?", default="LF-DebianMini")
    parser.add_argument("--presets", nargs="+", default=["static", "transformer"])
    options = parser.parse_args()
    dataset = load_dataset(Path(os.environ["RAMEN_DATA"]) / options.set)
    for preset in options.presets:
        row(f"untrained, {preset}", labels_alone(dataset), preset, ["training.epochs=0"])
    row("trained, static", dataset, "static", [])
    return 0


def labels_alone(dataset: Dataset) -> Dataset:
    """Return the data set with the labels' texts as its only training points, and no graphs."""
    return dataclasses.replace(
        dataset, train=dataset.labels, train_targets=sp.identity(dataset.n_labels, np.float32, "csr"),
        train_filter=np.empty((0, 2), np.int64), graphs={}, features=None,
    )  # fmt: skip


def row(name: str, dataset: Dataset, preset: str, settings: list[str]) -> None:
    """Train, and print the figures of the joint ranking and of the encoder."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = train(dataset, preset=preset, out=Path(folder) / "run", overrides=settings)
        seconds = time.perf_counter() - began
        found = evaluate(run, dataset)
    for system, figures in (("joint", found["test"]), ("encoder", found["scorers"]["encoder"])):
        cells = [f"{figures[key]:.1f}" for key in ("P@1", "P@5", "R@10", "R@100")]
        print(f"| {name} | {system} | " + " | ".join(cells) + f" | {seconds:.0f} s |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
