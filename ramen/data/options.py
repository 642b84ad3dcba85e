"""Reduces a data set: titles only, a share of the labelled points, some test points, no graph rows of some labels."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp

from ramen.data.dataset import Dataset, Graph, Texts
from ramen.errors import InputError

_PAIRS, _TESTS = 7, 8  # make these random streams independent of others with the same seed


def with_texts(dataset: Dataset, text: str) -> Dataset:
    """Return the data set unchanged (``"full"``), or without the contents of points and labels (``"title"``).

    Example:
        ``with_texts(ramen.load_dataset("data/planted"), "title").train.joined()[0]``
    """
    if text == "full":
        return dataset
    if text != "title":
        raise InputError(f"text is {text!r}, expected title or full")

    def titles(texts: Texts) -> Texts:
        return dataclasses.replace(texts, contents=[""] * len(texts))

    return dataclasses.replace(
        dataset, train=titles(dataset.train), test=titles(dataset.test), labels=titles(dataset.labels)
    )


def with_pairs(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Return the data set with targets for only a share of its training points; the others stay without targets.

    Args:
        dataset: not changed.
        share: of the labelled training points, in (0, 1]; rounded, at least one point.
        seed: of the RNG that draws the points.

    Returns:
        The same points; ``train_targets`` has empty rows where targets were dropped.
    """
    if share == 1:
        return dataset
    if not 0 < share < 1:
        raise InputError(f"share of pairs is {share}, expected above 0 and at most 1")
    labelled = np.flatnonzero(np.diff(dataset.train_targets.indptr))
    rng = np.random.default_rng([seed, _PAIRS])
    chosen = rng.permutation(labelled)[: max(1, round(share * len(labelled)))]
    mask = np.zeros(len(dataset.train), dtype=np.float32)
    mask[chosen] = 1
    targets = sp.csr_matrix(sp.diags(mask) @ dataset.train_targets, dtype=np.float32)
    targets.eliminate_zeros()
    return dataclasses.replace(dataset, train_targets=targets)


def with_test_points(dataset: Dataset, count: int, seed: int) -> Dataset:
    """Return the data set with a random sample of its test points.

    Args:
        dataset: not changed.
        count: of the test points to keep; 0 for all.
        seed: of the RNG that draws them.

    Example:
        ``len(with_test_points(ramen.load_dataset("data/planted"), 100, seed=0).test)``
    """
    if not 0 < count < len(dataset.test):
        return dataset
    rows = np.sort(np.random.default_rng([seed, _TESTS]).permutation(len(dataset.test))[:count])
    place = np.full(len(dataset.test), -1, dtype=np.int64)
    place[rows] = np.arange(count)
    filtered = dataset.test_filter[place[dataset.test_filter[:, 0]] >= 0]
    filtered = np.stack([place[filtered[:, 0]], filtered[:, 1]], axis=1)
    bags = dataset.features
    return dataclasses.replace(
        dataset,
        test=dataset.test.some(rows),
        test_targets=dataset.test_targets[rows],
        test_filter=filtered,
        features=None if bags is None else dataclasses.replace(bags, test=bags.test[rows]),
    )


def without_label_rows(dataset: Dataset, uids: set[str]) -> Dataset:
    """Return the data set without the graph rows of some labels.

    For a strict evaluation of a graph: if a test point is also a label, training would see its graph row.
    """
    blank = np.array([uid not in uids for uid in dataset.labels.uids], dtype=np.float32)

    def blanked(graph: Graph) -> Graph:
        if graph.labels is None:
            return graph
        rows = sp.csr_matrix(sp.diags(blank) @ graph.labels, dtype=np.float32)
        rows.eliminate_zeros()
        return dataclasses.replace(graph, labels=rows)

    return dataclasses.replace(dataset, graphs={kind: blanked(graph) for kind, graph in dataset.graphs.items()})
