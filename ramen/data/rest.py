"""What a folder of any layout may have beside its points and labels: filters, graphs, a card."""

from __future__ import annotations

from pathlib import Path

import scipy.sparse as sp

from ramen.data.cards import read_card
from ramen.data.dataset import Dataset, Features, Texts
from ramen.data.files import Problem, Reading, find_one, lines
from ramen.data.matrices import TEXT, read_filter
from ramen.data.read_graphs import read_graphs


def assembled(
    folder: Path,
    train: Texts,
    test: Texts,
    labels: Texts,
    targets: tuple[sp.csr_matrix | None, sp.csr_matrix | None],
    features: Features | None = None,
    *,
    known: tuple[bool, bool, bool] = (True, True, True),
) -> Reading[Dataset | None]:
    """The data set of what a layout has read and of the rest.

    Args:
        folder: of the data set.
        train: texts of the training points.
        test: of the test points.
        labels: of the labels.
        targets: of training and test points; None after a problem, and then the result is None.
        features: of the layouts of bags of words.
        known: whether the numbers of training points, test points and labels are; with one that a broken file left
            open, nothing is checked against it.
    """
    n_train, n_test, n_labels = (
        len(texts) if whole else None for texts, whole in zip((train, test, labels), known, strict=True)
    )
    train_filter = yield from read_filter(folder / "filter_labels_train.txt", n_train, n_labels)
    test_filter = yield from read_filter(folder / "filter_labels_test.txt", n_test, n_labels)
    graphs = yield from read_graphs(folder, n_train, n_labels)
    card, _ = yield from read_card(folder)
    train_targets, test_targets = targets
    if train_targets is None or test_targets is None:
        return None  # after a problem that was told
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
    """The names in the first of some files that is there, a line each; none where no file is.

    Args:
        folder: of the data set.
        stems: names of the file without its ending.
        expected: how many there are.
        of: what they name, for the error.
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
    """Rows known by their numbers, without text or with titles; ``split`` goes before, as equal uids mean one thing."""
    return Texts([f"{split}{row}" for row in range(count)], titles or [""] * count, [""] * count)
