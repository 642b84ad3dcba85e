"""The static encoder's tokenizer: title ids, corpus words, odd characters, long texts."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from ramen.encoders.vocabulary import MARK, _counted, _frequent, _normalizer, assemble, build_vocabulary

PIECES = ["[PAD]", "[UNK]", "[CLS]", "bat", "##tery", "##s", "lead", "acid", "char", "##ger", "-", ",", "a", "##a"]
ODD = "ab9-_ \n\t\x1c\x01éE电" + MARK  # characters
CORPUS = ["libghc acid\nlead libghc tools", "café tools\nlead", "电池 charger\n电池", "Lead BATTERY"]


@pytest.fixture(scope="module")
def vocabulary():
    return build_vocabulary(CORPUS, PIECES, min_count=2, max_words=100)


def read(vocabulary, text):
    """The entries of a text's ids: title entries with a leading ``^``."""
    ids = vocabulary.tokenizer.encode(text, add_special_tokens=False).ids
    return [("^" if i >= vocabulary.size else "") + vocabulary.words[vocabulary.plain_of[i]] for i in ids]


def test_words_of_the_first_line_get_title_ids(vocabulary):
    assert read(vocabulary, "lead battery, acid\nlead battery, acid") == [
        "^lead", "^bat", "##tery", ",", "^acid", "lead", "bat", "##tery", ",", "acid",
    ]  # fmt: skip


def test_a_one_line_text_gets_no_title_id(vocabulary):
    assert read(vocabulary, "Lead-acid battery") == ["lead", "-", "acid", "bat", "##tery"]


def test_words_that_the_corpus_repeats_stay_whole(vocabulary):
    assert read(vocabulary, "libghc\ntools libghc") == ["^libghc", "tools", "libghc"]
    assert read(vocabulary, "libghc-tools\nx")[:2] == ["^libghc", "^tools"]  # a mark takes the hyphen's place


def test_words_below_min_count_are_spelled_and_max_words_keeps_the_most_frequent():
    texts = ["zero zero zero\none one"]
    known = build_vocabulary(texts, [], min_count=2, max_words=100).words
    assert "zero" in known and "one" in known
    known = build_vocabulary(texts, [], min_count=2, max_words=1).words
    assert "zero" in known and "one" not in known
    known = build_vocabulary(texts, [], min_count=3, max_words=100).words
    assert "zero" in known and "one" not in known


def test_words_longer_than_forty_characters_get_no_entry():
    words = build_vocabulary(["a" * 41 + " " + "b" * 40] * 3, [], min_count=1, max_words=10).words
    assert "b" * 40 in words and "a" * 41 not in words


def test_rare_spellings_fall_into_letters_not_the_unknown(vocabulary):
    assert "[UNK]" not in read(vocabulary, "gchbil sloot")
    assert read(vocabulary, "ჯ") == ["[UNK]"]


def test_case_is_dropped_and_accents_tell_words_apart(vocabulary):
    assert read(vocabulary, "LEAD ACID\nx")[:2] == ["^lead", "^acid"]
    assert read(vocabulary, "caf\u00e9 caf\u00ea") != read(vocabulary, "cafe cafe")
    assert "[UNK]" not in read(vocabulary, "caf\u00ea \u00e1cid")  # letters that the corpus has without accents only
    assert read(vocabulary, "le\u0301ad") == read(vocabulary, "l\u00e9ad") != read(vocabulary, "lead")


@pytest.mark.parametrize(
    ("one", "other"), [("\u30cf\u30b9", "\u30d0\u30b9"), ("sch\u00f6n", "schon"), ("\u0915\u093f", "\u0915\u0941")]
)
def test_words_that_differ_by_a_mark_have_other_ids(one, other):
    vocabulary = build_vocabulary([f"{one} {other}"] * 2, [], min_count=3, max_words=9)
    assert "[UNK]" not in read(vocabulary, one) + read(vocabulary, other)
    assert read(vocabulary, one) != read(vocabulary, other)


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("caf\u0065\u0301", "caf\u00e9"),  # as macOS and PDF write it
        ("\uff4c\uff45\uff41\uff44", "lead"),  # full width
        ("le\u00adad", "lead"),
        ("L\u0130D", "lid"),
        ("\u202alead\u202c a\u034fcid", "lead acid"),
        ("le\u200bad acid\ufeff", "lead acid"),
    ],
)
def test_any_form_of_a_text_is_read_alike(vocabulary, written, same):
    assert read(vocabulary, written) == read(vocabulary, same)


def test_vowel_signs_stay_in_their_word(vocabulary):
    whole = read(vocabulary, "\u0928\u093e\u092e\nlead")
    assert len([entry for entry in whole if entry.startswith("^")]) <= 1


