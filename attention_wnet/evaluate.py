"""Scores of a model on a data set, in the field of view and on the whole frame, beside the second observer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from attention_wnet.pictures import overlay, write
from attention_wnet.scores import NAMES, Scored, scores
from attention_wnet.segmenter import Segmenter
from attention_wnet.sets import Sample, read_sample, read_set
from ramen.errors import InputError

_TITLES = {"auc": "AUC", "f1": "F1"}


def evaluate(
    segmenter: Segmenter,
    data: Path,
    window: int,
    overlap: float,
    flips: bool = False,
    split: str = "test",
    maps: Path | None = None,
) -> dict[str, Any]:
    """Score a model, pooled over the pixels of all photographs of a split.

    Args:
        segmenter: the model and its threshold.
        data: folder of a data set.
        window: side of the windows, in pixels.
        overlap: share of a window that the next one covers too.
        flips: whether each window is also read mirrored.
        split: train, validation or test.
        maps: folder for each photograph's probabilities, vessels, overlay and field of view, as pictures.

    Returns:
        ``photographs``, ``threshold``, and for ``view`` and ``frame`` the scores of ``model`` and, where each
        photograph has one, of the ``second`` observer, as :func:`attention_wnet.scores.scores` gives them.

    Raises:
        InputError: data as :func:`attention_wnet.sets.read_set` and ``read_sample`` refuse them.
    """
    samples, found, seconds = [], [], []
    for case in tqdm(read_set(data, split), desc=split, unit="photograph", disable=None, leave=False):
        sample = read_sample(case)
        probabilities = segmenter.probabilities(sample.photograph, segmenter.scale(sample.view), window, overlap, flips)
        samples.append(sample)
        found.append(probabilities)
        seconds.append(sample.second)
        if maps:
            write_maps(maps, case.name, sample.photograph, probabilities, sample.view, segmenter.threshold)
    result: dict[str, Any] = {"photographs": len(samples), "split": split, "threshold": segmenter.threshold}
    drawn = [second for second in seconds if second is not None]
    for where in ("view", "frame"):
        result[where] = {"model": _scores(samples, found, where, segmenter.threshold)}
        if len(drawn) == len(samples):
            result[where]["second"] = _scores(samples, drawn, where, 0.5)
    return result


def _scores(samples: list[Sample], found: list[np.ndarray], where: str, threshold: float) -> dict[str, Any]:
    counted = [sample.view if where == "view" else np.ones_like(sample.view) for sample in samples]
    return scores(
        [
            Scored(one[pixels].astype(np.float32), sample.vessels[pixels])
            for sample, one, pixels in zip(samples, found, counted, strict=True)
        ],
        threshold,
    )


def write_maps(
    folder: Path, name: str, photograph: np.ndarray, probabilities: np.ndarray, view: np.ndarray, threshold: float
) -> np.ndarray:
    """Write what was found on a photograph as pictures of its size; returns the vessels, bool ``(height, width)``.

    ``NAME_probability.png`` has 0..255 for 0..1; ``NAME_vessels.png`` is white from the threshold on within the field
    of view, which is ``NAME_view.png``; ``NAME_overlay.png`` has the vessels tinted on the photograph.

    Raises:
        InputError: the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: found a file, expected a folder to write")
    folder.mkdir(parents=True, exist_ok=True)
    vessels = (probabilities >= threshold) & view
    write(folder / f"{name}_probability.png", np.rint(255 * probabilities).astype(np.uint8))
    write(folder / f"{name}_vessels.png", vessels)
    write(folder / f"{name}_view.png", view)
    write(folder / f"{name}_overlay.png", overlay(photograph, vessels))
    return vessels


def table(result: dict[str, Any]) -> str:
    """The scores as a table for people, in Markdown."""
    titles = [_TITLES.get(name, name) for name in NAMES]
    lines = ["| pixels | of | " + " | ".join(titles) + " |", "|---|---|" + "---|" * len(titles)]
    places = {"view": "field of view", "frame": "whole frame"}
    for where, place in places.items():
        for who, title in (("model", "model"), ("second", "second observer")):
            if who in result[where]:
                cells = [_cell(result[where][who].get(name)) for name in NAMES]
                lines.append(f"| {place} | {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(score: dict[str, float] | None) -> str:
    return f"{score['value']:.4f} ({score['low']:.3f}-{score['high']:.3f})" if score else "-"
