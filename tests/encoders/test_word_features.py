"""Which features a text has, their weights against scikit-learn's, and that a saved vocabulary comes back."""

from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from ramen.encoders import word_counts, word_features
from ramen.encoders.split_words import Splitter, split_words
from ramen.encoders.word_features import WordFeatures, _features
from ramen.errors import InputError
from ramen.mapped import StringTable

TEXT = "Lead-acid battery\nA lead battery charger, 12V (new) in a box"


def test_fields_pairs_and_first_words_are_marked():
    plain = ["lead", "acid", "battery", "a", "lead", "battery", "charger", "12v", "new", "in", "a", "box"]
    title = ["T:lead", "T:acid", "T:battery"]
    assert list(_features(TEXT, "words")) == plain + title
    found = list(_features(TEXT, "words+pairs"))
    pairs = ["lead acid", "acid battery", "a lead", "lead battery", "battery charger", "charger 12v", "12v new",
             "new in", "in a", "a box"]  # fmt: skip
    assert found == plain + title + pairs + ["L:a", "L:lead", "L:battery", "L:charger", "L:12v", "L:new"]


@pytest.mark.parametrize("text", ["red apple", "red apple\n", "\nred apple"])
def test_one_field_alone_has_plain_words(text):
    found = set(_features(text, "words+pairs"))
    assert {"red", "apple", "red apple"} <= found
    assert not any(name.startswith("T:") for name in found)


def test_weights_are_those_of_scikit_learn():
    texts = ["red apple red", "green apple", "green pear on a green plate", "nothing else"]
    peer = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True, min_df=2, dtype=np.float32)
    expected = peer.fit_transform(texts)
    features = WordFeatures.fit(texts, "words", min_count=2)
    assert features.names == sorted(peer.vocabulary_) == ["apple", "green"]
    found = features.transform(texts)
    np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-5)
    assert found.dtype == np.float32 and found.has_sorted_indices


def test_words_of_too_many_texts_are_left_out():
    texts = ["the red apple", "the green apple", "the green pear", "the stone"]
    assert WordFeatures.fit(texts, "words", 2, max_share=0.5).names == ["apple", "green"]
    assert WordFeatures.fit(texts, "words", 2, max_share=0.49).names == []


@pytest.mark.parametrize("kind", ["words", "words+pairs"])
@pytest.mark.parametrize("texts", [[], ["", " \n "], ["1 2", "3 4"], ["?!", "\n\n"]])
def test_texts_that_share_no_word_give_empty_rows(kind, texts):
    features = WordFeatures.fit(texts, kind, min_count=2)
    assert len(features) == 0
    rows = features.transform([*texts, TEXT])
    assert rows.shape == (len(texts) + 1, 0) and rows.nnz == 0


def test_an_unknown_set_is_named():
    with pytest.raises(InputError, match="features 'letters': expected one of words, words\\+pairs"):
        WordFeatures.fit([TEXT], "letters")


def test_what_is_saved_comes_back(tmp_path):
    texts = [TEXT, "größe 電池\nბატარეა", TEXT.upper()]
    features = WordFeatures.fit(texts, "words+pairs", min_count=1)
    features.save(tmp_path / "words")
    loaded = WordFeatures.load(tmp_path / "words")
    assert loaded.names == features.names and loaded.kind == "words+pairs"
    assert (loaded.transform(texts) != features.transform(texts)).nnz == 0
    assert sorted(path.name for path in (tmp_path / "words").iterdir()) == ["words.json", "words.safetensors"]


def plain_fit(texts, kind, min_count, max_share):
    """Names and idf by counting strings."""
    counts = Counter(name for text in texts for name in set(_features(text, kind)))
    names = sorted(name for name, count in counts.items() if min_count <= count <= max_share * len(texts))
    frequency = np.array([counts[name] for name in names], dtype=np.float64)
    return names, (1.0 + np.log((1.0 + len(texts)) / (1.0 + frequency))).astype(np.float32)


def plain_transform(texts, kind, names, idf):
    """Rows by counting strings."""
    column = {name: at for at, name in enumerate(names)}
    columns = [[column[name] for name in _features(text, kind) if name in column] for text in texts]
    starts = np.append(0, np.cumsum([len(row) for row in columns], dtype=np.int64))
    flat = np.array([at for row in columns for at in row], np.int32)
    counts = sp.csr_matrix((np.ones(len(flat), np.float32), flat, starts), shape=(len(texts), len(names)))
    counts.sum_duplicates()
    rows = np.repeat(np.arange(len(texts)), np.diff(counts.indptr))
    data = ((1.0 + np.log(counts.data)) * idf[counts.indices]).astype(np.float32)
    lengths = np.sqrt(np.bincount(rows, weights=data.astype(np.float64) ** 2, minlength=len(texts)))
    counts.data = data / lengths[rows].astype(np.float32)
    return counts


def assert_identical(found, expected):
    assert found.shape == expected.shape
    for name in ("data", "indices", "indptr"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


WORDS = st.sampled_from(["red", "Red", "a", "ab", "abc", "9", "_", "T", "L", "İ", "ß", "größe", "電池", "é", "x\u0301"])
JOINTS = st.sampled_from([" ", "\n", "\n\n", "-", ":", "\t", "\x1c", "  "])
TEXTS = st.lists(st.tuples(WORDS, JOINTS), max_size=14).map(lambda parts: "".join(map("".join, parts)))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(TEXTS | st.text(max_size=20), max_size=12), st.lists(TEXTS, max_size=6), st.sampled_from([1, 2, 3]),
    st.sampled_from([1.0, 0.5]), st.sampled_from(["words", "words+pairs"]), st.sampled_from([1, 7, 1 << 20]),
)  # fmt: skip
def test_counting_integers_gives_what_counting_strings_does(texts, others, min_count, share, kind, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_counts, "_CHUNK", chunk)
        patch.setattr(word_features, "_MANY", 2)
        patch.setattr(word_features, "_BLOCK", 5)
        names, idf = plain_fit(texts, kind, min_count, share)
        fitted = WordFeatures.fit(iter(texts), kind, min_count, share)
        assert fitted.names == names
        np.testing.assert_array_equal(fitted.idf, idf)
        expected = plain_transform(others + texts, kind, names, idf)
        assert_identical(fitted.transform(iter(others + texts)), expected)
        for same_names in (names, StringTable.of(names)):
            assert_identical(WordFeatures(kind, same_names, idf).transform(others + texts), expected)


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=9), st.lists(TEXTS, max_size=5), st.data())
def test_texts_split_beforehand_give_the_same(texts, others, data):
    rows = np.array(data.draw(st.lists(st.integers(0, len(texts) - 1))), dtype=np.int64)
    splitter = Splitter()
    first, second = splitter.split(texts), splitter.split(others)
    fitted = WordFeatures.fit(first.some(rows).joined(second), "words+pairs", min_count=1)
    plain = WordFeatures.fit([texts[row] for row in rows] + others, "words+pairs", min_count=1)
    assert fitted.names == plain.names
    np.testing.assert_array_equal(fitted.idf, plain.idf)
    assert_identical(fitted.transform(first), plain.transform(texts))
    assert_identical(plain.transform(Splitter().split(texts)), plain.transform(texts))


def test_ascii_texts_are_split_as_others():
    text = "".join(map(chr, range(128))) + " Aa\n_9.b"
    for words, others in zip(split_words(text), split_words(text.replace("\x00", "\u2028")), strict=True):
        assert words == others
