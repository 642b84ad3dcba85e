"""Curves of a run's training, from its log: the encoder's loss, and validation where it was measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ramen.pages.page import Part
from ramen.pages.plots import drawn, lines

_VALIDATION = "P@1"
Curves = dict[str, tuple[list[float], list[float]]]


def training_part(log: Path) -> Part | None:
    """Return the part of a report that plots how the encoder was trained; None if the log says nothing of it.

    Args:
        log: ``log.jsonl`` of a run. Lines of stage ``encoder`` have ``loss``, ``epoch`` or ``step``, and ``training``,
            the name of the curve; lines of stage ``validate`` have ``P@1`` instead of the loss. Other lines are left
            out, and so are lines that are not json.

    Example:
        ``training_part(Path("runs/a/log.jsonl"))``
    """
    panels, seen = [], []
    for stage, value, y in (("encoder", "loss", "loss"), ("validate", _VALIDATION, f"{_VALIDATION}, %")):
        x, curves = _curves(log, stage, value)
        if curves:
            panels.append(lines(curves, x, y))
            seen.append(f"{value} by {x}")
    if not panels:
        return None
    text = "One curve for each training of the encoder."
    return Part("Training", text=text, plot=drawn(*panels), alt=f"Curves of the encoder: {', '.join(seen)}.")


def _curves(log: Path, stage: str, value: str) -> tuple[str, Curves]:
    """Return the x axis, ``step`` if every line has one, and a curve for each training.

    A resumed run repeats some places; the last line of each counts.
    """
    found = [line for line in _lines(log) if line.get("stage") == stage and _is_number(line.get(value))]
    x = "step" if found and all(_is_number(line.get("step")) for line in found) else "epoch"
    by_name: dict[str, dict[float, float]] = {}
    for line in found:
        if _is_number(line.get(x)):
            by_name.setdefault(str(line.get("training", "encoder")), {})[line[x]] = line[value]
    return x, {name: (sorted(points), [points[at] for at in sorted(points)]) for name, points in by_name.items()}


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    if not log.is_file():
        return
    for text in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # cut off when the disk was full
            continue
        if isinstance(line, dict):
            yield line


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
