"""The run that a server answers by; another can replace it between two batches."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from ramen.inference.explain import explain
from ramen.inference.tagger import Tagger
from ramen.serve.batcher import BatchRequest, BatchResponse


class ModelHolder:
    """A loaded run.

    Args:
        run: its folder; a link is followed anew at each load.

    Raises:
        InputError: no finished run there.
    """

    def __init__(self, run: Path) -> None:
        self._loading = threading.Lock()
        self.run, self.loaded = run, time.time()
        self.tagger = Tagger.load(run)

    def warm_up(self) -> None:
        """Compile the kernels, for one text and for several, where this machine has not kept them."""
        for texts in (["a first text"], ["a first text", "another", "and a third one"]):
            labels, scores = self.tagger.rank(texts, 5)
            for text, records in zip(texts, self.tagger.to_records(labels[:, :2], scores[:, :2]), strict=True):
                explain(self.tagger, text, labels[0, : len(records)].tolist())

    def load(self, run: Path | None = None) -> None:
        """Load a run, the same folder's or another, then answer by it; on an error the old one stays.

        Raises:
            InputError: no finished run there.
        """
        with self._loading:
            run = run or self.run
            tagger = Tagger.load(run)
            self.run, self.tagger, self.loaded = run, tagger, time.time()

    @property
    def n_labels(self) -> int:
        """Labels that a text can get."""
        run = self.tagger.run
        return len(run.uids) - (0 if run.removed is None else int(run.removed.sum()))

    def respond(self, batch: list[BatchRequest]) -> list[BatchResponse]:
        """Labels of the texts of all requests, ranked at once."""
        tagger = self.tagger  # the same for the whole batch
        texts = [text for request in batch for text in request.texts]
        labels, scores = tagger.rank(texts, max(request.k for request in batch))
        responses, start = [], 0
        for request in batch:
            part = slice(start, start + len(request.texts)), slice(0, request.k)
            start += len(request.texts)
            records = tagger.to_records(labels[part], scores[part], request.lowest)
            if request.why:
                for text, row, of_text in zip(request.texts, labels[part], records, strict=True):
                    reasons = explain(tagger, text, row[: len(of_text)].tolist())
                    for record, reason in zip(of_text, reasons, strict=True):
                        record["why"] = reason
            responses.append(records)
        return responses
