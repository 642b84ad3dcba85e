"""Reads texts that stand a line each beside matrices of targets, by the names that other codes give these files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.dataset import Dataset, Texts
from ramen.data.files import Problem, Reading, candidates, find_one, lines
from ramen.data.matrices import MATRIX, TEXT, at_row, read_matrix, rows_of
from ramen.data.rest import assembled

_NAMED = re.compile(r"(?P<uid>[^\s>]+)->(?P<text>.*)")


@dataclass(frozen=True)
class LineFiles:
    """Where a layout keeps its files, without their endings.

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
        """The files without which a folder is not of this layout."""
        return f"{self.train}.txt", f"{self.labels}.txt", f"{self.train_targets}.txt"

    def read(self, folder: Path) -> Reading[Dataset | None]:
        """Reads a folder that has them; the value is not to be used after a problem."""
        labels = yield from read_texts(folder, self.labels, "")
        train = yield from read_texts(folder, self.train, "trn:")
        targets = yield from _targets(folder, self.train_targets, self.train, train, self.labels, labels)
        test: Texts | None = Texts([], [], [])
        asked: sp.csr_matrix | None = sp.csr_matrix((0, len(labels or ())), dtype=np.float32)
        if candidates(folder, self.test, TEXT) or candidates(folder, self.test_targets, MATRIX):
            test = yield from read_texts(folder, self.test, "tst:")
            asked = yield from _targets(folder, self.test_targets, self.test, test, self.labels, labels)
        if train is None or test is None or labels is None:
            return None
        if targets is not None and not targets.nnz:
            yield Problem(folder / self.train_targets, "no training point has a label, expected at least one")
        return (yield from assembled(folder, train, test, labels, (targets, asked)))


# In the order in which they are tried.
LINE_FILES = (
    LineFiles("raw_data/train.raw", "raw_data/test.raw", "raw_data/label.raw"),
    LineFiles("train.raw", "test.raw", "label.raw"),
    LineFiles("raw/trn_X", "raw/tst_X", "raw/Y"),
    LineFiles("trn_X", "tst_X", "lbl_X"),
    LineFiles("trn_X", "tst_X", "Y"),
    LineFiles("X.trn", "X.tst", "output-items", "Y.trn", "Y.tst"),
)


def read_texts(folder: Path, stem: str, split: str) -> Reading[Texts | None]:
    """Texts of a file, a line each.

    Where all lines are ``UID->text`` the uids are those, otherwise the numbers of the rows behind ``split``. Where all
    lines have a tab it parts title and content.
    """
    path = yield from find_one(folder, stem, TEXT)
    if path is None:
        yield Problem(folder / f"{stem}.txt", "not there, expected texts, a line each")
        return None
    found: list[str] = []
    sound = True
    for _, line in lines(path):
        if isinstance(line, Problem):
            yield line
            sound = False
        else:
            found.append(line)
    if sound and not found:
        yield Problem(path, "no texts, expected at least one line")
    if not sound or not found:
        return None
    named = [_NAMED.fullmatch(line) for line in found]
    uids = [f"{split}{row}" for row in range(len(found))]
    if all(named):
        uids = [match["uid"] for match in named if match]
        found = [match["text"] for match in named if match]
        row_of: dict[str, int] = {}
        for row, uid in enumerate(uids, 1):
            if row_of.setdefault(uid, row) != row:
                yield Problem(path, f"uid {uid!r} is there twice, first on line {row_of[uid]}", line=row)
    parts = (
        [line.partition("\t") for line in found]
        if all("\t" in line for line in found)
        else [(t, "", "") for t in found]
    )
    return Texts(uids, [title.strip() for title, _, _ in parts], [content.strip() for _, _, content in parts])


def _targets(
    folder: Path, stem: str, texts_stem: str, texts: Texts | None, label_stem: str, labels: Texts | None
) -> Reading[sp.csr_matrix | None]:
    path = yield from find_one(folder, stem, MATRIX)
    if path is None:
        yield Problem(folder / f"{stem}.txt", f"not there, expected the targets of {texts_stem}")
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
