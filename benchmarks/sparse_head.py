"""The sparse head against omikuji and LIBLINEAR: training time, P@1, non-zeros a second, time to score one text.

    RAMEN_DATA=FOLDER python benchmarks/sparse_head.py [SET ...] [--repeats 5] [--omikuji-repeats 1]

Needs omikuji, scikit-learn and matplotlib; see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from peers import OMIKUJI, measure
from reference_sets import ROOT, machine
from sklearn.svm import LinearSVC

from ramen.config import load_config
from ramen.data import Dataset, load_dataset
from ramen.data.matrices import pair_matrix
from ramen.metrics import inverse_propensity, report
from ramen.ranking.ranker import Ranker
from ramen.scorers.base import Queries
from ramen.scorers.sparse.classifier import MIN_WEIGHT, UNIFORM, SparseClassifier
from ramen.scorers.sparse.scorer import SparseParams, SparseScorer
from ramen.scorers.views import Views
from ramen.training.data import prepare
from ramen.training.held_out import HeldOut
from ramen.training.judge import HeldOutJudge
from ramen.training.split import everything, validation_split

SETS = ("LF-DebianRelated", "LF-WordNet")
WATCHED = ("P@1", "P@5", "PSP@5", "R@10")
_ALL = 20_000  # labels that LIBLINEAR can all be fitted on in minutes
_LABELS = 300  # on which it is timed where there are more
_TEXTS = 500  # scored one by one


def main() -> int:
    """Measure every set; write a json file and a plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS), metavar="SET")
    parser.add_argument("--repeats", type=int, default=5, help="fits, of which the median counts (default 5)")
    parser.add_argument("--omikuji-repeats", type=int, default=1, help="runs of each variant (default 1)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results", help="folder of the files")
    options = parser.parse_args()
    if "RAMEN_DATA" not in os.environ:
        print("benchmark: RAMEN_DATA is not set, expected the folder that holds the data sets", file=sys.stderr)
        return 2
    results = []
    for name in options.sets or SETS:
        folder = Path(os.environ["RAMEN_DATA"]) / name
        results.append({"set": name, **one_set(folder, options.repeats, options.omikuji_repeats)})
        print(json.dumps(results[-1], indent=1), flush=True)
    command = f"python benchmarks/sparse_head.py {' '.join(sys.argv[1:])}"
    facts = {"machine": machine(), "roof_gb_per_s": roof(), "command": command, "results": results}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "sparse_head.json").write_text(json.dumps(facts, indent=1) + "\n")
    plot(results, options.out / "sparse_head.png")
    return 0


def one_set(folder: Path, repeats: int, omikuji_repeats: int) -> dict[str, Any]:
    """All figures of one set. Vectors for mining are the untrained static encoder's."""
    dataset, config = load_dataset(folder), load_config("static")
    config.graphs = sorted(dataset.graphs)
    data, encoder = prepare(dataset, config)
    split = validation_split(data, encoder, _quiet)
    start = time.perf_counter()
    views = data.views(split, encoder)
    params = grid(views, HeldOut.of(data, split))
    seconds_grid = time.perf_counter() - start
    views = data.views(everything(dataset), encoder)
    words, mining = timed(views.words, params.features), timed(getattr, views, "negatives")
    fits = [timed(SparseScorer.fit, views, params) for _ in range(repeats)]
    seconds = words + mining + statistics.median(fits)
    scorer = SparseScorer.fit(views, params)
    examples = nonzeros(views, params)
    ours = {
        "system": "ramen sparse head", "choice": str(params), "seconds_words": words, "seconds_mining": mining,
        "seconds_fit": fits, "seconds": seconds,
        "seconds_with_grid": seconds_grid + seconds,
        "test": test(views, scorer, params, dataset),
        "weights_per_label": scorer.classifier.weights.nnz / dataset.n_labels,
        "nonzeros_of_examples": examples,
        "nonzeros_per_s": examples * config.sparse.passes / statistics.median(fits),
        "p50_ms_one_text": one_text(views, scorer, params, dataset),
    }  # fmt: skip
    peers = []
    for variant in OMIKUJI:
        runs = [measure(folder, f"omikuji {variant}") for _ in range(omikuji_repeats)]
        seconds = statistics.median(run["seconds"] for run in runs)
        peers.append({"system": f"omikuji {variant}", "seconds": seconds, "runs": len(runs), "test": runs[0]["test"]})
    return {"ours": ours, "peers": peers, "liblinear": liblinear(views, params, statistics.median(fits), dataset)}


def timed(work: Callable[..., Any], *arguments: Any) -> float:  # noqa: ANN401
    """Seconds of a call."""
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def grid(views: Views, held_out: HeldOut) -> SparseParams:
    """What held-out points choose for the sparse scorer alone; words, mining and every fit are in its time."""
    return SparseScorer.search(views, {}, HeldOutJudge(held_out, views, _quiet)).params


def _quiet(**figures: object) -> None:
    pass


def queries(views: Views, params: SparseParams, texts: list[str]) -> Queries:
    """Texts as the sparse head reads them."""
    words = views.words(params.features).features.transform(texts)
    return Queries(np.zeros((len(texts), 1), np.float32), words)


