"""One set in seven languages: trains on each, and tags its test texts as they are and written in other ways.

    RAMEN_DATA=FOLDER python benchmarks/languages.py [LANGUAGE ...] [--seeds 0 1 2] [--preset static] [--across]
                                                     [--out FILE] [KEY=VALUE ...]

Reads ``Languages/LANGUAGE_{trn,tst}.jsonl``, lines of {"t": text, "l": labels}. Every label's word stands in the text,
so P@3 of 100 is possible in every language. The other ways to write a text: NFD, in which macOS and PDF have accents as
characters of their own; full width, as East Asian keyboards type Latin letters; a zero-width space after every second
character; and, where no spaces are needed, without any, three times in a row. ``--across`` reads the test texts of the
other languages instead, which share no words with those of training.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ramen import from_lists, train
from ramen.data import Dataset, Texts
from ramen.inference.evaluation import measure, rankings

NAMES = {
    "en": "English", "zh": "Chinese", "ja": "Japanese", "ko": "Korean", "th": "Thai", "hi": "Hindi", "ar": "Arabic",
}  # fmt: skip
WAYS: dict[str, Callable[[str], str]] = {
    "NFD": lambda text: unicodedata.normalize("NFD", text),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "zero-width spaces": lambda text: "\u200b".join(text[at : at + 2] for at in range(0, len(text), 2)),
    "no spaces": lambda text: "".join(text.split()) * 3,
}
SPACELESS = ("zh", "ja", "th")


def main() -> int:
    """Measure and print the table; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", metavar="LANGUAGE or KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--preset", default="static", help="as of ramen train")
    parser.add_argument("--across", action="store_true", help="tag the test texts of the other languages")
    parser.add_argument("--out", type=Path, help="also write all figures to this file")
    options = parser.parse_intermixed_args()
    if "RAMEN_DATA" not in os.environ:
        sys.stderr.write("RAMEN_DATA is not set, expected the folder that holds the data sets\n")
        return 2
    settings = [word for word in options.words if "=" in word]
    languages = [word for word in options.words if "=" not in word] or list(NAMES)
    rows = []
    columns = ("joint P@1", "joint P@3", "sparse P@1", "encoder P@1", "joint P@1 in other forms (encoder's)", "seconds")
    print(f"| language | {' | '.join(columns)} |\n" + "|---" * 7 + "|")
    for language in languages:
        runs = [run(read(language), language, seed, settings, options.preset, options.across) for seed in options.seeds]
        rows.append({"language": language, "settings": settings, "seeds": options.seeds, "runs": runs})
        print(line(language, runs), flush=True)
        if options.out:
            options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def read(language: str) -> Dataset:
    """Return the data set of a language."""
    folder = Path(os.environ["RAMEN_DATA"]) / "Languages"
    parts = [
        [json.loads(row) for row in (folder / f"{language}_{part}.jsonl").read_text(encoding="utf-8").splitlines()]
        for part in ("trn", "tst")
    ]
    rows = parts[0] + parts[1]
    is_test = [False] * len(parts[0]) + [True] * len(parts[1])
    return from_lists([row["t"] for row in rows], [row["l"] for row in rows], test=is_test)


def run(
    dataset: Dataset, language: str, seed: int, settings: list[str], preset: str = "static", across: bool = False
) -> dict[str, Any]:
    """Train, measure, and tag the test texts in every form, or those of the other languages."""
    with tempfile.TemporaryDirectory() as folder:
        out, start = Path(folder) / "run", time.perf_counter()
        train(dataset, preset=preset, out=out, seed=seed, overrides=settings)
        seconds = time.perf_counter() - start
        figures = measure(rankings(out, dataset, None, None), dataset, None)
        systems = {"joint": figures["test"], **figures["scorers"]}
        tests = others(language) if across else in_forms(language, dataset)
        forms = {name: measured(out, replace(dataset, test=test)) for name, test in tests.items()}
    return {
        "seconds": round(seconds, 1),
        **{name: {key: round(of[key], 2) for key in ("P@1", "P@3")} for name, of in systems.items()},
        "forms": forms,
    }


def in_forms(language: str, dataset: Dataset) -> dict[str, Texts]:
    """Return the test texts written in each of the other ways."""
    test = dataset.test
    return {
        name: Texts(test.uids, [way(text) for text in test.titles], test.contents)
        for name, way in WAYS.items()
        if name != "no spaces" or language in SPACELESS
    }


def others(language: str) -> dict[str, Texts]:
    """Return the test texts of the other languages, whose labels are the same."""
    return {NAMES[other]: read(other).test for other in NAMES if other != language}


def measured(run: Path, dataset: Dataset) -> dict[str, float]:
    """Return P@1 of the joint ranking and of the encoder."""
    figures = measure(rankings(run, dataset, None, None), dataset, None)
    return {"joint": round(figures["test"]["P@1"], 2), "encoder": round(figures["scorers"]["encoder"]["P@1"], 2)}


def line(language: str, runs: list[dict[str, Any]]) -> str:
    """Return one row of the table: means over the seeds, the lowest of the forms."""

    def mean(system: str, metric: str) -> str:
        return f"{statistics.mean(run[system][metric] for run in runs):.1f}" if system in runs[0] else "left out"

    def lowest(form: str, system: str) -> str:
        return f"{min(run['forms'][form][system] for run in runs):.1f}"

    forms = ", ".join(f"{name} {lowest(name, 'joint')} ({lowest(name, 'encoder')})" for name in runs[0]["forms"])
    cells = [NAMES.get(language, language), mean("joint", "P@1"), mean("joint", "P@3"), mean("sparse", "P@1")]
    seconds = statistics.median(run["seconds"] for run in runs)
    return "| " + " | ".join([*cells, mean("encoder", "P@1"), forms, f"{seconds:.0f}"]) + " |"


if __name__ == "__main__":
    sys.exit(main())
