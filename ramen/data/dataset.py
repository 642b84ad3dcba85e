"""What a data set is in memory: texts, targets, graphs, filters and the facts of its card."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse as sp


@dataclass
class Texts:
    """Texts in row order: points of one split, or the labels.

    Attributes:
        uids: one identifier per row, unique.
        titles: the short field, one line.
        contents: the long field, one line; "" where a row has none.
    """

    uids: list[str]
    titles: list[str]
    contents: list[str]

    def __len__(self) -> int:
        return len(self.uids)

    def joined(self) -> list[str]:
        r"""One string per row, ``title\ncontent``: the newline tells an encoder where the title ends.

        Example:
            >>> Texts(["a", "b"], ["A", "B"], ["long", ""]).joined()
            ['A\nlong', 'B']
        """
        return [join_fields(title, content) for title, content in zip(self.titles, self.contents, strict=True)]


def join_fields(title: str, content: str = "") -> str:
    r"""``title\ncontent``, or the one of the two that is not empty."""
    return f"{title}\n{content}" if title and content else title or content


@dataclass
class Graph:
    """One kind of metadata: bipartite 0/1 links from points and labels to anchors.

    Attributes:
        kind: name, as in ``graphs/KIND_trn_X_Y.npz``.
        anchors: one text per anchor (length M).
        points: float32 CSR, training points x anchors (N x M), or None where this side has no graph.
        labels: float32 CSR, labels x anchors (L x M), or None.
    """

    kind: str
    anchors: list[str]
    points: sp.csr_matrix | None
    labels: sp.csr_matrix | None


@dataclass
class Features:
    """Bags of words that a data set gives itself.

    Attributes:
        train, test: float32 CSR, points x features.
        labels: float32 CSR, labels x features, or None.
        names: of the features; empty without a file of them.
    """

    train: sp.csr_matrix
    test: sp.csr_matrix
    labels: sp.csr_matrix | None = None
    names: list[str] = field(default_factory=list)


@dataclass
class Card:
    """Facts of a data set that no file of it states.

    Attributes:
        name: of the card.
        A, B: propensity constants (Jain et al., KDD 2016, eq. 2).
        source: where A and B come from; printed beside every PSP figure.
        title, licence: one line each, "" when unknown.
    """

    name: str
    A: float = 0.55
    B: float = 1.5
    source: str = "default"
    title: str = ""
    licence: str = ""


@dataclass
class Dataset:
    """A data set of points and labels, with texts, given features or both.

    Attributes:
        path: folder it was read from.
        train, test, labels: texts; ``test`` has 0 rows when the folder has no test split.
        train_targets: float32 CSR, N x L.
        test_targets: float32 CSR, N_test x L.
        graphs: by kind; test points never have graph rows.
        train_filter, test_filter: int64 (F, 2) of (row, label) pairs that are neither right nor wrong.
        card: propensity constants and where they come from.
        features: of a folder without texts; beside texts :func:`ramen.data.bags_of_words` reads them.
    """

    path: Path
    train: Texts
    test: Texts
    labels: Texts
    train_targets: sp.csr_matrix
    test_targets: sp.csr_matrix
    graphs: dict[str, Graph] = field(default_factory=dict)
    train_filter: np.ndarray = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    test_filter: np.ndarray = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    card: Card = field(default_factory=lambda: Card("none"))
    features: Features | None = None

    @property
    def has_texts(self) -> bool:
        """Whether any training point has one."""
        return any(self.train.titles) or any(self.train.contents)

    @property
    def n_labels(self) -> int:
        """Number of labels, L."""
        return len(self.labels)
