"""A run with the changes of its journal: more labels, some gone, some with other texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.files import digest
from ramen.inference.journal import FOLDER, Changes
from ramen.mapped import Continued, StringTable, map_tensors
from ramen.scorers.base import Scorer
from ramen.scorers.combined import ConcatenatedScorer, MaskedScorer
from ramen.scorers.neighbours import Neighbours
from ramen.scorers.sparse.classifier import SparseClassifier
from ramen.scorers.sparse.scorer import SparseWords
from ramen.scorers.vectors import LabelVectors


def grown(
    path: Path, scorers: dict[str, Scorer], uids: Sequence[str], texts: Sequence[str], changes: Changes
) -> tuple[dict[str, Scorer], Sequence[str], Sequence[str], np.ndarray]:
    """Scorers, uids and texts with the changes, and which labels are gone, bool (labels,).

    Raises:
        InputError: a segment that is missing or altered, or that lacks a scorer of the run.
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
    for uid, count in changes.removed.items():
        removed[places[uid][:count]] = True
    changed = {places[uid][-1]: text for uid, text in changes.renamed.items()}
    if added:
        segments = [_segment(path / FOLDER, line) for line in changes.added]
        sizes = [len(line["labels"]) for line in changes.added]
        scorers = {name: _joined(path, name, scorer, segments, sizes) for name, scorer in scorers.items()}
    if removed.any():
        scorers = {name: MaskedScorer(scorer, removed) for name, scorer in scorers.items()}
    more_uids = Continued(uids, [label["uid"] for label in added], {})
    return scorers, more_uids, Continued(texts, [label["text"] for label in added], changed), removed


def _segment(folder: Path, line: dict) -> dict[str, np.ndarray]:
    path = folder / line["segment"]
    if not path.is_file():
        raise InputError(f"{path}: missing")
    if digest(path) != line["blake2b"]:
        raise InputError(f"{path}: differs from what adding the labels wrote (hash)")
    return map_tensors(path)


def _joined(path: Path, name: str, scorer: Scorer, segments: list[dict[str, np.ndarray]], sizes: list[int]) -> Scorer:
    """The scorer with the labels of all segments."""
    try:
        if isinstance(scorer, LabelVectors):
            return ConcatenatedScorer(scorer, LabelVectors(np.concatenate([one[name] for one in segments])))
        if isinstance(scorer, SparseWords):
            shapes = [(size, scorer.head.weights.shape[1]) for size in sizes]
            keys = (f"{name}.data", f"{name}.indices", f"{name}.indptr")
            rows = [
                sp.csr_matrix(tuple(one[key] for key in keys), shape=shape)
                for one, shape in zip(segments, shapes, strict=True)
            ]
            bias = np.concatenate([one[f"{name}.bias"] for one in segments])
            return ConcatenatedScorer(scorer, SparseWords(SparseClassifier(sp.vstack(rows, format="csr"), bias)))
        assert isinstance(scorer, Neighbours)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        of = np.concatenate([one[f"{name}.of"] + start for one, start in zip(segments, starts[:-1], strict=True)])
        tables = [StringTable(one[f"{name}.text"], one[f"{name}.ends"]) for one in segments]
        told = [string for table in tables for string in table]
        return scorer.with_more(np.concatenate([one[name] for one in segments]), of, int(starts[-1]), told)
    except KeyError as error:
        raise InputError(f"{path / FOLDER}: a label was added without {error}, which the run's {name} needs") from error
