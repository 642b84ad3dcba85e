"""The current run of a worker, which can be replaced between two batches."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from ramen.inference.tagger import Tagger
from ramen.serve.batcher import BatchPart, BatchResponse, TextAnswer


class ModelHolder:
    """Holds a loaded run.

    Args:
        run: its folder; a symbolic link is resolved at each load.
        name: shown to users; the folder's name by default.
        run_id: tells versions of a run apart, in logs and metrics.
        checked: whether the hashes of its files were checked and it stays as it is.

    Raises:
        InputError: there is no finished run.
    """

    def __init__(self, run: Path, name: str = "", run_id: str = "", checked: bool = False) -> None:
        self.prepare(run, name, run_id, checked)
        self.switch()

    def prepare(self, run: Path, name: str = "", run_id: str = "", checked: bool = False) -> None:
        """Load a run and compile its kernels, for a later :meth:`switch`; the current run stays active.

        Raises:
            InputError: there is no finished run.
        """
        tagger = Tagger.load(run, check="none" if checked else "changed")
        _warm_up(tagger)
        self._next: tuple[Tagger, str, str] | None = (tagger, name or run.name, run_id)

    def switch(self) -> None:
        """Switch to the prepared run; requests that are being answered keep theirs."""
        assert self._next is not None
        (self.tagger, self.name, self.run_id), self._next = self._next, None
        self.loaded = time.time()

    def drop(self) -> None:
        """Forget the prepared run."""
        self._next = None

    @property
    def n_labels(self) -> int:
        """Number of labels, without removed ones."""
        run = self.tagger.run
        return len(run.uids) - (0 if run.removed is None else int(run.removed.sum()))

    def health(self) -> dict[str, Any]:
        """Return the current run, its number of labels and when it was loaded (seconds since 1970)."""
        return {"run": self.name, "run_id": self.run_id, "labels": self.n_labels, "loaded": self.loaded}


def rank_parts(batch: list[BatchPart]) -> list[BatchResponse]:
    """Tag the texts of all parts, those of the same run at once."""
    responses: list[BatchResponse] = []
    for _, parts in groupby(batch, key=lambda part: id(part.request.tagger)):
        responses += _of_one_run(list(parts))
    return responses


def _of_one_run(parts: list[BatchPart]) -> Iterator[BatchResponse]:
    tagger = parts[0].request.tagger
    texts = [text for part in parts for text in part.texts]
    queries, labels, scores = tagger.rank_queries(texts, max(part.request.k for part in parts))
    first = 0
    for part in parts:
        request = part.request
        rows = slice(first, first + len(part.texts))
        first += len(part.texts)
        explained = None
        if request.why and queries is not None:
            explained = queries if len(parts) == 1 else queries[rows]  # which keep what was computed for the batch
        records = tagger.to_records(labels[rows, : request.k], scores[rows, : request.k], request.lowest, explained)
        yield [_answer(of_text) for of_text in records]


def _answer(labels: list[dict[str, Any]]) -> TextAnswer:
    text = json.dumps({"labels": labels}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate becomes its escape in JSON.
    encoded = text.encode("utf-8", "backslashreplace")
    return TextAnswer(encoded, len(labels), labels[0].get("probability") if labels else None)


def _warm_up(tagger: Tagger) -> None:
    """Compile the kernels for one and for several texts, unless they are cached on this machine."""
    for texts in (["a first text"], ["a first text", "another", "and a third one"]):
        labels, scores = tagger.rank(texts, 5)
        tagger.to_records(labels[:, :2], scores[:, :2], explained=texts)
