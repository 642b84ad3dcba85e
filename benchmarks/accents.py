"""What keeping accents costs: trains on texts as they are and with the marks of their letters taken off.

    python benchmarks/accents.py FILE ... [--seeds 0 1 2] [--points 4000] [KEY=VALUE ...]

FILE has JSON Lines, {"t": text, "l": labels}. Both trainings hold out the same third of the points. The difference is
that of the texts as they are to those without marks, point by point, with a paired test for each seed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from ramen import from_lists, train
from ramen.inference.comparison import compare_rankings
from ramen.inference.evaluation import rankings

METRICS = ("P@1", "P@5", "PSP@5")


def main() -> int:
    """Measure and print a table; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="+", metavar="FILE or KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--points", type=int, default=4000, help="of a file, at most")
    options = parser.parse_intermixed_args()
    settings = [word for word in options.words if "=" in word]
    print("| file | ranking | " + " | ".join(f"{name}: kept, off" for name in METRICS) + " |\n" + "|---" * 5 + "|")
    for file in (Path(word) for word in options.words if "=" not in word):
        rows = [json.loads(row) for row in file.read_text(encoding="utf-8").splitlines()][: options.points]
        found = [both(rows, seed, settings) for seed in options.seeds]
        for system in ("joint", "encoder"):
            cells = [cell([run[system][name] for run in found]) for name in METRICS]
            print(f"| {file.stem} | {system} | " + " | ".join(cells) + " |", flush=True)
    return 0


def both(rows: list[dict], seed: int, settings: list[str]) -> dict[str, Any]:
    """Return by ranking and metric how texts as they are compare with texts without marks."""
    held_out = np.random.default_rng(0).random(len(rows)) < 1 / 3
    ranked = []
    for read in (without_marks, str):
        dataset = from_lists([read(row["t"]) for row in rows], [row["l"] for row in rows], test=held_out)
        with tempfile.TemporaryDirectory() as folder:
            run = train(dataset, out=Path(folder) / "run", seed=seed, overrides=settings)
            ranked.append(rankings(run, dataset, None, None))
    off, kept = ranked
    return {name or "joint": compare_rankings(off[name], kept[name], dataset) for name in ("", "encoder")}


def without_marks(text: str) -> str:
    """Return a text whose letters have lost their marks."""
    parts = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(c for c in parts if unicodedata.category(c) != "Mn"))


def cell(runs: list[dict[str, float]]) -> str:
    """Return both means over the seeds, the difference, and the p-values."""
    kept, off = (statistics.mean(run[name] for run in runs) for name in ("second", "first"))
    return f"{kept:.2f}, {off:.2f} ({kept - off:+.2f}; p {', '.join(format(run['p'], '.2f') for run in runs)})"


if __name__ == "__main__":
    sys.exit(main())
