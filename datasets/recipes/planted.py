"""A made-up data set whose truth is known: seconds to build, no network.

Every latent group has two vocabularies of invented words with the same meaning. Texts of points draw from one, texts of
labels from the other; only the anchors of the graph ``links`` use both. What point and label texts share in plain
sight is the topic, which cuts across the groups. The rules are in ``datasets/README.md``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ramen.data.recipes.build import PROPENSITY_SOURCE, matrix, positions

from ramen.data.dataset import Card, Dataset, Graph, Texts
from ramen.data.write import write_dataset
from ramen.errors import InputError

_FEWEST_POINTS, _FEWEST_LABELS = 50, 20
_LABELS_PER_GROUP = 4
_TOPICS = 8
_VOCABULARY = 30  # words per group and side, and per topic
_GROUP_SKEW = 0.9  # group g is drawn as 1 / (1 + g) ** skew: of the rare ones training texts say little, links much
_ANCHORS_PER_GROUP = 3
_LINKS = 2  # per point and per label, in each graph
_TEST_EVERY = 5
_TWIN_EVERY = 20
_BARE_EVERY = 10
_WRONG_LINK = 0.1
_SECOND_GROUP = 0.2
_TOPIC_PULL = 4.0


@dataclass(frozen=True)
class Item:
    """A point or a label, and the truth behind it: its latent groups, the main one first, and its topic."""

    uid: str
    title: str
    content: str
    groups: tuple[int, ...]
    topic: int


def prepare(out: Path, *, report: Callable[[str], None], points: int = 2000, labels: int = 800, seed: int = 0) -> None:
    """Write the data set, and the latent groups and topic of every point and label as ``truth.json``.

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
    world = World(random.Random(seed), n_points=points, n_labels=labels)
    truth = {
        side: {item.uid: {"groups": item.groups, "topic": item.topic} for item in items}
        for side, items in (("points", world.points), ("labels", world.labels))
    }
    dataset = world.dataset(out)
    report(f"write {len(dataset.train)} training points and {len(dataset.test)} test points")
    write_dataset(dataset, out, extra={"truth.json": json.dumps(truth) + "\n"})