def test_a_long_run_without_a_space_is_cut_and_not_unknown(vocabulary):
    assert (
        read(vocabulary, "lead" * 100)
        == ["lead"]
        + ["##l", "##e", "##a", "##d"] * 15
        + (["lead"] + ["##l", "##e", "##a", "##d"] * 15) * 5
        + ["lead"]
        + ["##l", "##e", "##a", "##d"] * 3
    )


def test_chinese_characters_stand_alone(vocabulary):
    assert read(vocabulary, "电池 lead\n电池") == ["^电", "^池", "^lead", "电", "池"]


def test_newlines_end_the_title_and_are_no_token(vocabulary):
    assert read(vocabulary, "lead\nacid") == ["^lead", "acid"]
    assert read(vocabulary, "\nlead") == ["lead"]
    assert read(vocabulary, "lead\n") == read(vocabulary, "lead \n \n") == ["lead"]  # nothing that it is the title of
    assert read(vocabulary, "lead\tacid\nlead") == ["^lead", "^acid", "lead"]


def test_the_mark_inside_a_text_marks_nothing(vocabulary):
    assert read(vocabulary, f"{MARK}lead aci{MARK}d") == read(vocabulary, "lead aci d")
    assert not any(entry.startswith("^") for entry in read(vocabulary, f"{MARK}{MARK}lead {MARK}acid"))
    assert not any(MARK in word for word in build_vocabulary([f"x{MARK}y a"] * 3, [MARK + "q"], 1, 9).words)


def test_empty_and_blank_texts_have_no_tokens(vocabulary):
    for text in ("", " ", "\n", " \n ", "\u200b \t"):
        assert [entry for entry in read(vocabulary, text) if entry != "[UNK]"] == []
    assert read(vocabulary, "") == read(vocabulary, "\n") == []


def test_title_ids_follow_the_plain_ids(vocabulary):
    ids = vocabulary.tokenizer.get_vocab()
    assert sorted(ids.values()) == list(range(len(vocabulary.plain_of)))
    for word, i in ids.items():
        assert vocabulary.words[vocabulary.plain_of[i]] == word.removeprefix(MARK)
        assert (i >= vocabulary.size) == word.startswith(MARK)
    assert vocabulary.words[:2] == ["[PAD]", "[UNK]"] and "[CLS]" not in vocabulary.words
    assert len(set(vocabulary.words)) == vocabulary.size


def test_without_pieces_of_a_backbone():
    vocabulary = build_vocabulary(["lead acid"] * 2, [], min_count=2, max_words=9)
    assert read(vocabulary, "acid\nlead dial") == ["^acid", "lead", "d", "##i", "##a", "##l"]


def test_order_of_the_corpus_does_not_matter():
    one = build_vocabulary(CORPUS, PIECES, 1, 100)
    two = build_vocabulary(CORPUS[::-1], PIECES, 1, 100)
    assert one.words == two.words
    np.testing.assert_array_equal(one.title_of, two.title_of)


@settings(max_examples=150)
@given(st.text(max_size=80))
def test_any_text_is_read_and_title_ids_need_a_newline(text):
    vocabulary = assemble(["[PAD]", "[UNK]", *"abcdefghij", *(f"##{c}" for c in "abcdefghij")])
    ids = vocabulary.tokenizer.encode(text, add_special_tokens=False).ids
    assert all(0 <= i < len(vocabulary.plain_of) for i in ids)
    if "\n" not in text:
        assert all(i < vocabulary.size for i in ids)


@pytest.mark.parametrize("unit", ["lead ", "lead", "lead\n", "- ", " ", "电", "\n"], ids=repr)
def test_a_million_characters_take_linear_time(vocabulary, unit):
    def seconds(length):
        text = (unit * length)[:length]
        start = time.process_time()  # other work on the machine does not count
        vocabulary.tokenizer.encode(text, add_special_tokens=False)
        return time.process_time() - start

    short, long = min(seconds(50_000) for _ in range(2)), seconds(1_000_000)
    assert long < 20 * 4 * short + 0.2  # twenty times the text; quadratic would be 400 times


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(max_size=20) | st.text("ab9-_ \n\t\x1c\x01éE电" + MARK, max_size=20), max_size=9),
    st.integers(1, 3),
)
def test_words_are_counted_as_tokenizers_would(texts, min_count):
    peer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    peer.normalizer, peer.pre_tokenizer = _normalizer(mark_titles=False), pre_tokenizers.BertPreTokenizer()
    peer.train_from_iterator(texts, trainers.WordLevelTrainer(min_frequency=min_count, show_progress=False))
    assert _frequent(*_counted(iter(texts)), min_count) == sorted(peer.get_vocab(), key=peer.get_vocab().__getitem__)
