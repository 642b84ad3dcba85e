"""Vessels on CHASE_DB1: attention on and off, regularisation on and off, and a long run; the second observer beside.

    RAMEN_DATA=FOLDER python benchmarks/wnet.py [--seeds 0] [--only LadderNet "Attention W-Net, long"]

Every run is a `wnet train` process into RUNS/NAME-SEED, and one that is there is not trained again. All runs have the
defaults but for what VARIANTS says and the steps; thresholds and weights are chosen on the four validation photographs.
See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from attention_wnet.evaluate import evaluate
from attention_wnet.pictures import overlay
from attention_wnet.scores import NAMES
from attention_wnet.segmenter import OVERLAP, WINDOW, Segmenter
from attention_wnet.sets import read_sample, read_set

PLAIN = ["model.attention=false", "model.regularised=false"]
VARIANTS = {
    "LadderNet": PLAIN,
    "LadderNet, lr 0.001": [*PLAIN, "train.lr=0.001"],  # without a norm, the default rate may be too fast
    "with attention": ["model.regularised=false"],
    "with regularisation": ["model.attention=false"],
    "Attention W-Net": [],
    "LadderNet, lr 0.001, long": [*PLAIN, "train.lr=0.001"],
    "Attention W-Net, long": [],
}
SHOWN = (0, 4)  # test photographs of the picture
SIDE = 420  # pixels


def main() -> int:
    """Train what is missing, score all, write the table after each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--steps", type=int, default=1500, help="of the short runs")
    parser.add_argument("--at-once", type=int, default=1, help="trainings side by side, each on its share of the cores")
    parser.add_argument("--flips", action="store_true", help="read windows mirrored too")
    parser.add_argument("--runs", type=Path, default=Path("runs/wnet"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--picture", type=Path, help="jpg of two test photographs with what the last run finds")
    options = parser.parse_args()
    if "RAMEN_DATA" not in os.environ:
        print("benchmark: RAMEN_DATA is not set, expected the folder that holds CHASE_DB1", file=sys.stderr)
        return 2
    data = Path(os.environ["RAMEN_DATA"]) / "CHASE_DB1"
    names = [(name, seed) for seed in options.seeds for name in options.only]
    with ThreadPoolExecutor(options.at_once) as pool:
        runs = list(pool.map(lambda of: trained(*of, data, options), names))
    rows = []
    for (name, seed), run in zip(names, runs, strict=True):
        rows.append({"name": name, "seed": seed, **measured(run, data, options.flips)})
        write(options, rows)
    if options.picture:
        picture(Segmenter.load(runs[-1]), data, options.picture)
    return 0


def trained(name: str, seed: int, data: Path, options: argparse.Namespace) -> Path:
    """The folder of a run, trained if it is not there."""
    run = options.runs / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    if not (run / "model.safetensors").exists():
        run.parent.mkdir(parents=True, exist_ok=True)
        words = [*VARIANTS[name], *([] if name.endswith("long") else [f"train.steps={options.steps}"])]
        command = [sys.executable, "-m", "attention_wnet.cli", "train", str(data), "--out", str(run)]
        threads = str(max(1, (os.cpu_count() or 1) // options.at_once))
        environment = os.environ | {"OMP_NUM_THREADS": threads}
        subprocess.run([*command, *words, f"seed={seed}"], check=True, env=environment)
    return run


def measured(run: Path, data: Path, flips: bool) -> dict:
    """Scores and what the run took."""
    segmenter = Segmenter.load(run)
    log = [json.loads(line) for line in (run / "log.json").read_text().splitlines()]
    return {
        "parameters": sum(weight.numel() for weight in segmenter.model.parameters()),
        "steps": log[-2]["step"],
        "minutes": sum(row["seconds"] for row in log[:-1]) / 60,
        "validation": log[-1],
        "test": evaluate(segmenter, data, WINDOW, OVERLAP, flips),
    }


def write(options: argparse.Namespace, rows: list[dict]) -> None:
    """The json with everything, and a table of the field of view and of the whole frame."""
    folder = options.out
    words = f" --steps {options.steps} --at-once {options.at_once}" + " --flips" * options.flips
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "monai", "scikit-image"))
    (folder / "wnet.json").write_text(
        json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1) + "\n"
    )
    lines = [
        "# CHASE_DB1, eight test photographs",
        "",
        f"`RAMEN_DATA=FOLDER python benchmarks/wnet.py{words}`; {machine}; {versions}. Pooled pixels; in brackets 95 %",
        "intervals over photographs. The threshold of each run is that of its best F1 on four validation photographs.",
    ]
    for where, title in (("view", "Field of view (derived)"), ("frame", "Whole frame")):
        lines += [
            "",
            f"## {title}",
            "",
            "| model | seed | parameters | steps | minutes | threshold | AUC | F1 | " + " | ".join(NAMES[2:]) + " |",
        ]
        lines += ["|---" * 11 + "|"]
        for row in rows:
            start = f"| {row['name']} | {row['seed']} | {row['parameters']:,} | {row['steps']} | {row['minutes']:.0f} "
            lines.append(start + f"| {row['test']['threshold']} | " + cells(row["test"][where]["model"]) + " |")
        lines.append("| second observer | | | | | | " + cells(rows[0]["test"][where]["second"]) + " |")
    (folder / "wnet.md").write_text("\n".join(lines) + "\n")


def cells(scores: dict) -> str:
    """The scores of a row, with intervals."""
    found = (scores.get(name) for name in NAMES)
    return " | ".join(f"{s['value']:.4f} ({s['low']:.3f}-{s['high']:.3f})" if s else "-" for s in found)


def picture(segmenter: Segmenter, data: Path, path: Path) -> None:
    """Two photographs, each with its drawing and with what was found: of the same tint."""
    cases = read_set(data, "test")
    panels = []
    for index in SHOWN:
        sample = read_sample(cases[index])
        found = (segmenter.probabilities(sample.photograph) >= segmenter.threshold) & sample.view
        for pixels in (
            sample.photograph,
            overlay(sample.photograph, sample.vessels),
            overlay(sample.photograph, found),
        ):
            panels.append(np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS)))
    rows = [np.hstack(panels[start : start + 3]) for start in range(0, len(panels), 3)]
    Image.fromarray(np.vstack(rows)).save(path, quality=85)


if __name__ == "__main__":
    sys.exit(main())
