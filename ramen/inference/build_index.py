"""Build the index of a run; measures which scorers benefit and how many candidates a query needs."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from ramen.threads import limited

RECALL = 0.995  # of the ten best, on the sample
FEWEST_ROWS = 1_000  # below, an exact search takes about a tenth of a millisecond
BATCHES = (1, 32)  # texts at once: of an idle server, and of a busy one
MARGIN = 0.9  # of the exact search's time, which an index may take
_SAMPLE, _K = 200, 10
_PAIRS, _SECONDS = 21, 4.0  # of timing one batch size, whichever ends first, but three pairs at least


@dataclass(frozen=True)
class IndexedScorer:
    """Measurements of the index of one scorer.

    Attributes:
        name: of the scorer.
        rows: number of rows that it searches.
        candidates: rows scored exactly per query; 0 for exact search.
        recall: of the ten best rows (for neighbours, of all that vote) with the index, on a sample of queries.
        milliseconds, exact_milliseconds: median per query in batches of :data:`BATCHES`, with the index, and without;
            empty if it was not measured.
    """

    name: str
    rows: int
    candidates: int = 0
    recall: float = 1.0
    milliseconds: tuple[float, ...] = ()
    exact_milliseconds: tuple[float, ...] = ()

    @property
    def is_faster(self) -> bool:
        """Whether the index takes at most :data:`MARGIN` of the time, with as many queries alone as in batches."""
        return sum(self.milliseconds) < MARGIN * sum(self.exact_milliseconds)

    def __str__(self) -> str:
        rows = f"{self.name}: {self.rows:,} rows"
        if not self.milliseconds:
            return f"{rows}, exact search (an index is measured from {FEWEST_ROWS:,} rows on)"
        times = [
            f"{here:.2f} ms a text instead of {exact:.2f} {'alone' if batch == 1 else f'in batches of {batch}'}"
            for batch, here, exact in zip(BATCHES, self.milliseconds, self.exact_milliseconds, strict=True)
        ]
        choice = (
            f"index with {self.candidates:,} candidates" if self.candidates else "exact search (index gains too little)"
        )
        return f"{rows}, {choice}: {', '.join(times)}, recall {self.recall:.4f}"


def build_index(
    run: str | Path, recall: float = RECALL, always: bool = False, report: Callable[[str], object] = lambda _: None
) -> list[IndexedScorer]:
    """Write ``index/`` into a run folder; it replaces an older one only when complete.

    A scorer gets an index if that is faster than its exact search by a tenth, measured here with one thread, as a
    server has: the mean over a query alone and one in a batch of 32. It never depends on the batch which of the two
    searches, else the labels of a text would depend on the texts that are tagged with it.

    Args:
        run: finished run folder.
        recall: of the ten best, 0 to 1, to reach on a sample of label texts and training points.
        always: give every scorer an index, faster or not and however few its rows.
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
                index, measured = _index(name, space, queries, recall, always)
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
    name: str, space: SearchSpace, queries: np.ndarray, recall: float, always: bool
) -> tuple[SignIndex | None, IndexedScorer]:
    n = space.rows
    if not n or (n < FEWEST_ROWS and not always):
        return None, IndexedScorer(name, n)
    exact, _ = space.top(queries, min(space.recall_k, n))
    index = SignIndex.build(n, space.dim, space.block)
    reached = index.tune(queries, exact, space.products, recall)
    searches = lambda rows: index.top(rows, space.k, space.products), lambda rows: space.top(rows, space.k)
    with limited(1):
        times = [_times(searches, queries, batch) for batch in BATCHES]
    measured = IndexedScorer(name, n, index.candidates, reached, *zip(*times, strict=True))
    if always or measured.is_faster:
        return index, measured
    return None, replace(measured, candidates=0)


def _times(searches: Sequence[Callable[[np.ndarray], object]], queries: np.ndarray, batch: int) -> tuple[float, ...]:
    """Return the median milliseconds a query of each search, run in turn so that a busy machine slows down all."""
    order = np.random.default_rng(0).permutation(len(queries))
    seconds, began = [], time.perf_counter()
    for number in range(1 + _PAIRS):
        rows = queries[order[np.arange(number * batch, (number + 1) * batch) % len(queries)]]
        seconds.append([_seconds(search, rows) for search in searches])
        if number >= 3 and time.perf_counter() - began > _SECONDS:
            break
    return tuple((1000 / batch * np.median(seconds[1:], axis=0)).tolist())  # the first may compile


def _seconds(search: Callable[[np.ndarray], object], rows: np.ndarray) -> float:
    began = time.perf_counter()
    search(rows)
    return time.perf_counter() - began


def _to_json(scorer: IndexedScorer) -> dict[str, Any]:
    return {"candidates": scorer.candidates, "recall": round(scorer.recall, 5), "rows": scorer.rows}


def _file_stamps(run: Path, part: Path) -> dict[str, list[Any]]:
    """Return size, modification time and digest of the files of the run and the index."""
    stamps = {name: [*stamp(run / name), wanted] for name, wanted in files_of(run).items()}
    for path in sorted(part.iterdir()):
        stamps[f"{FOLDER}/{path.name}"] = [*stamp(path), digest(path)]
    return stamps
