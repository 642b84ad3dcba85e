"""Assembles a data set: adds to points and labels what every layout shares, i.e. filters, graphs and the card."""

from __future__ import annotations

from pathlib import Path

import scipy.sparse as sp

from ramen.data.cards import read_card
from ramen.data.dataset import Dataset, Features, Texts
from ramen.data.files import Problem, Reading, find_one, lines
from ramen.data.matrices import TEXT, read_filter
from ramen.data.read_graphs import read_graphs


def assemble(
    folder: Path,
    train: Texts,
    test: Texts,
    labels: Texts,
    targets: tuple[sp.csr_matrix | None, sp.csr_matrix | None],
    features: Features | None = None,
    *,
    complete: tuple[bool, bool, bool] = (True, True, True),
) -> Reading[Dataset | None]:
    """Return the data set: what a layout has read, plus filters, graphs and card.

    Args:
        folder: of the data set.
        train: texts of the training points.
        test: of the test points.
        labels: of the labels.
        targets: of training and test points; None after a problem, and then the result is None.
        features: of the layouts of bags of words.
        complete: whether training points, test points and labels were read to the end. Nothing is checked against the
            size of an incomplete part.
    """
    n_train, n_test, n_labels = (
        len(texts) if whole else None for texts, whole in zip((train, test, labels), complete, strict=True)
    )
    train_filter = yield from read_filter(folder / "filter_labels_train.txt", n_train, n_labels)
    test_filter = yield from read_filter(folder / "filter_labels_test.txt", n_test, n_labels)
    graphs = yield from read_graphs(folder, n_train, n_labels)
    card, _ = yield from read_card(folder)
    train_targets, test_targets = targets
    if train_targets is None or test_targets is None:
        return None  # a problem was yielded already
    return Dataset(
        path=folder,
        train=train,
        test=test,
        labels=labels,
        train_targets=train_targets,
        test_targets=test_targets,
        graphs=graphs,
        train_filter=train_filter,
        test_filter=test_filter,
        card=card,
        features=features,
    )


def read_names(folder: Path, stems: tuple[str, ...], expected: int, of: str) -> Reading[list[str]]:
    """Read names, one per line, from the first of several files that exists; [] if none does.

    Args:
        folder: of the data set.
        stems: names of the file without its ending.
        expected: number of names.
        of: what they name, for the error message.
    """
    for stem in stems:
        path = yield from find_one(folder, stem, TEXT)
        if path is None:
            continue
        names = []
        for _, line in lines(path):
            if isinstance(line, Problem):
                yield line
            names.append("" if isinstance(line, Problem) else line.strip())
        if len(names) != expected:
            yield Problem(path, f"{len(names)} lines, expected {expected} as there are {of}")
        return names
    return []


def numbered(count: int, titles: list[str] | None = None, split: str = "") -> Texts:
    """Return rows whose uids are ``split`` and the row number, with titles or without text."""
    return Texts([f"{split}{row}" for row in range(count)], titles or [""] * count, [""] * count)
