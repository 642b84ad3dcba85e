"""Loading a set of 1.3 million points and as many labels, and cutting its texts into token ids: seconds and memory.

    python benchmarks/large_set.py [--points N] [--out FOLDER]

Each step is a process of its own, for its peak of memory: reading the folder; reading and cutting, with an empty cache;
the same again, when the ids are mapped from the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from reference_sets import _commit, machine

ROOT = Path(__file__).resolve().parents[1]
STEPS = ("load", "cut", "cut again")
WORDS, A_TEXT, TARGETS = 50_000, 8, 5


def main() -> int:
    """Measure and write the result; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_300_000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("--step", nargs=2, metavar=("STEP", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(measure(options.step[0], Path(options.step[1]))))
        return 0
    facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "set"
        data.mkdir()
        write(data, options.points)
        facts |= {"points": options.points, "labels": options.points, "pairs": options.points * TARGETS}
        facts["file_bytes"] = sum(file.stat().st_size for file in data.iterdir())
        environment = os.environ | {"RAMEN_CACHE": f"{folder}/cache"}
        for step in STEPS:
            command = [sys.executable, __file__, "--step", step, str(data)]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            facts[step] = json.loads(done.stdout)
    print(json.dumps(facts, indent=1))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "large_set.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def write(folder: Path, n: int) -> None:
    """Points and labels in json, titles of eight words from a long tail, five targets a point."""
    rng = np.random.default_rng(0)
    targets = np.sort(rng.integers(0, n - TARGETS, (n, TARGETS)), axis=1) + np.arange(TARGETS)
    with (folder / "lbl.json").open("w") as out:
        for row, title in enumerate(_titles(rng, n)):
            out.write(json.dumps({"uid": f"L{row:08d}", "title": title, "content": ""}) + "\n")
    with (folder / "trn.json").open("w") as out:
        for row, (title, labels) in enumerate(zip(_titles(rng, n), targets.tolist(), strict=True)):
            record = {"uid": f"P{row:08d}", "title": title, "target_ind": labels, "target_rel": [1.0] * TARGETS}
            out.write(json.dumps(record) + "\n")


def _titles(rng: np.random.Generator, n: int) -> Iterator[str]:
    for start in range(0, n, 100_000):
        for row in (rng.zipf(1.3, (min(100_000, n - start), A_TEXT)) % WORDS).tolist():
            yield " ".join(f"w{word:x}" for word in row)


def measure(step: str, data: Path) -> dict[str, float]:
    """Seconds, and the peak of memory over what the process had after its imports."""
    from ramen.data import load_dataset
    from ramen.encoders.static import tokenize
    from ramen.encoders.vocabulary import assemble

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    dataset = load_dataset(data)
    facts = {"load_seconds": time.perf_counter() - start}
    if step != STEPS[0]:
        letters = "0123456789abcdefw"
        words = [f"w{word:x}" for word in range(WORDS // 2)]  # the rarer ones are cut into letters
        vocabulary = assemble(["[PAD]", "[UNK]", *letters, *(f"##{letter}" for letter in letters), *words])
        vocabulary.tokenizer.enable_truncation(256)
        start = time.perf_counter()
        tokens = [tokenize(vocabulary, texts.joined(), 256) for texts in (dataset.train, dataset.labels)]
        facts |= {"cut_seconds": time.perf_counter() - start, "ids": float(sum(len(part.ids) for part in tokens))}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return facts | {"peak_mib": peak / 1024, "peak_bytes_a_text": peak * 1024 / (len(dataset.train) + dataset.n_labels)}


if __name__ == "__main__":
    sys.exit(main())
