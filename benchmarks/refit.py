"""How the encoder of the search becomes that of all points: kept as it is, trained for some epochs more, or anew.

    python benchmarks/refit.py DATA [--seeds 0 1 2] [--graphs all] [--out FOLDER]

The search's encoder, trained without the held-out points with fixed weights of the graphs, is the same for the three;
so are the scorers' hyperparameters (neighbours, words) and the ranking learned from the held-out points. The test split
is measured.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reference_sets import ROOT, _commit, machine

import ramen
from ramen.config import load_config
from ramen.inference.evaluation import evaluate
from ramen.scorers.registry import SCORERS
from ramen.threads import one_blas_thread
from ramen.training.checks import checked_dataset, torch_threads
from ramen.training.data import prepare
from ramen.training.encoder_loop import train_encoder
from ramen.training.graph_search import search_graph_weights
from ramen.training.held_out import HeldOut
from ramen.training.judge import HeldOutJudge
from ramen.training.model import Model, Params
from ramen.training.ranker_search import search_ranker
from ramen.training.run_folder import RunFolder
from ramen.training.split import everything, validation_split

WAYS = ("as it is", "going on", "anew")
COLUMNS = ("P@1", "P@5", "PSP@5", "R@10")
CHEAP = ("encoder", "neighbours", "sparse")


def main() -> int:
    """Measure, print and write; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--graphs", default="all")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
    facts |= {"set": options.data.name, "graphs": options.graphs, "rows": []}
    options.out.mkdir(parents=True, exist_ok=True)
    with torch_threads(), one_blas_thread():
        for seed in options.seeds:
            for row in measure(options.data, options.graphs, seed):
                facts["rows"].append(row)
                print(json.dumps(row), flush=True)
                (options.out / "refit.json").write_text(json.dumps(facts, indent=1) + "\n")
    for way in WAYS:
        rows = [row for row in facts["rows"] if row["way"] == way]
        means = (f"{name} {statistics.mean(row[name] for row in rows):.2f}" for name in COLUMNS)
        print(f"{way}: {', '.join(means)}, {statistics.mean(row['seconds'] for row in rows):.0f} s")
    return 0


def measure(folder: Path, graphs: str, seed: int) -> list[dict[str, Any]]:
    """The test figures of each way, and the seconds that it trained."""
    dataset, config = ramen.load_dataset(folder), load_config("static", ["graph.lambda=fixed", "dense.epochs=0"])
    config.seed = seed
    data, untrained = prepare(checked_dataset(dataset, config, graphs), config)
    rows = []
    with tempfile.TemporaryDirectory(prefix="ramen-benchmark-") as temporary:
        search = RunFolder(Path(temporary) / "search", resume=False)
        with search.open(config, data.dataset):
            split = validation_split(data, untrained, search.log)
            found = copy.deepcopy(untrained)
            attempt = search_graph_weights(data, split, found, search)
            views, kinds = attempt.views, {name: SCORERS[name] for name in CHEAP}
            params = {name: kind.default_params(config) for name, kind in kinds.items()}
            scorers = {name: kind.fit(views, params[name]) for name, kind in kinds.items()}
            ranker = search_ranker(scorers, HeldOutJudge(HeldOut.of(data, split), views, search.log))
        chosen = Params(attempt.graphs, {name: params[name] for name in ranker.weights}, ranker)
        whole = data.with_graphs(everything(data.dataset))
        for way in WAYS:
            encoder = copy.deepcopy(untrained if way == "anew" else found)
            start = time.perf_counter()
            if way != "as it is":
                train_encoder(encoder, data, whole, attempt.graphs.lambdas, None, _quiet, refit=way == "going on")
            seconds = time.perf_counter() - start
            all_views = data.views(whole, encoder)
            fitted = {name: SCORERS[name].fit(all_views, chosen.scorers[name]) for name in chosen.scorers}
            run = RunFolder(Path(temporary) / way.replace(" ", "-"), resume=False)
            with run.open(config, data.dataset):
                run.save(Model(encoder, all_views, fitted, ranker, data.dataset.labels), chosen)
            test = evaluate(run.path, dataset)["test"]
            rows.append({"seed": seed, "way": way, "seconds": seconds, **{name: test[name] for name in COLUMNS}})
    return rows


def _quiet(**figures: object) -> None:
    """Epochs are not logged."""


if __name__ == "__main__":
    raise SystemExit(main())
