"""The current run of a server, which can be replaced between two batches."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from ramen.inference.tagger import Tagger
from ramen.serve.batcher import BatchRequest, BatchResponse


class ModelHolder:
    """Holds a loaded run.

    Args:
        run: its folder; a symbolic link is resolved at each load.

    Raises:
        InputError: there is no finished run.
    """

    def __init__(self, run: Path) -> None:
        self._loading = threading.Lock()
        self.run, self.loaded = run, time.time()
        self.tagger = Tagger.load(run)

    def warm_up(self) -> None:
        """Compile the kernels for one and for several texts, unless they are cached on this machine."""
        for texts in (["a first text"], ["a first text", "another", "and a third one"]):
            labels, scores = self.tagger.rank(texts, 5)
            self.tagger.to_records(labels[:, :2], scores[:, :2], explained=texts)

    def load(self, run: Path | None = None) -> None:
        """Load another run, or reload the folder, and switch to it; on an error the current run stays active.

        Raises:
            InputError: there is no finished run.
        """
        with self._loading:
            run = run or self.run
            tagger = Tagger.load(run)
            self.run, self.tagger, self.loaded = run, tagger, time.time()

    @property
    def n_labels(self) -> int:
        """Number of labels, without removed ones."""
        run = self.tagger.run
        return len(run.uids) - (0 if run.removed is None else int(run.removed.sum()))

    def respond(self, batch: list[BatchRequest]) -> list[BatchResponse]:
        """Tag the texts of all requests at once."""
        tagger = self.tagger  # the same for the whole batch
        texts = [text for request in batch for text in request.texts]
        labels, scores = tagger.rank(texts, max(request.k for request in batch))
        responses, first = [], 0
        for request in batch:
            part = slice(first, first + len(request.texts)), slice(0, request.k)
            first += len(request.texts)
            explained = request.texts if request.why else None
            responses.append(tagger.to_records(labels[part], scores[part], request.lowest, explained))
        return responses
