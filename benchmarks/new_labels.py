"""Labels that come after training: a tenth of a set's labels is hidden, then added from their texts.

    RAMEN_DATA=FOLDER python benchmarks/new_labels.py [SET] [--folder DIR] [--out FOLDER]

R@10 of the test pairs of the hidden labels, and of all others: of a run trained on all labels, of one trained without
the hidden ones, and of that one with them added by ``ramen labels add``, from texts alone and with two example texts
each, drawn from the training points.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from reference_sets import _commit, machine

import ramen
from ramen.data import Dataset
from ramen.data.dataset import Texts

ROOT = Path(__file__).resolve().parents[1]
SHARE, EXAMPLES, K = 0.1, 2, 10


def main() -> int:
    """Train where the folder has no runs yet, add, measure and write the result; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", nargs="?", default="LF-DebianRelated")
    parser.add_argument("--folder", type=Path, help="for the runs, which are kept; else temporary")
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("--seed", type=int, default=1, help="of the labels that are hidden; 0 chose how they are added")
    options = parser.parse_args()
    dataset = ramen.load_dataset(Path(os.environ["RAMEN_DATA"]) / options.set)
    hidden = np.random.default_rng(options.seed).random(dataset.n_labels) < SHARE
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name, seen in (("all", dataset), ("hidden", without(dataset, hidden))):
            if not (folder / name / "manifest.json").exists():
                shutil.rmtree(folder / name, ignore_errors=True)
                ramen.train(seen, out=folder / name)
        if options.train_only:
            return 0
        facts: dict[str, Any] = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine(), "set": options.set,
            "seed": options.seed, "hidden": int(hidden.sum()), "labels": dataset.n_labels,
            "systems": measure(folder, dataset, hidden, options.seed),
        }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "new_labels.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts["systems"], indent=1))
    return 0


def without(dataset: Dataset, hidden: np.ndarray) -> Dataset:
    """The data set as if some labels did not exist."""
    kept = np.flatnonzero(~hidden)
    place = np.cumsum(~hidden) - 1

    def pairs(filtered: np.ndarray) -> np.ndarray:
        seen = filtered[~hidden[filtered[:, 1]]]
        return np.column_stack([seen[:, 0], place[seen[:, 1]]])

    graphs = {
        kind: dataclasses.replace(graph, labels=None if graph.labels is None else graph.labels[kept])
        for kind, graph in dataset.graphs.items()
    }
    return dataclasses.replace(
        dataset, labels=_some(dataset.labels, kept), graphs=graphs, features=None,
        train_targets=dataset.train_targets[:, kept], test_targets=dataset.test_targets[:, kept],
        train_filter=pairs(dataset.train_filter), test_filter=pairs(dataset.test_filter),
    )  # fmt: skip


def _some(texts: Texts, rows: np.ndarray) -> Texts:
    return Texts(*([part[row] for row in rows] for part in (texts.uids, texts.titles, texts.contents)))


def measure(folder: Path, dataset: Dataset, hidden: np.ndarray, seed: int) -> dict[str, dict[str, float]]:
    """R@10 of the hidden labels' test pairs and of the others', by system."""
    from ramen.inference.labels import add_labels

    systems = {"trained on all": folder / "all", "without them": folder / "hidden"}
    rng, joined, points = np.random.default_rng(seed), dataset.labels.joined(), dataset.train.joined()
    columns = dataset.train_targets.tocsc()
    seconds = {}
    for name, examples in (("added from texts", 0), (f"added with {EXAMPLES} examples", EXAMPLES)):
        run = folder / f"added{examples}"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(folder / "hidden", run)
        entries = []
        for label in np.flatnonzero(hidden).tolist():
            entry: dict[str, Any] = {"uid": dataset.labels.uids[label], "text": joined[label]}
            known = columns.indices[columns.indptr[label] : columns.indptr[label + 1]]
            drawn = rng.permutation(known)[:examples].tolist()
            if drawn:
                entry["examples"] = [points[row] for row in drawn if points[row].strip()]
            entries.append(entry)
        start = time.perf_counter()
        add_labels(run, [entry for entry in entries if entry["text"].strip()])
        seconds[name] = time.perf_counter() - start
        systems[name] = run
    return {name: {**recalls(run, dataset, hidden), "add_s": seconds.get(name, 0.0)} for name, run in systems.items()}


def recalls(run: Path, dataset: Dataset, hidden: np.ndarray) -> dict[str, float]:
    """Mean over test points of the share of their labels, hidden or others, among the first ten."""
    tagger = ramen.Tagger.load(run)
    place = {uid: label for label, uid in enumerate(dataset.labels.uids)}
    to = np.array([place[uid] for uid in tagger.run.uids])
    order = {label: at for at, label in enumerate(to.tolist())}
    pairs = [(row, order[label]) for row, label in dataset.test_filter.tolist() if label in order]
    shape = (len(dataset.test), len(to))
    rows, labels = (np.array(part, dtype=np.int64) for part in (zip(*pairs, strict=True) if pairs else ((), ())))
    filtered = sp.csr_matrix((np.ones(len(rows)), (rows, labels)), shape=shape)
    found, _ = tagger.run.ranker.rank(tagger.queries(dataset.test.joined()), K, filtered)
    first = np.where(found >= 0, to[np.maximum(found, 0)], -1)
    told = {}
    for name, counts in (("R@10 hidden", hidden), ("R@10 others", ~hidden)):
        shares = []
        for row, mine in enumerate(first):
            true = dataset.test_targets.indices[slice(*dataset.test_targets.indptr[row : row + 2])]
            true = true[counts[true]]
            if len(true):
                shares.append(np.isin(true, mine).mean())
        told[name] = 100.0 * float(np.mean(shares))
    return told


if __name__ == "__main__":
    sys.exit(main())