def test(views: Views, scorer: SparseScorer, params: SparseParams, dataset: Dataset) -> dict[str, float]:
    """Figures on the test split, filter applied (percent)."""
    filtered = pair_matrix(dataset.test_filter, dataset.test_targets.shape)
    ranker = Ranker({"sparse": scorer}, {"sparse": 1.0})
    ranked = ranker.rank(queries(views, params, dataset.test.joined()), 10, filtered)[0]
    propensities = inverse_propensity(dataset.train_targets, dataset.card.A, dataset.card.B)
    figures = report(ranked, dataset.test_targets, propensities, ks=(1, 5, 10))
    return {name: figures[name] for name in WATCHED}


def one_text(views: Views, scorer: SparseScorer, params: SparseParams, dataset: Dataset) -> float:
    """Median milliseconds from one text to its 10 best labels, features included."""
    texts = dataset.test.joined()[:_TEXTS]
    scorer.propose(queries(views, params, texts[:1]), 10)
    return 1000 * statistics.median(
        timed(lambda text: scorer.propose(queries(views, params, [text]), 10), text) for text in texts
    )


def examples_of(views: Views, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and signs of a label's examples, as many and of the kinds that the sparse head takes."""
    positive = views.targets[:, [label]].nonzero()[0]
    rng = np.random.default_rng(label)
    uniform = rng.integers(0, views.targets.shape[0], UNIFORM)
    known = np.union1d(positive, views.filtered[:, [label]].nonzero()[0])
    negative = np.setdiff1d(np.union1d(views.negatives[label].indices, uniform), known)
    return np.concatenate([positive, negative]), np.repeat([1, -1], [len(positive), len(negative)])


def nonzeros(views: Views, params: SparseParams) -> int:
    """Non-zeros of all labels' examples: what one pass reads. Uniform negatives count with their mean."""
    lengths = np.diff(views.words(params.features).points.indptr)
    taken = sp.csr_matrix(views.targets.T) + views.negatives
    taken.data[:] = 1
    uniform = UNIFORM * lengths.mean() * taken.shape[0]
    return int((taken @ lengths).sum() + uniform)


def liblinear(views: Views, params: SparseParams, seconds: float, dataset: Dataset) -> dict[str, Any]:
    """scikit-learn's LinearSVC on the same examples: of all labels, or with many of some, its time scaled to all."""
    rows = views.words(params.features).points
    n_labels = views.targets.shape[1]
    is_whole = n_labels <= _ALL
    labels = np.arange(n_labels) if is_whole else np.random.default_rng(0).choice(n_labels, _LABELS, replace=False)
    warnings.simplefilter("ignore")  # ten passes are fewer than it would like
    spent, weights, bias = 0.0, [], np.full(n_labels, -1.0, dtype=np.float32)
    for label in labels:
        taken, signs = examples_of(views, label)
        if len(set(signs)) < 2:
            weights.append(sp.csr_matrix((1, rows.shape[1]), dtype=np.float32))
            continue
        model = LinearSVC(C=params.C, max_iter=views.config.sparse.passes)
        spent += timed(model.fit, rows[taken], signs)
        found = np.where(np.abs(model.coef_) < MIN_WEIGHT, 0, model.coef_)
        weights.append(sp.csr_matrix(found, dtype=np.float32))
        bias[label] = model.intercept_[0]
    every = spent / len(labels) * n_labels
    result = {"labels": len(labels), "seconds_all_labels": every, "ratio_to_our_fit": every / seconds}
    if is_whole:
        scorer = SparseScorer(SparseClassifier(sp.vstack(weights, format="csr"), bias), params)
        result["test"] = test(views, scorer, params, dataset)
    return result


def roof() -> float:
    """Gigabytes a second that two copies of memory read and write, the median of five."""
    source = np.ones(1 << 27, dtype=np.float32)
    target = np.empty_like(source)
    return 2 * source.nbytes / statistics.median(timed(np.copyto, target, source) for _ in range(5)) / 1e9


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Training time against P@1."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(4.5 * len(results), 3.6), squeeze=False)
    for axis, result in zip(axes[0], results, strict=True):
        ours = result["ours"]
        points = [(ours["seconds"], ours["test"]["P@1"], "sparse head")]
        points.append((ours["seconds_with_grid"], ours["test"]["P@1"], "with its grid"))
        points += [(peer["seconds"], peer["test"]["P@1"], peer["system"]) for peer in result["peers"]]
        if "test" in result["liblinear"]:
            points.append((result["liblinear"]["seconds_all_labels"], result["liblinear"]["test"]["P@1"], "LinearSVC"))
        for seconds, value, name in points:
            axis.scatter(seconds, value, marker="o" if "omikuji" not in name else "s")
            axis.annotate(name, (seconds, value), textcoords="offset points", xytext=(6, -10), fontsize=8)
        axis.set(xlabel="seconds of training", ylabel="P@1, percent", title=result["set"])
        axis.margins(0.25)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
