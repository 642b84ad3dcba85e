"""A run of a million labels with and without its index: time to build and to load, time of a text, recall, memory.

    python benchmarks/serving_index.py RUN [--labels 1000000] [--folder DIR] [--out FOLDER]

RUN is any run with a static encoder. Its labels' words make the texts of the new labels, its encoder their vectors,
kept in bfloat16 as dense classifiers may be kept; queries are such texts with two words exchanged. Loading, times and
memory are those of processes of their own, one text at a time. Where faiss is installed, its inverted file over the
same vectors (float32, and bytes) is tuned to the same recall and timed in the same run.
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
from reference_sets import _commit, machine

import ramen
from ramen.data.dataset import Texts
from ramen.inference.build_index import build_index
from ramen.inference.run import Ranking, save_run
from ramen.mining.nearest import nearest
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
    parser.add_argument("run", type=Path)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="for the large run, which is kept; else temporary")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        facts |= {"labels": options.labels, **measure(options.run, options.labels, folder)}
    (options.out / "serving_index.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))
    return 0


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
        "faiss": faiss_figures(rows, tagger.encode(queries)),
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


def faiss_figures(rows: np.ndarray, queries: np.ndarray) -> list[dict[str, Any]]:
    """Build, recall and times of faiss's inverted files at 0.995 recall, all threads; none if it is missing."""
    try:
        import faiss
    except ModuleNotFoundError:
        return []
    exact = nearest(queries, rows, K)[0]
    told = []
    for name in ("IVF4096,Flat", "IVF4096,SQ8"):
        index = faiss.index_factory(rows.shape[1], name, faiss.METRIC_INNER_PRODUCT)
        start = time.perf_counter()
        index.train(rows[:: max(1, len(rows) // 200_000)])
        index.add(rows)
        built, probes, recall = time.perf_counter() - start, 1, 0.0
        while recall < 0.995 and probes < 4096:
            probes *= 2
            index.nprobe = probes
            found = index.search(queries, K)[1]
            recall = float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, exact, strict=True)]))
        seconds = []
        for query in queries:
            start = time.perf_counter()
            index.search(query[None], K)
            seconds.append(time.perf_counter() - start)
        p50, p99 = np.percentile(seconds, [50, 99]) * 1000
        told.append(
            {"index": name, "build_s": built, "probes": probes, "recall@10": recall, "p50_ms": p50, "p99_ms": p99}
        )
    return told


if __name__ == "__main__":
    sys.exit(main())
