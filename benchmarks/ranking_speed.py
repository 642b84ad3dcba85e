"""What the learned ranking costs when a text is tagged: the same run by trees and by its weighted sum, in turns.

    OMP_NUM_THREADS=1 python benchmarks/ranking_speed.py RUN --data DATA [--texts 200] [--out FOLDER]

RUN is one that `ramen train` has made, whose ranking is learned; texts are those of the data set's test part. One
thread, no index; each text is tagged by both, one right after the other, in five rounds. Also the time of the features
and of the trees alone, and of the reasons (`why`) of five labels.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from reference_sets import _commit, machine

import ramen
from ramen.inference.explain import explain
from ramen.ranking.candidates import CANDIDATES, gather
from ramen.ranking.ranker import Ranker
from ramen.threads import limited

ROOT = Path(__file__).resolve().parents[1]
_ROUNDS = 5


def main() -> int:
    """Measure, print and write the result; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    texts = ramen.load_dataset(options.data).test.joined()[: options.texts]
    tagger = ramen.Tagger.load(options.run, index=False)
    if tagger.run.ranker.learned is None:
        print(f"{options.run}: ranks by the weighted sum, expected a run whose ranking is learned", file=sys.stderr)
        return 2
    with limited(1):
        figures = measure(tagger, texts)
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine(), "set": options.data.name,
        "labels": len(tagger.run.uids), "texts": len(texts), "trees": len(tagger.run.ranker.learned.trees.roots),
        **figures,
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "ranking_speed.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))
    return 0


def measure(tagger: ramen.Tagger, texts: list[str]) -> dict[str, Any]:
    """Milliseconds a text: medians over texts and rounds, and of the rounds' ratios."""
    learned = tagger.run.ranker
    plain = Ranker(learned.scorers, learned.weights)
    rounds: dict[str, list[float]] = {"trees": [], "weighted sum": []}
    for _ in range(_ROUNDS + 1):  # the first warms up
        taken: dict[str, list[float]] = {name: [] for name in rounds}
        for text in texts:
            for name, ranker in (("trees", learned), ("weighted sum", plain)):
                tagger.run.ranker = ranker
                taken[name].append(timed(lambda text=text: tagger.tag([text], 5)))
        for name, values in taken.items():
            rounds[name].append(float(np.median(values)))
    tagger.run.ranker = learned
    medians = {name: np.array(values[1:]) for name, values in rounds.items()}
    parts: dict[str, list[float]] = {"features": [], "trees": [], "reasons of five labels": []}
    candidates = []
    for text in texts:
        queries = tagger.queries([text])
        gathered = gather(learned.scorers, queries, CANDIDATES)
        assert learned.learned is not None
        matrix = learned.learned.features.matrix(queries, gathered)
        rows = matrix.reshape(-1, matrix.shape[2])
        candidates.append(len(rows))
        parts["features"].append(timed(lambda q=queries, g=gathered: learned.learned.features.matrix(q, g)))
        parts["trees"].append(timed(lambda rows=rows: learned.learned.trees.scores(rows)))
        labels = learned.rank(queries, 5)[0]
        parts["reasons of five labels"].append(timed(lambda text=text, labels=labels: explain(tagger, [text], labels)))
    return {
        "p50_ms": {name: float(np.median(values)) for name, values in medians.items()},
        "ratio": float(np.median(medians["trees"] / medians["weighted sum"])),
        "part_ms": {name: float(np.median(values)) for name, values in parts.items()},
        "candidates": float(np.median(candidates)),
    }


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main())
