"""Apply the journal of a run: labels added, removed and renamed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ramen.errors import InputError
from ramen.files import digest
from ramen.inference.journal import FOLDER, JOURNAL, Changes
from ramen.mapped import Continued
from ramen.scorers.base import Scorer, TrainedScorer
from ramen.scorers.combined import MaskedScorer
from ramen.stored import Tensors


def with_changes(
    path: Path, trained: Mapping[str, TrainedScorer], uids: Sequence[str], texts: Sequence[str], changes: Changes
) -> tuple[dict[str, Scorer], Sequence[str], Sequence[str], np.ndarray]:
    """Return scorers, uids and texts after the changes, and which labels are removed, bool (labels,).

    Raises:
        InputError: a segment is missing or altered, or lacks a scorer of the run.
    """
    added = [label for line in changes.added for label in line["labels"]]
    names = {label["uid"] for label in added} | set(changes.removed) | set(changes.renamed)
    places: dict[str, list[int]] = {}
    for label, uid in enumerate(uids):
        if uid in names:
            places.setdefault(uid, []).append(label)
    for number, label in enumerate(added):
        places.setdefault(label["uid"], []).append(len(uids) + number)
    removed = np.zeros(len(uids) + len(added), dtype=np.bool_)
    for uid in [*changes.removed, *changes.renamed]:
        if uid not in places:
            raise InputError(f"{path / FOLDER / JOURNAL}: found a change of {uid!r}, expected labels of the run")
    for uid, count in changes.removed.items():
        removed[places[uid][:count]] = True
    changed = {places[uid][-1]: text for uid, text in changes.renamed.items()}
    scorers: dict[str, Scorer] = dict(trained)
    if added:
        segments = [_segment(path / FOLDER, line) for line in changes.added]
        sizes = [len(line["labels"]) for line in changes.added]
        scorers = {name: _extended(name, scorer, segments, sizes) for name, scorer in trained.items()}
    if removed.any():
        scorers = {name: MaskedScorer(scorer, removed) for name, scorer in scorers.items()}
    more_uids = Continued(uids, [label["uid"] for label in added], {})
    return scorers, more_uids, Continued(texts, [label["text"] for label in added], changed), removed


def _segment(folder: Path, line: dict) -> Tensors:
    path = folder / line["segment"]
    if not path.is_file():
        raise InputError(f"{path}: missing")
    if digest(path) != line["blake2b"]:
        raise InputError(f"{path}: altered since the labels were added (its hash differs from the journal's)")
    return Tensors(path)  # small: the values are checked at every load


def _extended(name: str, scorer: TrainedScorer, segments: list[Tensors], sizes: list[int]) -> Scorer:
    """Return the scorer with the labels of all segments."""
    parts = [segment.part(f"{name}.") for segment in segments]
    for part, size in zip(parts, sizes, strict=True):
        scorer.check_part(part, size)
    return scorer.extended([part.arrays() for part in parts], sizes)
