"""Make the index of a run: which scorers it pays for, and how many candidates a query needs, is measured."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ramen.encoders.bag_of_words import BagOfWordsEncoder
from ramen.encoders.word_features import WordFeatures
from ramen.errors import InputError
from ramen.files import clear_errors, digest
from ramen.inference.index import FACTS, FOLDER, FORMAT, save_strings, stamp
from ramen.inference.run import MANIFEST, files_of
from ramen.inference.tagger import Tagger
from ramen.mining.signs import SignIndex
from ramen.scorers.base import SearchSpace, save_tensors

MIN_ROWS = 50_000  # below, looking at every row takes no longer
RECALL = 0.995  # of the ten best, on the sample
_SAMPLE, _K = 200, 10


@dataclass(frozen=True)
class Indexed:
    """What the index does for one scorer.

    Attributes:
        name: of the scorer.
        rows: that it searches.
        candidates: of a query, for exact scores; 0 where it looks at every row.
        recall: of its ten best, of neighbours all that vote, on a sample of queries.
        milliseconds, exact_milliseconds: median of a query by the index, and without.
    """

    name: str
    rows: int
    candidates: int = 0
    recall: float = 1.0
    milliseconds: float = 0.0
    exact_milliseconds: float = 0.0


def build_index(
    run: str | Path, min_rows: int = MIN_ROWS, recall: float = RECALL, report: Callable[[str], object] = lambda _: None
) -> list[Indexed]:
    """Write ``index/`` into a run folder; an older one is replaced when the new one is whole.

    Args:
        run: finished run folder.
        min_rows: a scorer of fewer rows looks at all of them.
        recall: of the ten best, 0 to 1, that is reached on a sample of label texts and training points.
        report: called with a line about each step.

    Raises:
        InputError: no finished run, a run over given bags of words, or a recall that is none.
        WorkError: the disk is full; the older index is still there.

    Example:
        ``build_index("runs/a")[0].recall``
    """
    if not 0 < recall <= 1:
        raise InputError(f"recall {recall}: expected above 0, at most 1")
    run = Path(run)
    part = run / f"{FOLDER}.part-{os.getpid()}"
    tagger = Tagger.load(run, index=False, labels=False)
    if isinstance(tagger.encoder, BagOfWordsEncoder):
        raise InputError(f"{run}: a run over bags of words, which needs no index: its vectors are short and few")
    queries = _sample(tagger)
    try:
        with clear_errors(run):
            part.mkdir()
            found = []
            for name, scorer in tagger.trained.items():
                space = scorer.search_space()
                if space is None:
                    continue
                report(f"{name}: {space.rows:,} rows")
                index, measured = _index(name, space, queries, min_rows, recall)
                found.append(measured)
                if index is not None:
                    save_tensors(part / f"{name}.safetensors", index.arrays())
            save_strings(part / "uids.safetensors", tagger.run.uids)
            save_strings(part / "texts.safetensors", tagger.run.texts)
            if isinstance(tagger.run.words, WordFeatures):
                save_strings(part / "words.safetensors", tagger.run.words.names)
            facts = {
                "format": FORMAT,
                "of": digest(run / MANIFEST),
                "scorers": {one.name: _told(one) for one in found if one.candidates},
                "files": _known_files(run, part),
            }
            (part / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
            old = run / f"{FOLDER}.old-{os.getpid()}"
            if (run / FOLDER).exists():
                (run / FOLDER).rename(old)
            part.rename(run / FOLDER)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return found


def _sample(tagger: Tagger) -> np.ndarray:
    """Vectors like those of queries to come: of label texts, and of training points where the run keeps them."""
    texts = [text for text in _spread(tagger.run.texts, _SAMPLE // 2) if text.strip()]
    parts = [tagger.encode(texts)] if texts else []
    for scorer in tagger.trained.values():
        space = scorer.search_space()
        if space is not None and len(space.samples):
            parts.append(_spread(space.samples, _SAMPLE - _SAMPLE // 2))
    return np.concatenate(parts) if parts else np.zeros((1, 1), np.float32)


def _spread(items: Any, n: int) -> Any:  # noqa: ANN401 - a list or an array
    places = np.unique(np.linspace(0, len(items) - 1, min(n, len(items))).astype(int))
    return items[places] if isinstance(items, np.ndarray) else [items[place] for place in places]


def _index(
    name: str, space: SearchSpace, queries: np.ndarray, min_rows: int, recall: float
) -> tuple[SignIndex | None, Indexed]:
    n = space.rows
    if n < min_rows or not n:
        return None, Indexed(name, n)
    exact, _ = space.top(queries, min(space.recall_k, n))
    index = SignIndex.build(n, space.dim, space.block)
    reached = index.tune(queries, exact, space.products, recall)
    ours = _median(lambda rows: index.top(rows, space.k, space.products), queries)
    theirs = _median(lambda rows: space.top(rows, space.k), queries)
    measured = Indexed(name, n, index.candidates, reached, ours, theirs)
    if min_rows == 0 or ours < theirs:
        return index, measured
    return None, Indexed(name, n, 0, 1.0, ours, theirs)


def _median(search: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    """Milliseconds of one query."""
    seconds = []
    for row in range(min(7, len(queries))):
        start = time.perf_counter()
        search(queries[row : row + 1])
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))


def _told(one: Indexed) -> dict[str, Any]:
    return {"candidates": one.candidates, "recall": round(one.recall, 5), "rows": one.rows}


def _known_files(run: Path, part: Path) -> dict[str, list[Any]]:
    """Size, time of change and digest of the run's files and the index's own."""
    known = {name: [*stamp(run / name), wanted] for name, wanted in files_of(run).items()}
    for path in sorted(part.iterdir()):
        known[f"{FOLDER}/{path.name}"] = [*stamp(path), digest(path)]
    return known
