"""A run's encoder in its forms: size, texts a second, and how near the vectors stay.

    python benchmarks/exports.py RUN [--out FOLDER]

Medians of five over the run's label texts, all forms in one process, one text at a time and 64 at once.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from reference_sets import _commit, machine

import ramen
from ramen.inference.export import export_encoder
from ramen.inference.onnx_folder import OnnxEncoder
from ramen.inference.static_folder import StaticFolder

ROOT = Path(__file__).resolve().parents[1]
ONES, MANY = 200, 2048  # texts of a measurement

Encode = Callable[[list[str]], np.ndarray]


def main() -> int:
    """Measure and write the result; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    texts = [text for text in ramen.Tagger.load(options.run, labels=False).run.texts[:MANY] if text.strip()]
    with tempfile.TemporaryDirectory() as temporary:
        forms = make(options.run, Path(temporary))
        reference = next(iter(forms.values()))[1](texts)
        facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
        facts["forms"] = [measure(name, size, encode, texts, reference) for name, (size, encode) in forms.items()]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "exports.json").write_text(json.dumps(facts, indent=1) + "\n")
    print("| form | MB | texts/s, one at a time | texts/s, 64 at once | lowest cosine |\n|---|---|---|---|---|")
    for form in facts["forms"]:
        print("| {form} | {mb:.1f} | {one:,.0f} | {many:,.0f} | {cosine:.5f} |".format(**form))
    return 0


def make(run: Path, folder: Path) -> dict[str, tuple[int, Encode]]:
    """By form its bytes and what encodes with it."""
    library = ramen.load_encoder(run)
    forms: dict[str, tuple[int, Encode]] = {
        "sentence-transformers": (
            _bytes(run / "encoder"), lambda texts: library.encode(texts, batch_size=64, show_progress_bar=False),
        ),
    }  # fmt: skip
    static = StaticFolder.open(run / "encoder")
    if static is not None:
        forms["the run itself (numpy)"] = _bytes(run / "encoder"), static.encode
    for name, int8 in (("onnx", False), ("onnx --int8", True)):
        export_encoder(run, folder / name, "onnx", int8)
        forms[name] = _bytes(folder / name), OnnxEncoder(folder / name).encode
    return forms


def measure(name: str, size: int, encode: Encode, texts: list[str], reference: np.ndarray) -> dict[str, Any]:
    """One row of the table."""
    found = encode(texts)
    known = np.linalg.norm(reference, axis=1) > 0
    ones, many = [], []
    for _ in range(5):
        start = time.perf_counter()
        for text in texts[:ONES]:
            encode([text])
        ones.append(ONES / (time.perf_counter() - start))
        start = time.perf_counter()
        for at in range(0, len(texts), 64):
            encode(texts[at : at + 64])
        many.append(len(texts) / (time.perf_counter() - start))
    cosine = float((found * reference).sum(1)[known].min())
    return {"form": name, "mb": size / 1e6, "one": np.median(ones), "many": np.median(many), "cosine": cosine}


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
