"""What a chain came to: size, retrieval, speed of the teacher and of every student, as a table and a plot."""

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
from hlm_bridge.retrieval import METRICS, Figures, kept, percent, retrieve
from hlm_bridge.vectors import Vectors
from ramen.files import replacing

_BATCHES = (1, 64)
_REPEATS = 20  # of a batch, at least
_SECONDS = 2.0  # of a batch size, at most
_TEXTS = 1024  # for the throughput

logger = logging.getLogger("ramen")


@dataclass
class Row:
    """An encoder of queries.

    Attributes:
        name: its phase.
        parameters: numbers in its folder.
        test: P@1, P@5, R@10 on the test part, percent.
        kept: shares of the teacher's, with intervals.
        latency_ms: of a batch of 1 and of 64 texts, medians.
        texts_per_s: over batches of 64.
    """

    name: str
    parameters: int
    test: dict[str, float]
    kept: dict[str, dict[str, float]]
    latency_ms: dict[int, float]
    texts_per_s: float


def table(chain: Chain, vectors: Vectors, folders: dict[str, Path]) -> list[Row]:
    """Measure the teacher and the students on the test part.

    Args:
        chain: its test points ask.
        vectors: the teacher's index and its own queries.
        folders: of the students, by the name of their phase.
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
        found = teacher if name == "teacher" else figures(encode(texts))
        asked = chain.asked(texts) if name == "teacher" else texts
        latency, rate = speed(encode, asked)
        rows.append(Row(name, parameters, percent(found), kept(found, teacher), latency, rate))
        chain.log(stage="table", name=name, **rows[-1].test, texts_per_s=rate)
    return rows


def stock_encoder(folder: Path) -> tuple[Any, int]:
    """A folder's encoder as users load it, as a function of texts, and its number of parameters."""
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
    """Median milliseconds of batches of 1 and 64 texts, tokenising included, and texts a second over many."""
    latency = {}
    texts = (texts * (1 + _TEXTS // len(texts)))[:_TEXTS]
    for size in _BATCHES:
        times: list[float] = []
        while len(times) < _REPEATS and sum(times) < _SECONDS or len(times) < 3:
            at = len(times) * size % (len(texts) - size + 1)
            start = time.perf_counter()
            encode(texts[at : at + size])
            times.append(time.perf_counter() - start)
        latency[size] = 1000 * statistics.median(times)
    start = time.perf_counter()
    encode(texts)
    return latency, len(texts) / (time.perf_counter() - start)


def written(rows: list[Row], notes: dict[str, Any]) -> str:
    """The table and what the gates say, as Markdown."""
    lines = [
        "| encoder of queries | parameters | P@1 | P@5 | R@10 | share of the teacher's P@1 | P@5 | R@10 "
        "| ms, batch 1 | ms, batch 64 | texts/s |",
        "|---" * 11 + "|",
    ]
    for row in rows:
        cells = [row.name, f"{row.parameters / 1e6:.1f}M", *(f"{row.test[name]:.1f}" for name in METRICS)]
        for name in METRICS:
            share = row.kept[name]
            cells.append(f"{share['share']:.1%} ({share['low']:.1%} to {share['high']:.1%})")
        cells += [*(f"{row.latency_ms[size]:.2f}" for size in _BATCHES), f"{row.texts_per_s:,.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "On the test part, against the teacher's index; 95 % intervals by a paired bootstrap.", ""]
    for phase, noted in notes.items():
        found = noted.get("gate", {})
        if found:
            state = found.get("lost") or "passed"
            lines.append(f"- gate of {phase} ({found['queries']} held-out points): {state}")
        if noted.get("own"):
            lines.append(f"- {noted['own']['says']}")
    return "\n".join(lines) + "\n"


def save(rows: list[Row], notes: dict[str, Any], out: Path) -> None:
    """``report.json``, ``report.md`` and, where matplotlib is installed, ``report.png``."""
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
    """Share of the teacher kept against the latency of one text."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for name in METRICS:
        x = [row.latency_ms[1] for row in rows]
        y = [100 * row.kept[name]["share"] for row in rows]
        spread = [
            [100 * (row.kept[name]["share"] - row.kept[name]["low"]) for row in rows],
            [100 * (row.kept[name]["high"] - row.kept[name]["share"]) for row in rows],
        ]
        axes.errorbar(x, y, yerr=spread, fmt="o", capsize=2, label=name)
    for row in rows:
        axes.annotate(
            row.name, (row.latency_ms[1], 100 * row.kept["P@1"]["share"]), xytext=(4, 4), textcoords="offset points"
        )
    axes.axhline(100, color="black", linewidth=0.7)
    axes.set_xscale("log")
    axes.set_xlabel("ms, one text")
    axes.set_ylabel("percent of the teacher's")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
