"""Reads folders with one text per line and matrices of targets, under the file names of other codebases."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.assemble import assemble
from ramen.data.dataset import Dataset, Texts
from ramen.data.files import Problem, Reading, candidates, find_one, lines
from ramen.data.matrices import MATRIX, TEXT, at_row, read_matrix, rows_of

_NAMED = re.compile(r"(?P<uid>[^\s>]+)->(?P<text>.*)")


@dataclass(frozen=True)
class LineFiles:
    """File names of a layout, without extensions.

    Attributes:
        train, test, labels: texts.
        train_targets, test_targets: matrices.
    """

    train: str
    test: str
    labels: str
    train_targets: str = "trn_X_Y"
    test_targets: str = "tst_X_Y"

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the required files of this layout."""
        return f"{self.train}.txt", f"{self.labels}.txt", f"{self.train_targets}.txt"

    def read(self, folder: Path) -> Reading[Dataset | None]:
        """Read a folder of this layout; do not use the value after a problem."""
        labels = yield from read_texts(folder, self.labels, "")
        train = yield from read_texts(folder, self.train, "trn:")
        targets = yield from _targets(folder, self.train_targets, self.train, train, self.labels, labels)
        test: Texts | None = Texts([], [], [])
        test_targets: sp.csr_matrix | None = sp.csr_matrix((0, len(labels or ())), dtype=np.float32)
        if candidates(folder, self.test, TEXT) or candidates(folder, self.test_targets, MATRIX):
            test = yield from read_texts(folder, self.test, "tst:")
            test_targets = yield from _targets(folder, self.test_targets, self.test, test, self.labels, labels)
        if train is None or test is None or labels is None:
            return None
        if targets is not None and not targets.nnz:
            yield Problem(folder / self.train_targets, "no training point has a label, expected at least one")
        return (yield from assemble(folder, train, test, labels, (targets, test_targets)))


# Tried in this order.
LINE_FILES = (
    LineFiles("raw_data/train.raw", "raw_data/test.raw", "raw_data/label.raw"),
    LineFiles("train.raw", "test.raw", "label.raw"),
    LineFiles("raw/trn_X", "raw/tst_X", "raw/Y"),
    LineFiles("trn_X", "tst_X", "lbl_X"),
    LineFiles("trn_X", "tst_X", "Y"),
    LineFiles("X.trn", "X.tst", "output-items", "Y.trn", "Y.tst"),
)


def read_texts(folder: Path, stem: str, split: str) -> Reading[Texts | None]:
    """Read a file with one text per line.

    If all lines are ``UID->text``, these are the uids; otherwise a uid is ``split`` and the row number. If all lines
    have a tab, it separates title and content.
    """
    path = yield from find_one(folder, stem, TEXT)
    if path is None:
        yield Problem(folder / f"{stem}.txt", "missing, expected one text per line")
        return None
    texts: list[str] = []
    sound = True
    for _, line in lines(path):
        if isinstance(line, Problem):
            yield line
            sound = False
        else:
            texts.append(line)
    if sound and not texts:
        yield Problem(path, "no texts, expected at least one line")
    if not sound or not texts:
        return None
    named = [_NAMED.fullmatch(line) for line in texts]
    uids = [f"{split}{row}" for row in range(len(texts))]
    if all(named):
        uids = [match["uid"] for match in named if match]
        texts = [match["text"] for match in named if match]
        row_of: dict[str, int] = {}
        for row, uid in enumerate(uids, 1):
            if row_of.setdefault(uid, row) != row:
                yield Problem(path, f"uid {uid!r} occurs twice, first on line {row_of[uid]}", line=row)
    parts = (
        [line.partition("\t") for line in texts]
        if all("\t" in line for line in texts)
        else [(t, "", "") for t in texts]
    )
    return Texts(uids, [title.strip() for title, _, _ in parts], [content.strip() for _, _, content in parts])


def _targets(
    folder: Path, stem: str, texts_stem: str, texts: Texts | None, label_stem: str, labels: Texts | None
) -> Reading[sp.csr_matrix | None]:
    path = yield from find_one(folder, stem, MATRIX)
    if path is None:
        yield Problem(folder / f"{stem}.txt", f"missing, expected the targets of {texts_stem}")
        return None
    matrix = yield from read_matrix(path)
    if matrix is None:
        return None
    for size, part, name in ((matrix.shape[0], texts, texts_stem), (matrix.shape[1], labels, label_stem)):
        if part is not None and size != len(part):
            kind = "rows" if part is texts else "columns"
            yield Problem(path, f"{size} {kind}, expected {len(part)} as {name} has lines")
            return None
    for row in np.unique(rows_of(matrix)[matrix.data <= 0]).tolist():
        yield at_row(path, row, "a target with a value of 0 or below, expected above 0")
    return matrix
