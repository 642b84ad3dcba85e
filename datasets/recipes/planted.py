"""A made-up data set whose truth is known: seconds to build, minutes with a million labels, no network.

Every latent group has two vocabularies of invented words with the same meaning. Texts of points draw from one, texts of
labels from the other; only the anchors of the graph ``links`` use both. What point and label texts share in plain
sight is the topic, which cuts across the groups. The rules are in ``datasets/README.md``.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from ramen.data.recipes.build import PROPENSITY_SOURCE

from ramen.data.dataset import Card, Dataset, Graph, Texts
from ramen.data.write import write_dataset
from ramen.errors import InputError

_FEWEST_POINTS, _FEWEST_LABELS = 50, 20
_LABELS_PER_GROUP = 4
_TOPICS = 8
_FILLERS = 60
_VOCABULARY = 30  # words per group and side, and per topic
_LEXICON = 100_000  # words a side: with more groups these share words, as in any language
_GROUP_SKEW = 0.9  # group g is drawn as 1 / (1 + g) ** skew: of the rare ones training texts say little, links much
_ANCHORS_PER_GROUP = 3
_LINKS = 2  # per point and per label, in each graph
_TEST_EVERY = 5
_TWIN_EVERY = 20
_BARE_EVERY = 10
_WRONG_LINK = 0.1
_SECOND_GROUP = 0.2
_TOPIC_PULL = 4.0
_MOST_DRAWS = 4  # of labels, a point
_BLOCK = 50_000  # texts drawn at once
_SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
_STRIDE = 9_700_417  # shares no factor with the number of words of four syllables, so all of them come up


def prepare(out: Path, *, report: Callable[[str], None], points: int = 2000, labels: int = 800, seed: int = 0) -> None:
    """Write the data set, and the latent groups and topics of its points and labels as ``truth.npz``.

    Args:
        out: new folder.
        report: called with one line per step.
        points: training and test points together; every fifth is a test point.
        labels: number of labels.
        seed: of everything random; the same options give the same bytes.

    Raises:
        InputError: fewer than 50 points or 20 labels.
    """
    for name, value, fewest in (("points", points, _FEWEST_POINTS), ("labels", labels, _FEWEST_LABELS)):
        if value < fewest:
            raise InputError(f"recipe 'planted', option {name!r}: found {value}, expected at least {fewest}")
    report(f"invent {points} points and {labels} labels")
    world = World(np.random.default_rng(seed), points, labels)
    dataset = world.dataset(out)
    report(f"write {len(dataset.train)} training points and {len(dataset.test)} test points")
    write_dataset(dataset, out, extra={"truth.npz": world.truth()})


class World:
    """Groups, topics, words, and the points and labels made of them.

    Attributes:
        groups: int64 (N, 2), the main latent group of every point, training and test, and a second one or -1.
        topics: int64 (N,), of the points.
        label_groups, label_topics: int64 (L,).
        held_out: bool (N,), the test points.
        targets: float32 CSR (N, L).
        twins: int64 (N,), the label that a point is itself, so neither right nor wrong; -1 for most.
    """

    def __init__(self, rng: np.random.Generator, n_points: int, n_labels: int) -> None:
        self._rng = rng
        self._n_groups = max(2, n_labels // _LABELS_PER_GROUP)
        self._invent_words(n_labels)
        self.label_groups = np.arange(n_labels) % self._n_groups
        self.label_topics = rng.integers(_TOPICS, size=n_labels)
        # Each group once, so that none is without a point; shuffled, so that none falls on the held-out points alone.
        frequency = 1.0 / (1 + np.arange(self._n_groups)) ** _GROUP_SKEW
        drawn = rng.choice(self._n_groups, n_points, p=frequency / frequency.sum())
        main = rng.permutation(np.append(np.arange(self._n_groups), drawn)[:n_points])
        second = np.where(rng.random(n_points) < _SECOND_GROUP, rng.integers(self._n_groups, size=n_points), -1)
        self.groups = np.stack([main, second], axis=1)
        self.topics = rng.integers(_TOPICS, size=n_points)
        number = np.arange(n_points)
        self.held_out = number % _TEST_EVERY == _TEST_EVERY - 1
        self._is_bare = number % _BARE_EVERY == 0
        is_twin = number % _TWIN_EVERY >= _TWIN_EVERY - 2  # one held out, one not
        place = rng.integers(self._group_sizes()[main])
        self.twins = np.where(is_twin, main + place * self._n_groups, -1)
        self.targets = self._choose_labels()

    def dataset(self, out: Path) -> Dataset:
        """The data set, with the training points first in order and every fifth point held out."""
        train, test = np.flatnonzero(~self.held_out), np.flatnonzero(self.held_out)
        label_texts = self._label_texts()
        texts = self._point_texts(label_texts.titles)
        return Dataset(
            path=out,
            train=_some(texts, train),
            test=_some(texts, test),
            labels=label_texts,
            train_targets=self.targets[train],
            test_targets=self.targets[test],
            graphs={"links": self._links(train), "noise": self._noise(len(train))},
            train_filter=_pairs(self.twins[train]),
            test_filter=_pairs(self.twins[test]),
            card=Card(
                name="planted",
                A=0.55,
                B=1.5,
                source=PROPENSITY_SOURCE,
                title="Invented texts with a planted truth",
                licence="generated; no third-party text",
                origin="generated from a seed; truth.npz holds the latent groups and topic of every point and label",
            ),
        )

    def truth(self) -> bytes:
        """An npz: ``train_groups``, ``train_topics`` and the same of test and labels, in their order."""
        arrays = {"label_groups": self.label_groups, "label_topics": self.label_topics}
        for name, rows in (("train", ~self.held_out), ("test", self.held_out)):
            arrays[f"{name}_groups"], arrays[f"{name}_topics"] = self.groups[rows], self.topics[rows]
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=False, **{name: a.astype(np.int32) for name, a in arrays.items()})
        return stream.getvalue()

    def _invent_words(self, n_labels: int) -> None:
        """Numbers of the words of every topic, group and side, and how each number is spelt."""
        own = min(_VOCABULARY * self._n_groups, _LEXICON)
        topics = _FILLERS + np.arange(_TOPICS * _VOCABULARY).reshape(_TOPICS, _VOCABULARY)
        first = _FILLERS + topics.size
        self._topic_words = topics
        self._point_words = first + self._vocabularies(own)
        self._label_words = first + own + self._vocabularies(own)
        self._names = first + 2 * own  # a word of its own for each label
        count, most = self._names + n_labels, len(_SYLLABLES) ** 4
        at = (np.arange(count) * _STRIDE + self._rng.integers(most)) % most
        parts = [((at // len(_SYLLABLES) ** i) % len(_SYLLABLES)).tolist() for i in range(4)]
        s = _SYLLABLES
        self._spelt = [s[a] + s[b] + s[c] + s[d] for a, b, c, d in zip(*parts, strict=True)]

    def _vocabularies(self, own: int) -> np.ndarray:
        shape = (self._n_groups, _VOCABULARY)
        return np.arange(own).reshape(shape) if own == shape[0] * shape[1] else self._rng.integers(own, size=shape)

    def _group_sizes(self) -> np.ndarray:
        return np.bincount(self.label_groups, minlength=self._n_groups)

    def _choose_labels(self) -> sp.csr_matrix:
        """One to four draws of its groups' labels for each point, and a training point for every label."""
        pairs = np.concatenate([self._drawn(rows) for rows in _blocks(len(self.groups))])
        taught = np.zeros(len(self.label_groups), dtype=np.bool_)
        taught[pairs[~self.held_out[pairs[:, 0]], 1]] = True
        pairs = np.concatenate([pairs, self._lessons(np.flatnonzero(~taught))])
        shape = (len(self.groups), len(taught))
        targets = sp.csr_matrix((np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])), shape=shape)
        targets.sum_duplicates()
        targets.data[:] = 1.0
        return targets

    def _drawn(self, rows: np.ndarray) -> np.ndarray:
        """(point, label) pairs of some points."""
        # A label's place in its group sets how often it is chosen: 1, 1/2, 1/3 and so on, the long tail.
        places = np.arange(-(-len(self.label_groups) // self._n_groups))
        labels = self.groups[rows][:, :, None] + places * self._n_groups
        weights = np.broadcast_to(1.0 / (1 + places), labels.shape).copy()
        is_label = (self.groups[rows][:, :, None] >= 0) & (labels < len(self.label_groups))
        labels = np.where(is_label, labels, 0)
        weights *= np.where(self.label_topics[labels] == self.topics[rows][:, None, None], _TOPIC_PULL, 1.0)
        weights *= is_label & (labels != self.twins[rows][:, None, None])
        labels, weights = labels.reshape(len(rows), -1), weights.reshape(len(rows), -1)
        shares = np.cumsum(weights, axis=1) / weights.sum(1, keepdims=True)
        draws = self._rng.random((len(rows), _MOST_DRAWS))
        column = (draws[:, :, None] >= shares[:, None, :-1]).sum(2)
        kept = np.arange(_MOST_DRAWS) < self._rng.integers(1, _MOST_DRAWS + 1, size=(len(rows), 1))
        point = np.repeat(rows[:, None], _MOST_DRAWS, axis=1)
        return np.stack([point[kept], np.take_along_axis(labels, column, axis=1)[kept]], axis=1)

    def _lessons(self, labels: np.ndarray) -> np.ndarray:
        """(training point, label) pairs for labels that have none: a point of the group where there is one."""
        train = np.flatnonzero(~self.held_out)
        train = train[np.argsort(self.groups[train, 0], kind="stable")]
        groups = self.label_groups[labels]
        first = np.searchsorted(self.groups[train, 0], groups)
        count = np.searchsorted(self.groups[train, 0], groups, side="right") - first
        lonely = count == 0
        first, count = np.where(lonely, 0, first), np.where(lonely, len(train), count)
        point = train[first + self._rng.integers(count)]
        is_twin = self.twins[point] == labels
        while is_twin.any():
            point[is_twin] = train[self._rng.integers(len(train), size=int(is_twin.sum()))]
            is_twin = self.twins[point] == labels
        return np.stack([point, labels], axis=1)

    def _label_texts(self) -> Texts:
        titles, contents = [], []
        for rows in _blocks(len(self.label_groups)):
            own = self._sample(self._label_words[self.label_groups[rows]], 5)
            about = self._sample(self._topic_words[self.label_topics[rows]], 4)
            name = (self._names + rows)[:, None]
            titles += self._lines(own[:, :2], about[:, :1], name)
            contents += self._lines(own[:, 2:], about[:, 1:], self._fillers(len(rows), 5))
        return Texts([f"label-{i:07d}" for i in range(len(titles))], titles, contents)

    def _point_texts(self, label_titles: list[str]) -> Texts:
        titles: list[str] = []
        contents: list[str] = []
        for rows in _blocks(len(self.groups)):
            # The texts say a noisy part of the truth: of a second group a single word, and some words of no group.
            main, second = self.groups[rows].T
            own = self._sample(self._point_words[main], 4)
            other = np.where(second >= 0, self._sample(self._point_words[second], 1)[:, 0], -1)[:, None]
            about = self._sample(self._topic_words[self.topics[rows]], 3)
            stray = self._rng.choice(self._topic_words.ravel(), (len(rows), 1))
            titles += self._lines(own[:, :2], about[:, :1])
            contents += self._lines(own[:, 2:], other, about[:, 1:], stray, self._fillers(len(rows), 5))
        for row in np.flatnonzero(self._is_bare).tolist():
            contents[row] = ""
        for row in np.flatnonzero(self.twins >= 0).tolist():
            titles[row] = label_titles[self.twins[row]]
        return Texts([f"point-{i:07d}" for i in range(len(titles))], titles, contents)

    def _links(self, train: np.ndarray) -> Graph:
        """Anchors of the groups; their texts are the only ones that use both vocabularies of a group."""
        anchors = []
        for rows in _blocks(_ANCHORS_PER_GROUP * self._n_groups):
            both = np.concatenate(
                [self._point_words[rows % self._n_groups], self._label_words[rows % self._n_groups]], 1
            )
            anchors += self._lines(self._sample(both, _VOCABULARY))
        points, labels = (self._links_of(groups) for groups in (self.groups[train, 0], self.label_groups))
        return Graph("links", anchors, points, labels)

    def _links_of(self, groups: np.ndarray) -> sp.csr_matrix:
        """Two of its group's anchors for each row; one row in ten has two of any."""
        shape = (len(groups), _ANCHORS_PER_GROUP * self._n_groups)
        own = groups[:, None] + self._n_groups * np.arange(_ANCHORS_PER_GROUP)
        right = self._sample(np.broadcast_to(own, (len(groups), _ANCHORS_PER_GROUP)), _LINKS)
        is_wrong = self._rng.random((len(groups), 1)) < _WRONG_LINK
        return _linked(np.where(is_wrong, self._any_two(shape), right), shape)

    def _noise(self, n_train: int) -> Graph:
        """As many anchors and links as ``links`` has, all of them random."""
        n_anchors = _ANCHORS_PER_GROUP * self._n_groups
        anchors = [line for rows in _blocks(n_anchors) for line in self._lines(self._fillers(len(rows), 8))]
        shapes = [(rows, n_anchors) for rows in (n_train, len(self.label_groups))]
        points, labels = (_linked(self._any_two(shape), shape) for shape in shapes)
        return Graph("noise", anchors, points, labels)

    def _any_two(self, shape: tuple[int, int]) -> np.ndarray:
        """Two different columns for each row."""
        first, step = self._rng.integers(shape[1], size=shape[0]), self._rng.integers(1, shape[1], size=shape[0])
        return np.stack([first, (first + step) % shape[1]], axis=1)

    def _fillers(self, rows: int, count: int) -> np.ndarray:
        return self._sample(np.broadcast_to(np.arange(_FILLERS), (rows, _FILLERS)), count)

    def _sample(self, of: np.ndarray, count: int) -> np.ndarray:
        """So many different columns of each row."""
        order = self._rng.random(of.shape, dtype=np.float32).argpartition(count - 1, axis=1)
        return np.take_along_axis(of, order[:, :count], axis=1)

    def _lines(self, *words: np.ndarray) -> list[str]:
        """Texts of numbers of words, a row each, in any order; -1 is no word."""
        rows, spelt = self._rng.permuted(np.concatenate(words, axis=1), axis=1), self._spelt
        return [" ".join([spelt[word] for word in row if word >= 0]) for row in rows.tolist()]


def _blocks(n: int) -> Iterator[np.ndarray]:
    for start in range(0, n, _BLOCK):
        yield np.arange(start, min(start + _BLOCK, n))


def _some(texts: Texts, rows: np.ndarray) -> Texts:
    return Texts(*([field[row] for row in rows.tolist()] for field in (texts.uids, texts.titles, texts.contents)))


def _pairs(twins: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(twins >= 0)
    return np.stack([rows, twins[rows]], axis=1)


def _linked(columns: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    ones, starts = np.ones(columns.size, dtype=np.float32), np.arange(0, columns.size + 1, columns.shape[1])
    linked = sp.csr_matrix((ones, columns.ravel(), starts), shape=shape)
    linked.sort_indices()
    return linked
