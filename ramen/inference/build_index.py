"""Build the index of a run; measures which scorers benefit and how many candidates a query needs."""

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

MIN_ROWS = 50_000  # below, exact search is as fast
RECALL = 0.995  # of the ten best, on the sample
_SAMPLE, _K = 200, 10


@dataclass(frozen=True)
class IndexedScorer:
    """Measurements of the index of one scorer.

    Attributes:
        name: of the scorer.
        rows: number of rows that it searches.
        candidates: rows scored exactly per query; 0 for exact search.
        recall: of the ten best rows (for neighbours, of all that vote) on a sample of queries.
        milliseconds, exact_milliseconds: median per query with the index, and without.
    """

    name: str
    rows: int
    candidates: int = 0
    recall: float = 1.0
    milliseconds: float = 0.0
    exact_milliseconds: float = 0.0


def build_index(
    run: str | Path, min_rows: int = MIN_ROWS, recall: float = RECALL, report: Callable[[str], object] = lambda _: None
) -> list[IndexedScorer]:
    """Write ``index/`` into a run folder; it replaces an older one only when complete.

    Args:
        run: finished run folder.
        min_rows: scorers with fewer rows search exactly.
        recall: of the ten best, 0 to 1, to reach on a sample of label texts and training points.
        report: called with a line about each step.

    Raises:
        InputError: the run is not finished or is over bags of words, or the recall is out of range.
        WorkError: the disk is full; the older index remains.

    Example:
        ``build_index("runs/a")[0].recall``
    """
    if not 0 < recall <= 1:
        raise InputError(f"recall {recall}: expected above 0, at most 1")
    run = Path(run)
    part = run / f"{FOLDER}.part-{os.getpid()}"
    tagger = Tagger.load(run, index=False, labels=False)
    if isinstance(tagger.encoder, BagOfWordsEncoder):
        raise InputError(f"{run}: found a run over bags of words, expected one over texts: others need no index")
    queries = _sample(tagger)
    try:
        with clear_errors(run):
            part.mkdir()
            measurements = []
            for name, scorer in tagger.trained.items():
                space = scorer.search_space()
                if space is None:
                    continue
                report(f"{name}: {space.rows:,} rows")
                index, measured = _index(name, space, queries, min_rows, recall)
                measurements.append(measured)
                if index is not None:
                    save_tensors(part / f"{name}.safetensors", index.arrays())
            save_strings(part / "uids.safetensors", tagger.run.uids)
            save_strings(part / "texts.safetensors", tagger.run.texts)
            if isinstance(tagger.run.words, WordFeatures):
                save_strings(part / "words.safetensors", tagger.run.words.names)
            facts = {
                "format": FORMAT,
                "of": digest(run / MANIFEST),
                "scorers": {scorer.name: _to_json(scorer) for scorer in measurements if scorer.candidates},
                "files": _file_stamps(run, part),
            }
            (part / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
            old = run / f"{FOLDER}.old-{os.getpid()}"
            if (run / FOLDER).exists():
                (run / FOLDER).rename(old)
            part.rename(run / FOLDER)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return measurements


def _sample(tagger: Tagger) -> np.ndarray:
    """Return vectors that resemble queries: of label texts, and of training points if the run stores them."""
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
) -> tuple[SignIndex | None, IndexedScorer]:
    n = space.rows
    if n < min_rows or not n:
        return None, IndexedScorer(name, n)
    exact, _ = space.top(queries, min(space.recall_k, n))
    index = SignIndex.build(n, space.dim, space.block)
    reached = index.tune(queries, exact, space.products, recall)
    indexed_ms = _median(lambda rows: index.top(rows, space.k, space.products), queries)
    exact_ms = _median(lambda rows: space.top(rows, space.k), queries)
    if min_rows == 0 or indexed_ms < exact_ms:
        return index, IndexedScorer(name, n, index.candidates, reached, indexed_ms, exact_ms)
    return None, IndexedScorer(name, n, 0, 1.0, indexed_ms, exact_ms)


def _median(search: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    """Return the median milliseconds of one query."""
    seconds = []
    for row in range(min(7, len(queries))):
        began = time.perf_counter()
        search(queries[row : row + 1])
        seconds.append(time.perf_counter() - began)
    return 1000 * float(np.median(seconds))


def _to_json(scorer: IndexedScorer) -> dict[str, Any]:
    return {"candidates": scorer.candidates, "recall": round(scorer.recall, 5), "rows": scorer.rows}


def _file_stamps(run: Path, part: Path) -> dict[str, list[Any]]:
    """Return size, modification time and digest of the files of the run and the index."""
    stamps = {name: [*stamp(run / name), wanted] for name, wanted in files_of(run).items()}
    for path in sorted(part.iterdir()):
        stamps[f"{FOLDER}/{path.name}"] = [*stamp(path), digest(path)]
    return stamps