class World:
    """Groups, topics, words, and the points and labels made of them.

    Attributes:
        points: every point, training and test.
        labels: every label.
        targets: (point uid, label uid) pairs.
        twins: (point uid, label uid) pairs where the point is the label itself, so neither right nor wrong.
    """

    def __init__(self, rng: random.Random, *, n_points: int, n_labels: int) -> None:
        self._rng = rng
        self._fresh = _words(rng)
        self._n_groups = max(2, n_labels // _LABELS_PER_GROUP)
        self._fillers = self._take(60)
        self._topic_words = [self._take(_VOCABULARY) for _ in range(_TOPICS)]
        self._point_words = [self._take(_VOCABULARY) for _ in range(self._n_groups)]
        self._label_words = [self._take(_VOCABULARY) for _ in range(self._n_groups)]
        self.labels = [self._label(i) for i in range(n_labels)]
        self._in_group = [[x for x in self.labels if x.groups[0] == g] for g in range(self._n_groups)]
        # A label's place in its group sets how often it is chosen: 1, 1/2, 1/3 and so on, the long tail.
        self._weight = {label.uid: 1.0 / rank for group in self._in_group for rank, label in enumerate(group, start=1)}
        self.points: list[Item] = []
        self.targets: set[tuple[str, str]] = set()
        self.twins: set[tuple[str, str]] = set()
        # Shuffled, so that no group falls on the held-out points alone.
        every = range(self._n_groups)
        frequency = [1.0 / (1 + g) ** _GROUP_SKEW for g in every]
        groups = [*every, *rng.choices(every, frequency, k=n_points)][:n_points]
        rng.shuffle(groups)
        for i, group in enumerate(groups):
            self._add_point(i, group)
        self._teach_every_label()

    def dataset(self, out: Path) -> Dataset:
        """The data set, with the training points first in order and every fifth point held out."""
        train = [p for i, p in enumerate(self.points) if not _held_out(i)]
        test = [p for i, p in enumerate(self.points) if _held_out(i)]
        points, held, labels = ([x.uid for x in items] for items in (train, test, self.labels))
        return Dataset(
            path=out,
            train=_texts(train),
            test=_texts(test),
            labels=_texts(self.labels),
            train_targets=matrix(self.targets, points, labels),
            test_targets=matrix(self.targets, held, labels),
            graphs={"links": self._links(train), "noise": self._noise(train)},
            train_filter=positions(self.twins, points, labels),
            test_filter=positions(self.twins, held, labels),
            card=Card(
                name="planted",
                A=0.55,
                B=1.5,
                source=PROPENSITY_SOURCE,
                title="Invented texts with a planted truth",
                licence="generated; no third-party text",
            ),
        )

    def _take(self, count: int) -> list[str]:
        return [next(self._fresh) for _ in range(count)]

    def _label(self, i: int) -> Item:
        group, topic = i % self._n_groups, self._rng.randrange(_TOPICS)
        own, about = self._label_words[group], self._topic_words[topic]
        title = [*self._rng.sample(own, 2), self._rng.choice(about), next(self._fresh)]
        content = [*self._rng.sample(own, 3), *self._rng.sample(about, 3), *self._rng.sample(self._fillers, 5)]
        return Item(f"label-{i:05d}", self._line(title), self._line(content), (group,), topic)

    def _add_point(self, i: int, group: int) -> None:
        rng = self._rng
        topic = rng.randrange(_TOPICS)
        groups = (group, rng.randrange(self._n_groups)) if rng.random() < _SECOND_GROUP else (group,)
        # The texts say a noisy part of the truth: of a second group a single word, and some words of no group at all.
        own = rng.sample(self._point_words[group], 4) + [rng.choice(self._point_words[g]) for g in groups[1:]]
        about = rng.sample(self._topic_words[topic], 3) + [rng.choice(rng.choice(self._topic_words))]
        title = self._line([*own[:2], about[0]])
        content = self._line([*own[2:], *about[1:], *rng.sample(self._fillers, 5)]) if i % _BARE_EVERY else ""
        uid = f"point-{i:06d}"
        chosen = {label.uid for label in self._choose(groups, topic)}
        if i % _TWIN_EVERY >= _TWIN_EVERY - 2:  # one held out, one not
            twin = rng.choice(self._in_group[group])
            title = twin.title
            self.twins.add((uid, twin.uid))
            chosen = chosen - {twin.uid} or {next(x.uid for x in self._in_group[group] if x is not twin)}
        self.points.append(Item(uid, title, content, groups, topic))
        self.targets |= {(uid, label) for label in chosen}

    def _choose(self, groups: tuple[int, ...], topic: int) -> list[Item]:
        labels = [label for g in groups for label in self._in_group[g]]
        weights = [self._weight[x.uid] * (_TOPIC_PULL if x.topic == topic else 1.0) for x in labels]
        return self._rng.choices(labels, weights, k=self._rng.choice((1, 2, 3, 4)))

    def _teach_every_label(self) -> None:
        """Give each label that no training point has one training point, of its group where there is one."""
        train = [p for i, p in enumerate(self.points) if not _held_out(i)]
        trained = {p.uid for p in train}
        taught = {label for uid, label in self.targets if uid in trained}
        for label in self.labels:
            if label.uid not in taught:
                able = [p for p in train if (p.uid, label.uid) not in self.twins]
                point = self._rng.choice([p for p in able if p.groups[0] == label.groups[0]] or able)
                self.targets.add((point.uid, label.uid))

    def _links(self, train: list[Item]) -> Graph:
        """Anchors of the groups; their texts are the only ones that use both vocabularies of a group."""
        rng = self._rng
        anchors = [
            self._line(
                rng.sample(self._point_words[i % self._n_groups] + self._label_words[i % self._n_groups], _VOCABULARY)
            )
            for i in range(_ANCHORS_PER_GROUP * self._n_groups)
        ]

        def link(item: Item) -> list[int]:
            if rng.random() < _WRONG_LINK:
                return rng.sample(range(len(anchors)), _LINKS)
            return [item.groups[0] + k * self._n_groups for k in rng.sample(range(_ANCHORS_PER_GROUP), _LINKS)]

        return self._graph("links", anchors, train, link)

    def _noise(self, train: list[Item]) -> Graph:
        """As many anchors and links as ``links`` has, all of them random."""
        anchors = [self._line(self._rng.sample(self._fillers, 8)) for _ in range(_ANCHORS_PER_GROUP * self._n_groups)]
        return self._graph("noise", anchors, train, lambda _: self._rng.sample(range(len(anchors)), _LINKS))

    def _graph(self, kind: str, anchors: list[str], train: list[Item], link: Callable[[Item], list[int]]) -> Graph:
        ids = [str(i) for i in range(len(anchors))]
        sides = []
        for items in (train, self.labels):
            pairs = [(item.uid, str(anchor)) for item in items for anchor in link(item)]
            sides.append(matrix(pairs, [item.uid for item in items], ids))
        return Graph(kind, anchors, points=sides[0], labels=sides[1])

    def _line(self, words: Sequence[str]) -> str:
        return " ".join(self._rng.sample(words, len(words)))


def _held_out(i: int) -> bool:
    return i % _TEST_EVERY == _TEST_EVERY - 1


def _texts(items: list[Item]) -> Texts:
    return Texts([x.uid for x in items], [x.title for x in items], [x.content for x in items])


def _words(rng: random.Random) -> Iterator[str]:
    """Pronounceable words of two to four syllables, each one once, without end."""
    seen: set[str] = set()
    while True:
        word = "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.choice((2, 3, 3, 4))))
        word += rng.choice(("", "", "n", "r", "s"))
        if word not in seen:
            seen.add(word)
            yield word
