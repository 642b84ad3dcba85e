"""Shared words against sets and dictionaries."""

import numpy as np
import pytest

from ramen.heads.words import WordFeatures
from ramen.ranking.overlap import NAMES, FieldWords, LabelWords, overlaps, word_columns

LABELS = ["red apple", "green pear\na fruit of a red tree", "zebra", "apple\napple pie of red apples"]
TEXTS = ["apple pie\na red dish", "red", "nothing known here\nat all", "pear tree", "green fruit\nof a tree"]


@pytest.fixture(scope="module")
def features():
    return WordFeatures.fit(LABELS + TEXTS, "words+pairs", min_count=1)


def words_of(features, text):
    """By word its weight in a unit row over single words, and the words of the title."""
    row = features.transform([text])
    names = [features.names[column] for column in row.indices]
    weights = {
        name: float(value) for name, value in zip(names, row.data, strict=True) if ":" not in name and " " not in name
    }
    length = np.sqrt(sum(value**2 for value in weights.values()))
    title, newline, _ = text.partition("\n")
    marked = {name for name in weights if name in title.split()} if newline else set(weights)
    return {name: value / length for name, value in weights.items()}, marked


def plain(features, text, label):
    (words, title), (own, own_title) = words_of(features, text), words_of(features, label)
    found = []
    for of_label in (set(own), own_title):
        for of_text in (set(words), title):
            both = of_label & of_text
            mass = sum(own[w] ** 2 for w in of_label), sum(words[w] ** 2 for w in of_text)
            dot = sum(own[w] * words[w] for w in both)
            found += [
                dot / np.sqrt(max(mass[0] * mass[1], 1e-12)),
                sum(own[w] ** 2 for w in both) / max(mass[0], 1e-12),
                sum(words[w] ** 2 for w in both) / max(mass[1], 1e-12),
            ]
    return found


def test_every_pair_against_dictionaries(features, threads):
    columns = word_columns(list(features.names))
    texts, labels = (FieldWords.of(features.transform(rows), columns) for rows in (TEXTS, LABELS))
    pairs = np.tile(np.array([3, 0, -1, 1, 2]), (len(TEXTS), 1))
    out = np.full((*pairs.shape, len(NAMES)), 7.0, dtype=np.float32)
    with threads(3):
        overlaps(texts, labels, pairs, out)
    for row, text in enumerate(TEXTS):
        for column, label in enumerate(pairs[0]):
            expected = [7.0] * len(NAMES) if label < 0 else plain(features, text, LABELS[label])
            np.testing.assert_allclose(out[row, column], expected, atol=1e-5)


def test_one_text_is_as_of_many(features):
    columns = word_columns(list(features.names))
    everything = FieldWords.of(features.transform(TEXTS), columns)
    for row, text in enumerate(TEXTS):
        one = FieldWords.of(features.transform([text]), columns)
        part = slice(everything.rows.indptr[row], everything.rows.indptr[row + 1])
        np.testing.assert_array_equal(one.rows.indices, everything.rows.indices[part])
        np.testing.assert_array_equal(one.in_title, everything.in_title[part])


def test_labels_that_come_later_are_as_those_before(features):
    columns, rows = word_columns(list(features.names)), features.transform
    whole = LabelWords.of(columns, rows(LABELS))
    later = LabelWords.of(columns, rows(LABELS[:2])).with_more(rows(LABELS[2:]))
    pairs = np.tile(np.arange(4), (len(TEXTS), 1))
    found = [np.zeros((*pairs.shape, len(NAMES)), np.float32) for _ in range(2)]
    for words, out in zip((whole, later), found, strict=True):
        words.fill(rows(TEXTS), pairs, out)
    np.testing.assert_array_equal(*found)
    assert found[0].any()


def test_no_words_at_all():
    features = WordFeatures.fit(["one", "two"], "words", min_count=2)
    assert len(features) == 0
    columns = word_columns([])
    words = LabelWords.of(columns, features.transform(["a", "b"]))
    out = np.zeros((1, 2, len(NAMES)), np.float32)
    words.fill(features.transform(["a"]), np.array([[0, 1]]), out)
    assert not out.any()
