"""Kinds of dense classifiers on the same vectors of one run's encoder: quality alone, bytes, seconds an epoch.

ramen train $RAMEN_DATA/LF-DebianRelated --out runs/debian --graphs none
python benchmarks/head_kinds.py runs/debian $RAMEN_DATA/LF-DebianRelated [--kinds dense bf16]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from reference_sets import _commit, machine
from safetensors.numpy import load_file

import ramen
from ramen.config import Config, load_config
from ramen.data.matrices import pair_matrix
from ramen.metrics import inverse_propensity, report
from ramen.ranking.ranker import Ranker
from ramen.scorers.base import Queries
from ramen.scorers.dense.build import classifier_memory
from ramen.scorers.dense.scorer import DenseScorer
from ramen.scorers.dense.train import train_epochs
from ramen.scorers.sparse.features import TextFeatures
from ramen.scorers.views import Views

ROOT = Path(__file__).resolve().parents[1]
KINDS = {
    "dense": [],
    "bf16": ["dense.precision=bf16"],
    "shortlist": ["dense.kind=shortlist", "dense.negatives=top"],
}
TOP = 100  # labels a point with dense.negatives=top


def main() -> int:
    """Measure and write the result; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder with a static encoder")
    parser.add_argument("data", type=Path)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("overrides", nargs="*", help="settings of all, such as dense.loss=bce")
    options = parser.parse_intermixed_args()
    dataset, tagger = ramen.load_dataset(options.data), ramen.Tagger.load(options.run)
    vectors = {name: tagger.queries(texts.joined()).vectors for name, texts in
               (("train", dataset.train), ("test", dataset.test))}  # fmt: skip
    labels = load_file(options.run / "scorers/encoder/vectors.safetensors")["vectors"]
    facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
    facts |= {"data": dataset.path.name, "labels": len(labels), "dim": labels.shape[1], "epochs": options.epochs}
    facts["kinds"] = {}
    for kind in options.kinds:
        overrides = [*KINDS[kind], f"dense.epochs={options.epochs}", *options.overrides]
        facts["kinds"][kind] = measure(dataset, vectors, labels, overrides)
        print(kind, json.dumps(facts["kinds"][kind]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "head_kinds.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def measure(dataset: Any, vectors: dict[str, np.ndarray], labels: np.ndarray, overrides: list[str]) -> dict[str, Any]:
    """One kind: figures of the classifiers alone on the test split after each epoch."""
    config = load_config("static", overrides)
    views = views_of(dataset, vectors["train"], labels, config)
    weights = inverse_propensity(dataset.train_targets, dataset.card.A, dataset.card.B)
    test_filter = pair_matrix(dataset.test_filter, dataset.test_targets.shape)
    found: dict[str, Any] = {"overrides": overrides, "top": TOP, "seconds": [], "test": []}
    found["training_bytes"] = classifier_memory(len(labels), labels.shape[1], config.dense)
    start = time.perf_counter()
    for epoch, classifier, _ in train_epochs(views, "own", TOP):
        if epoch:
            found["seconds"].append(round(time.perf_counter() - start, 1))
            scorer = DenseScorer(classifier.label_weights())
            ranked = Ranker({"dense": scorer}, {"dense": 1.0}).rank(Queries(vectors["test"]), 10, test_filter)[0]
            figures = report(ranked, dataset.test_targets, weights, ks=(1, 5, 10))
            found["test"].append({name: round(figures[name], 2) for name in ("P@1", "P@5", "PSP@5", "R@10")})
        start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        scorer.save(Path(folder))
        found["file_bytes"] = sum(path.stat().st_size for path in Path(folder).iterdir())
    return found


def views_of(dataset: ramen.Dataset, points: np.ndarray, labels: np.ndarray, config: Config) -> Views:
    """All training points with a label as the run's encoder sees them, and its label vectors to start from."""
    targets = dataset.train_targets
    rows = np.flatnonzero(np.diff(targets.indptr))
    return Views(
        config=config,
        rows=rows,
        targets=targets[rows],
        filtered=pair_matrix(dataset.train_filter, targets.shape)[rows],
        points=points,
        labels=labels,
        starts={"own": labels},
        source=TextFeatures(dataset.train.joined(), dataset.labels.joined(), {}, config.sparse, with_anchors=False),
        names=list,
        titles=None,
        label_titles=None,
        links={},
        extension_map=lambda: None,
    )


if __name__ == "__main__":
    sys.exit(main())
