"""A run of a million labels with and without its index: time to build and to load, time of a text, recall, memory.

    python benchmarks/serving_index.py RUN [--labels 1000000] [--folder DIR] [--out FOLDER]
    python benchmarks/serving_index.py RUN --data FOLDER
    python benchmarks/serving_index.py --vectors FILE.npy --queries FILE.npy

RUN is any run with a static encoder. Its labels' words make the texts of the new labels, its encoder their vectors,
kept in bfloat16 as dense classifiers may be kept; queries are such texts with two words exchanged. Loading, times and
memory are those of processes of their own, one text at a time. Where faiss is installed, its indexes over the same
vectors are tuned to the same recall and timed in the same run, with one thread.

With --data or --vectors the indexes alone are compared: over the texts of a data set's training points and labels, as
the run encodes them, with test texts as queries; or over vectors that you have. Writes ``serving_index_texts.json``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from index_peers import compare
from reference_sets import _commit, machine

import ramen
from ramen.data.dataset import Texts
from ramen.inference.build_index import build_index
from ramen.inference.run import Ranking, save_run
from ramen.scorers.dense.label_weights import BFloat16Weights
from ramen.scorers.encoder import EncoderScorer

ROOT = Path(__file__).resolve().parents[1]
QUERIES, K = 1000, 10

PROBE = """
import json, sys, time
import numpy as np
import ramen
from ramen.inference import Tagger
texts = json.load(open(sys.argv[2]))[: None if sys.argv[4] == "index" else 50]
Tagger.load(sys.argv[3]).tag(["compiles and imports"])  # a small run
start = time.perf_counter()
tagger = Tagger.load(sys.argv[1], index=sys.argv[4] == "index")
load = time.perf_counter() - start
tagger.tag(texts[:3], k=10)
seconds = []
for text in texts:
    start = time.perf_counter()
    tagger.tag([text], k=10)
    seconds.append(time.perf_counter() - start)
rollup = {line.split()[0][:-1]: int(line.split()[1]) / 1e6 for line in open("/proc/self/smaps_rollup") if "kB" in line}
status = {line.split()[0][:-1]: int(line.split()[1]) / 1e6 for line in open("/proc/self/status") if "kB" in line}
p50, p99 = np.percentile(seconds, [50, 99]) * 1000
print(json.dumps({"load_s": load, "p50_ms": p50, "p99_ms": p99, "resident_gb": status["VmRSS"],
                  "own_gb": status["RssAnon"], "share_gb": rollup["Pss"], "peak_gb": status["VmHWM"]}))
"""


def main() -> int:
    """Build, measure and write the result; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, help="data set, the texts of which are searched")
    parser.add_argument("--vectors", type=Path, help=".npy file of float32 (n, d), which are searched")
    parser.add_argument("--queries", type=Path, help=".npy file of float32 (B, d)")
    parser.add_argument("--folder", type=Path, help="for the large run, which is kept; else temporary")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    if (options.vectors is None) != (options.queries is None) or (options.run is None) == (options.vectors is None):
        parser.error("expected RUN, or --vectors and --queries")
    options.out.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
    if options.data or options.vectors:
        rows, queries = texts_of(options) if options.data else (np.load(options.vectors), np.load(options.queries))
        facts |= {"data": (options.data or options.vectors).name, "rows": len(rows), "dim": rows.shape[1]}
        return write(options.out / "serving_index_texts.json", facts | {"indexes": compare(rows, queries)})
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        facts |= {"labels": options.labels, **measure(options.run, options.labels, folder)}
    return write(options.out / "serving_index.json", facts)


def write(path: Path, facts: dict[str, Any]) -> int:
    """Write and print the result; returns an exit code."""
    path.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))
    return 0


def texts_of(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the distinct texts of training points and labels, and of twice ``QUERIES`` other test texts."""
    data, tagger = ramen.load_dataset(options.data), ramen.Tagger.load(options.run)
    searched = list(dict.fromkeys(data.train.joined() + data.labels.joined()))
    known = set(searched)
    others = list(dict.fromkeys(text for text in data.test.joined() if text not in known))
    drawn = np.random.default_rng(0).permutation(len(others))[: 2 * QUERIES]
    return tagger.encode(searched), tagger.encode([others[at] for at in drawn])


def measure(run: Path, labels: int, folder: Path) -> dict[str, Any]:
    """All figures."""
    small, large = ramen.Tagger.load(run), folder / "run"
    rng = np.random.default_rng(0)
    words = sorted({word for text in small.run.texts for word in text.split() if word.isalpha()})
    drawn = rng.integers(0, len(words), (labels, 6))
    texts = [" ".join(words[at] for at in row) for row in drawn]
    rows = small.encode(texts)
    if not (large / "manifest.json").exists():
        shutil.rmtree(large, ignore_errors=True)
        bits = BFloat16Weights(((rows.view(np.uint32) + 0x8000) >> 16).astype(np.uint16))
        large.mkdir()
        shutil.copy(run / "config.yaml", large)
        uids = [f"label-{number:07}" for number in range(labels)]
        save_run(
            large, _Copied(run / "encoder"), None, {"encoder": EncoderScorer(bits)}, Ranking({"encoder": 1.0}),
            Texts(uids, texts, [""] * labels), {},
        )  # fmt: skip
    start = time.perf_counter()
    (told,) = build_index(large)
    built = time.perf_counter() - start
    changed = drawn[rng.integers(0, labels, QUERIES)]
    changed[:, :2] = rng.integers(0, len(words), (QUERIES, 2))
    queries = [" ".join(words[at] for at in row) for row in changed]
    (folder / "queries.json").write_text(json.dumps(queries))
    found = {name: probe(large, folder / "queries.json", run, name) for name in ("index", "exact")}
    pair = [_start(large, folder / "queries.json", run, "index") for _ in range(2)]
    both = [_answer(child) for child in pair]
    tagger, exact = ramen.Tagger.load(large), ramen.Tagger.load(large, index=False)
    ours, theirs = ([[one["uid"] for one in row] for row in each.tag(queries, K)] for each in (tagger, exact))
    hits = [len(set(a) & set(b)) / K for a, b in zip(ours, theirs, strict=True)]
    return {
        "build_s": built,
        "candidates": told.candidates,
        "recall@10": float(np.mean(hits)),
        "bytes": {
            "index": sum(path.stat().st_size for path in (large / "index").iterdir()),
            "vectors": (large / "scorers/encoder/vectors.safetensors").stat().st_size,
        },
        **found,
        "two processes, each's share of memory": [one["share_gb"] for one in both],
        "indexes": compare(rows, tagger.encode(queries)),
    }


class _Copied:
    """An encoder that is a folder already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def export(self, out: Path) -> None:
        shutil.copytree(self.folder, out)


def _start(run: Path, queries: Path, small: Path, how: str) -> subprocess.Popen:
    command = [sys.executable, "-c", PROBE, str(run), str(queries), str(small), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _answer(child: subprocess.Popen) -> dict[str, float]:
    out, _ = child.communicate()
    return json.loads(out)


def probe(run: Path, queries: Path, small: Path, how: str) -> dict[str, float]:
    """Load and tag in a process of its own; 50 texts where each looks at every row."""
    return _answer(_start(run, queries, small, how))


if __name__ == "__main__":
    sys.exit(main())
