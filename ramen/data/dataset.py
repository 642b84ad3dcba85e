"""A data set in memory: texts, targets, graphs, filters and its card."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse as sp


@dataclass
class Texts:
    """Texts of the points of one split, or of the labels, in row order.

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

    def some(self, rows: np.ndarray) -> Texts:
        """Return some rows, in that order."""
        chosen = rows.tolist()
        return Texts(*([column[row] for row in chosen] for column in (self.uids, self.titles, self.contents)))

    def joined(self) -> list[str]:
        r"""Return one string per row, ``title\ncontent``; the newline marks the end of the title for the encoder.

        Example:
            >>> Texts(["a", "b"], ["A", "B"], ["long", ""]).joined()
            ['A\nlong', 'B']
        """
        return [join_fields(title, content) for title, content in zip(self.titles, self.contents, strict=True)]


def join_fields(title: str, content: str = "") -> str:
    r"""Return ``title\ncontent``, or the non-empty one of the two."""
    return f"{title}\n{content}" if title and content else title or content


@dataclass
class Graph:
    """One kind of metadata: bipartite 0/1 links from points and labels to anchors.

    Attributes:
        kind: name, as in ``graphs/KIND_trn_X_Y.npz``.
        anchors: one text per anchor (length M).
        points: float32 CSR, training points x anchors (N x M), or None if points have no links.
        labels: float32 CSR, labels x anchors (L x M), or None if labels have no links.
    """

    kind: str
    anchors: list[str]
    points: sp.csr_matrix | None
    labels: sp.csr_matrix | None


@dataclass
class Features:
    """Bags of words that come with a data set.

    Attributes:
        train, test: float32 CSR, points x features.
        labels: float32 CSR, labels x features, or None.
        names: of the features; empty if there is no file with names.
    """

    train: sp.csr_matrix
    test: sp.csr_matrix
    labels: sp.csr_matrix | None = None
    names: list[str] = field(default_factory=list)


@dataclass
class Card:
    """Facts about a data set that its data files do not contain.

    Attributes:
        name: of the card.
        A, B: propensity constants (Jain et al., KDD 2016, eq. 2).
        source: where A and B come from; printed next to every PSP score.
        title, licence, origin: one line each, "" when unknown; ``origin`` says where the data are from.
    """

    name: str
    A: float = 0.55
    B: float = 1.5
    source: str = "default"
    title: str = ""
    licence: str = ""
    origin: str = ""


@dataclass
class Dataset:
    """A data set of points and labels, with texts, precomputed features or both.

    Attributes:
        path: folder it was read from.
        train, test, labels: texts; ``test`` has 0 rows when the folder has no test split.
        train_targets: float32 CSR, N x L.
        test_targets: float32 CSR, N_test x L.
        graphs: by kind; test points never have graph rows.
        train_filter, test_filter: int64 (F, 2) of (row, label) pairs that count neither as positive nor as negative.
        card: propensity constants and their source.
        features: bags of words of a folder without texts; :func:`ramen.data.bags_of_words` reads those next to texts.
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
        """Return whether any training point has a text."""
        return any(self.train.titles) or any(self.train.contents)

    @property
    def n_labels(self) -> int:
        """Return the number of labels, L."""
        return len(self.labels)
