"""Which features a text has, their weights against scikit-learn's, and that a saved vocabulary comes back."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from ramen.encoders.word_features import WordFeatures, _features
from ramen.errors import InputError

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
