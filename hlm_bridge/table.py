"""Report of a chain: size, retrieval and speed of the teacher and every student, as a table and a plot."""

from __future__ import annotations

import json
import logging
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hlm_bridge.chain import Chain
from hlm_bridge.retrieval import METRICS, Figures, percent, retrieve, shares_kept
from hlm_bridge.vectors import Vectors
from ramen.files import replacing

_BATCHES = (1, 64)
_REPEATS = 20  # of a batch, at most
_SECONDS = 2.0  # per batch size, at most
_TEXTS = 1024  # for the throughput

logger = logging.getLogger("ramen")


@dataclass
class Row:
    """A query encoder's row of the table.

    Attributes:
        name: its phase.
        parameters: number of parameters.
        test: P@1, P@5, R@10 on the test set, percent.
        shares: of the teacher's metrics, with intervals.
        latency_ms: median for batches of 1 and 64 texts.
        texts_per_s: throughput over 1,024 texts.
    """

    name: str
    parameters: int
    test: dict[str, float]
    shares: dict[str, dict[str, float]]
    latency_ms: dict[int, float]
    texts_per_s: float


def table(chain: Chain, vectors: Vectors, folders: dict[str, Path]) -> list[Row]:
    """Evaluate the teacher and the students on the test set.

    Args:
        chain: with the test points.
        vectors: the teacher's index and queries.
        folders: of the students, by phase.
    """
    targets, filtered = chain.dataset.test_targets, chain.filtered[1]
    used = np.flatnonzero(np.diff(targets.indptr))
    texts = [chain.test[row] for row in used]

    def figures(queries: np.ndarray) -> Figures:
        return retrieve(queries, vectors.labels, targets[used], filtered[used])

    teacher = figures(vectors.store[vectors.test[used]])
    rows = []
    for name, folder in {"teacher": chain.out / "teacher", **folders}.items():
        encode, parameters = stock_encoder(folder)
        of_encoder = teacher if name == "teacher" else figures(encode(texts))
        queries = chain.with_prompt(texts) if name == "teacher" else texts
        latency, rate = speed(encode, queries)
        rows.append(Row(name, parameters, percent(of_encoder), shares_kept(of_encoder, teacher), latency, rate))
        chain.log(stage="table", name=name, **rows[-1].test, texts_per_s=rate)
    return rows


def stock_encoder(folder: Path) -> tuple[Any, int]:
    """Load a folder's encoder as users do; returns a function of texts, and the number of parameters."""
    from ramen.inference.static_folder import StaticFolder

    static = StaticFolder.open(folder)
    if static is not None:
        return static.encode, static.table.size
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cuda" if torch.cuda.is_available() else "cpu")

    def encode(texts: list[str]) -> np.ndarray:
        return model.encode(texts, batch_size=64, show_progress_bar=False, convert_to_numpy=True)

    return encode, sum(parameter.numel() for parameter in model.parameters())


def speed(encode: Any, texts: list[str]) -> tuple[dict[int, float], float]:
    """Measure the median milliseconds of batches of 1 and 64 texts, with tokenization, and the texts per second."""
    latency = {}
    texts = (texts * (1 + _TEXTS // len(texts)))[:_TEXTS]
    for size in _BATCHES:
        times: list[float] = []
        while len(times) < _REPEATS and sum(times) < _SECONDS or len(times) < 3:
            at = len(times) * size % (len(texts) - size + 1)
            began = time.perf_counter()
            encode(texts[at : at + size])
            times.append(time.perf_counter() - began)
        latency[size] = 1000 * statistics.median(times)
    began = time.perf_counter()
    encode(texts)
    return latency, len(texts) / (time.perf_counter() - began)


def written(rows: list[Row], notes: dict[str, Any]) -> str:
    """Format the table and the results of the gates as Markdown."""
    lines = [
        "| query encoder | parameters | P@1 | P@5 | R@10 | share of the teacher's P@1 | P@5 | R@10 "
        "| ms, batch 1 | ms, batch 64 | texts/s |",
        "|---" * 11 + "|",
    ]
    for row in rows:
        cells = [row.name, f"{row.parameters / 1e6:.1f}M", *(f"{row.test[name]:.1f}" for name in METRICS)]
        for name in METRICS:
            share = row.shares[name]
            cells.append(f"{share['share']:.1%} ({share['low']:.1%} to {share['high']:.1%})")
        cells += [*(f"{row.latency_ms[size]:.2f}" for size in _BATCHES), f"{row.texts_per_s:,.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "On the test set, with the teacher's index; 95 % intervals from a paired bootstrap.", ""]
    for phase, of_phase in notes.items():
        gate = of_phase.get("gate", {})
        if gate:
            state = gate.get("lost") or "passed"
            lines.append(f"- gate of {phase} ({gate['queries']} held-out points): {state}")
        if of_phase.get("student_alone"):
            lines.append(f"- {of_phase['student_alone']['says']}")
    return "\n".join(lines) + "\n"


def save(rows: list[Row], notes: dict[str, Any], out: Path) -> None:
    """Write ``report.json``, ``report.md`` and, if matplotlib is installed, ``report.png``."""
    for name, content in {
        "report.json": json.dumps({"rows": [asdict(row) for row in rows], "phases": notes}, indent=1) + "\n",
        "report.md": written(rows, notes),
    }.items():
        with replacing(out / name) as part:
            part.write_text(content, encoding="utf-8")
    try:
        _plot(rows, out / "report.png")
    except ImportError:
        logger.info("no plot: pip install 'ramen-xc[plot]'")


def _plot(rows: list[Row], path: Path) -> None:
    """Plot the share of the teacher's metrics against the latency for one text."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for name in METRICS:
        x = [row.latency_ms[1] for row in rows]
        y = [100 * row.shares[name]["share"] for row in rows]
        spread = [
            [100 * (row.shares[name]["share"] - row.shares[name]["low"]) for row in rows],
            [100 * (row.shares[name]["high"] - row.shares[name]["share"]) for row in rows],
        ]
        axes.errorbar(x, y, yerr=spread, fmt="o", capsize=2, label=name)
    for row in rows:
        axes.annotate(
            row.name, (row.latency_ms[1], 100 * row.shares["P@1"]["share"]), xytext=(4, 4), textcoords="offset points"
        )
    axes.axhline(100, color="black", linewidth=0.7)
    axes.set_xscale("log")
    axes.set_xlabel("ms, one text")
    axes.set_ylabel("percent of the teacher's")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
