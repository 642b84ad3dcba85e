"""The run that a server answers by; another can take its place between two batches."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from ramen.inference.explain import explain
from ramen.inference.tagger import Tagger
from ramen.serve.batcher import Answers, Asked


class Served:
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
            for text, found in zip(texts, self.tagger.told(labels[:, :2], scores[:, :2]), strict=True):
                explain(self.tagger, text, labels[0, : len(found)].tolist())

    def load(self, run: Path | None = None) -> None:
        """Load a run, the same folder's or another, then answer by it; on an error the old one stays.

        Raises:
            InputError: no finished run there.
        """
        with self._loading:
            run = run or self.run
            tagger = Tagger.load(run)
            self.run, self.tagger, self.loaded = run, tagger, time.time()

    def answer(self, batch: list[Asked]) -> list[Answers]:
        """Labels of the texts of all requests, ranked at once."""
        tagger = self.tagger  # the same for the whole batch
        labels, scores = tagger.rank([text for asked in batch for text in asked.texts], max(a.k for a in batch))
        answers, start = [], 0
        for asked in batch:
            part = slice(start, start + len(asked.texts)), slice(0, asked.k)
            start += len(asked.texts)
            told = tagger.told(labels[part], scores[part], asked.lowest)
            if asked.why:
                for text, row, found in zip(asked.texts, labels[part], told, strict=True):
                    reasons = explain(tagger, text, row[: len(found)].tolist())
                    for label, reason in zip(found, reasons, strict=True):
                        label["why"] = reason
            answers.append(told)
        return answers
