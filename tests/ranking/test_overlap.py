"""Shared words against sets and dictionaries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramen.encoders.word_features import WordFeatures, word_columns
from ramen.ranking.grams import TitleGrams, grams_of
from ramen.ranking.overlap import NAMES, FieldWords, LabelWords, overlaps
from ramen.scorers.base import Queries, title_of

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


def asked(features, texts):
    return Queries(np.zeros((len(texts), 1), np.float32), features.transform(texts), [title_of(text) for text in texts])


def test_labels_that_come_later_are_as_those_before(features):
    columns, rows = word_columns(list(features.names)), features.transform
    titles = [title_of(text) for text in LABELS]
    whole = LabelWords.of(columns, rows(LABELS), titles)
    # idf is that of the labels before
    later = LabelWords.of(columns, rows(LABELS[:2]), titles[:2]).with_more(rows(LABELS[2:]), titles[2:])
    later.titles.idf[:] = whole.titles.idf
    pairs = np.tile(np.arange(4), (len(TEXTS), 1))
    found = [np.zeros((*pairs.shape, len(whole.names)), np.float32) for _ in range(2)]
    for words, out in zip((whole, later), found, strict=True):
        words.fill(asked(features, TEXTS), pairs, out)
    np.testing.assert_array_equal(*found)
    assert found[0][:, :, : len(NAMES)].any() and found[0][:, :, len(NAMES) :].any()


def test_no_words_at_all():
    features = WordFeatures.fit(["one", "two"], "words", min_count=2)
    assert len(features) == 0
    words = LabelWords.of(word_columns([]), features.transform(["a", "b"]))
    out = np.zeros((1, 2, len(words.names)), np.float32)
    words.fill(asked(features, ["a"]), np.array([[0, 1]]), out)
    assert words.names == NAMES and not out.any()


def runs(title):
    padded = " " + " ".join(title.lower().split()) + " "
    if not padded.strip():
        return set()
    return {padded[at : at + 4] for at in range(max(1, len(padded) - 3))}


@given(st.lists(st.text(alphabet="abÄß  c\t'", max_size=9), min_size=1, max_size=5))
def test_letters_of_titles_against_sets(titles):
    labels = ["abca", "b", "", *titles[:2]]
    grams = TitleGrams.of(labels)
    pairs = np.tile(np.array([*range(len(labels)), -1]), (len(titles), 1))
    out = np.full((*pairs.shape, 3), 7.0, dtype=np.float32)
    grams.fill(titles, pairs, out)
    n = len(labels)

    def mass(found):
        counts = [sum(run in runs(label) for label in labels) for run in found]
        return sum((1 + np.log((1 + n) / (1 + count))) ** 2 for count in counts)

    for row, title in enumerate(titles):
        for column, label in enumerate(labels):
            one, other, both = mass(runs(label)), mass(runs(title)), mass(runs(label) & runs(title))
            expected = [both / np.sqrt(max(one * other, 1e-12)), both / max(one, 1e-12), both / max(other, 1e-12)]
            np.testing.assert_allclose(out[row, column], expected, rtol=1e-4, atol=1e-5)
        assert out[row, -1].tolist() == [7.0, 7.0, 7.0]


def test_titles_of_scripts_without_spaces_overlap_by_pairs_in_any_form():
    titles = ["红茶", "喝红茶吧", "ｃａｆｅ\u0301 au lait", "CAFÉ  au lait", "茶", "茶 au lait", "au lait"]
    starts, grams = grams_of(titles)
    rows = [set(grams[a:b].tolist()) for a, b in zip(starts, starts[1:], strict=False)]
    assert len(rows[0]) == 3 and rows[0] < rows[1]
    assert rows[2] == rows[3] and len(rows[2]) > 5
    assert rows[4] < rows[0] and rows[5] == rows[4] | rows[6]
