"""Words of any script: what a word is, and that the fast ways find the words that the plain one finds."""

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ramen.encoders.split_words import Splitter, split_words
from ramen.encoders.word_features import WordFeatures

LIKES_TEA = ["我喜欢红茶", "她也喜欢红茶"]
MIXED = st.lists(
    st.sampled_from(
        ["C", "c++", "C#", ".NET", "™", "´", "+", "#", ".", " ", "\n", "a.b", "++", "é", "e\u0301", "ﬁ", "红", "茶",
         "ハ", "バ", "ภ", "ที่", "कि", "공", "\u00ad", "\u200b", "\ufeff", "🎸", "_", "9", "(", "İ", "ß", "\x1c", "ː"]
    ),
    max_size=14,
).map("".join)  # fmt: skip


def title_words(text):
    return split_words(text)[0]


def test_scripts_without_spaces_give_pairs_and_single_characters():
    names = WordFeatures.fit(LIKES_TEA, "words", min_count=1).names
    assert {"红茶", "喜欢", "茶", "红"} <= set(names)
    assert max(map(len, names)) == 2
    assert title_words("カフェ") == ["カフ", "フェ"]
    assert title_words("茶") == ["茶"]
    assert title_words("iPhone的壳3个") == ["iphone", "的壳", "3", "个", "的", "壳"]


def test_a_word_is_found_wherever_it_stands():
    features = WordFeatures.fit(LIKES_TEA, "words", min_count=2)
    alone, within = features.transform(["红茶"]), features.transform(["这里有红茶喝"])
    assert alone.nnz == within.nnz == 3  # the pair, and both characters


def test_pairs_of_words_pass_over_single_characters():
    names = WordFeatures.fit(LIKES_TEA, "words+pairs", min_count=2).names
    assert "喜欢 欢红" in names  # three characters in a row
    assert not any(" " in name and min(map(len, name.split(" "))) == 1 for name in names)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी में किताब", ["हिन्दी", "में", "किताब"]),
        ("ที่ดี", ["ที่ดี"]),  # two characters, each with its marks
        ("แมว", ["แม", "มว"]),
        ("اللُّغَة العربية", ["اللُّغَة", "العربية"]),
        ("naïve Straße", ["naïve", "straße"]),
        ("공원에 갔다", ["공원에", "갔다"]),
        ("ＲＡＭＥＮ　１２", ["ramen", "12"]),
        ("ﾊﾞｽ", ["バス"]),
        ("bat\u00adte\u200bry", ["battery"]),
        ("🎸 lesson", ["🎸", "lesson"]),
        ("\U0001f1e9\U0001f1ea \U0001f1ee\U0001f1f9", ["\U0001f1e9\U0001f1ea", "\U0001f1ee\U0001f1f9"]),  # flags
        ("İSTANBUL Istanbul", ["istanbul", "istanbul"]),
        ("\u202bred\u202c \u2066tea\u2069", ["red", "tea"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("كتـــاب", ["كتاب"]),
    ],
)
def test_words_of_a_script(text, words):
    assert title_words(text) == words
    assert title_words(unicodedata.normalize("NFD", text)) == words


def test_programming_languages_stay_apart():
    assert WordFeatures.fit(["C, C++, C#, .NET"], "words", min_count=1).names == [".net", "c", "c#", "c++"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A+B a.b end.next ...and", ["a", "b", "a", "b", "end", "next", "and"]),
        ("c++11 libstdc++6", ["c++", "11", "libstdc++", "6"]),
        ("pkcs#11 gtk+ file.deb .deb", ["pkcs", "11", "gtk", "file", "deb", "deb"]),
        ("PostScript\u2122 \u00b4x\u00b4", ["postscript", "x"]),
        ("asp.net .network .NET/C#", ["asp", "net", "network", ".net", "c#"]),
    ],
)
def test_other_signs_are_no_part_of_a_word(text, words):
    assert title_words(text) == words


@settings(max_examples=300, deadline=None)
@given(st.lists(MIXED | st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=6))
@example(["c++ c#\n.net", "红茶\n茶 .NET"])
def test_splitting_many_texts_gives_the_words_of_each(texts):
    split = Splitter().split(texts)
    for row, text in enumerate(texts):
        words = [split.words[i] for i in split.ids[split.starts[row] : split.starts[row + 1]]]
        cut = split.contents[row] - split.starts[row]
        assert (words[:cut], words[cut:]) == split_words(text)


@settings(max_examples=100, deadline=None)
@given(st.lists(MIXED, min_size=1, max_size=5), st.sampled_from(["words", "words+pairs"]))
def test_few_and_many_texts_have_the_same_features(texts, kind):
    features = WordFeatures.fit(texts, kind, min_count=1)
    one_by_one = features.transform(texts)
    many = features.transform(texts + [""] * 64)[: len(texts)]
    assert abs(one_by_one - many).nnz == 0
