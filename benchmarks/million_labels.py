"""The preset million on planted sets of 10,000 to a million labels, end to end: seconds, memory and P@1 by stage.

    python benchmarks/million_labels.py [--labels 10000 100000 1000000] [--folder DIR] [--out FOLDER]

Each size has as many points as labels, every fifth of them held out. Generating and training are processes of their
own, for their peaks of memory. "What the truth allows" is the P@1 of one who knows the latent groups and topics of all
points and labels, and of the labels' popularity what the training pairs show; equal labels are drawn by lot.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from ramen.data.recipes.planted import _TOPIC_PULL
from reference_sets import _commit, machine

import ramen
from ramen.data import Dataset

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Measure and write the result; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="for the sets and runs, which are kept; else temporary")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
    facts |= {"seed": options.seed, "roof": roof(), "sizes": []}
    with tempfile.TemporaryDirectory() as temporary:
        for labels in options.labels:
            facts["sizes"].append(measure(labels, options.seed, (options.folder or Path(temporary)) / str(labels)))
            (options.out / "million_labels.json").write_text(json.dumps(facts, indent=1) + "\n")
            print(json.dumps(facts["sizes"][-1], indent=1), flush=True)
    draw(facts, options.out / "million_labels.png")
    return 0


def measure(labels: int, seed: int, folder: Path) -> dict[str, Any]:
    """One size: generate, train with its evaluation, and what the log says of the stages."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ramen_ = [sys.executable, "-m", "ramen.cli.main"]
    options = [f"points={labels}", f"labels={labels}", f"seed={seed}"]
    generate = _run([*ramen_, "data", "prepare", "planted", "--out", str(folder / "set"), *options])
    command = ["train", str(folder / "set"), "--preset", "million", "--graphs", "links", "--out", str(folder / "run")]
    train = _run([*ramen_, *command, "--seed", str(seed)])
    lines = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]
    times = lines[-1]["seconds"]
    stages = {"generate": generate["seconds"], "start": train["seconds"] - sum(times.values()), **times}
    metrics = json.loads((folder / "run/metrics.json").read_text())
    dataset = ramen.load_dataset(folder / "set")
    allowed = allowed_precision(dataset, np.load(folder / "set/truth.npz"), seed)
    return {
        "labels": labels,
        "seconds": generate["seconds"] + train["seconds"],
        "peak_gb": max(generate["peak_gb"], train["peak_gb"]),
        "stages": stages,
        "peaks_gb": {"generate": generate["peak_gb"], "train": train["peak_gb"]},
        "run_bytes": sum(path.stat().st_size for path in (folder / "run").rglob("*") if path.is_file()),
        "weights": metrics["chosen"]["weights"],
        "test": {name: metrics["test"][name] for name in ("P@1", "P@5", "PSP@5", "R@10", "R@100")},
        "scorers": {name: figures["P@1"] for name, figures in metrics["scorers"].items()},
        "allowed_P@1": 100 * allowed,
        "share_of_allowed": metrics["test"]["P@1"] / (100 * allowed),
    }


def allowed_precision(dataset: Dataset, truth: Any, seed: int) -> float:
    """P@1 of the label that group, topic and training pairs together make the likeliest."""
    label_groups, label_topics = truth["label_groups"], truth["label_topics"]
    groups, n_groups = truth["test_groups"], int(label_groups.max()) + 1
    labels = groups[:, :, None] + n_groups * np.arange(-(-len(label_groups) // n_groups))
    is_label = (groups[:, :, None] >= 0) & (labels < len(label_groups))
    labels = np.where(is_label, labels, 0)
    twins = np.full(len(groups), -1)
    twins[dataset.test_filter[:, 0]] = dataset.test_filter[:, 1]
    is_label &= labels != twins[:, None, None]
    popularity = 1.0 + np.bincount(dataset.train_targets.indices, minlength=dataset.n_labels)
    pull = np.where(label_topics[labels] == truth["test_topics"][:, None, None], _TOPIC_PULL, 1.0)
    lot = 1 + 1e-6 * np.random.default_rng(seed).random(labels.shape)
    likely = np.where(is_label, popularity[labels] * pull * lot, -1.0).reshape(len(groups), -1)
    best = labels.reshape(len(groups), -1)[np.arange(len(groups)), likely.argmax(1)]
    return float(np.asarray(dataset.test_targets[np.arange(len(groups)), best]).mean())


def roof() -> dict[str, float]:
    """What the machine can do: matrix products and copying."""
    a = np.random.default_rng(0).random((4096, 4096), dtype=np.float32)
    product, copy = (min(_seconds(work) for _ in range(3)) for work in (lambda: a @ a, a.copy))
    return {"sgemm_gflops": 2 * 4096**3 / product / 1e9, "copy_gb_a_second": 2 * a.nbytes / copy / 1e9}


def draw(facts: dict[str, Any], path: Path) -> None:
    """Seconds by stage, peak of memory, and seconds against n and n log n, by the number of labels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = facts["sizes"]
    names = list(dict.fromkeys(name for size in sizes for name in size["stages"]))
    labels = [f"{size['labels']:,}" for size in sizes]
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    bottom = np.zeros(len(sizes))
    for name in names:
        seconds = np.array([size["stages"].get(name, 0.0) / size["seconds"] for size in sizes])
        left.bar(labels, seconds, bottom=bottom, label=name)
        bottom += seconds
    left.set(title="share of the time by stage", xlabel="labels")
    left.legend(fontsize=8)
    middle.bar(labels, [size["peak_gb"] for size in sizes])
    middle.set(title="peak of memory, GB", xlabel="labels")
    n = np.array([size["labels"] for size in sizes], dtype=float)
    seconds = np.array([size["seconds"] for size in sizes])
    right.loglog(n, seconds, "o-", label="measured")
    right.loglog(n, seconds[0] * n / n[0], "--", label="L, from the first")
    right.loglog(n, seconds[0] * n * np.log(n) / (n[0] * np.log(n[0])), ":", label="L log L, from the first")
    right.set(title="seconds in all", xlabel="labels")
    right.legend()
    figure.savefig(path, dpi=110)


def _run(command: list[str]) -> dict[str, float]:
    start = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: ended with {os.waitstatus_to_exitcode(status)}")
    return {"seconds": time.perf_counter() - start, "peak_gb": usage.ru_maxrss / 2**20}


def _seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
