"""The fast tokenizer gives the ids of the saved one, whatever the text."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from ramen.encoders.fast_tokenizer import FastTokenizer
from ramen.encoders.vocabulary import MARK, assemble

LETTERS = "abcdefghij019_"
PUNCTUATION = [",", "-", "+", ".", "("]
WORDS = [
    "[PAD]",
    "[UNK]",
    *LETTERS,
    *PUNCTUATION,
    "bad",
    "face",
    "b2b",
    "é",
    "电",
    *(f"##{c}" for c in LETTERS),
    "##ce",
]
PIECES = st.sampled_from(
    ["bad", "Face", "faceb", "b2b", "a_b", "_", "x", "-", "--", ",", "(", " ", "  ", "\n", "\n\n", "\t", "\r", "\x0b",
     "\x01", "\x1c", "\x7f", "\x00", "é", "e\u0301", "İ", "电", "🙂", "—", "\u0301", "\u2028", "\xa0", MARK, "a" * 99,
     "a" * 100, "a" * 101, "bad " * 99, "bad " * 101]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=30)


def assert_same(texts, max_tokens, block=5):
    tokenizer = assemble(WORDS).tokenizer
    tokenizer.enable_truncation(max_tokens)
    fast = FastTokenizer(tokenizer, MARK)
    for start in range(0, len(texts), block):
        some = texts[start : start + block]
        expected = [tokenizer.encode(text, add_special_tokens=False).ids for text in some]
        tokens = fast.tokenize(some, max_tokens)
        found = [tokens.ids[a:b].tolist() for a, b in zip(tokens.offsets, tokens.offsets[1:], strict=False)]
        assert found == expected
        assert (tokens.ids.dtype, tokens.offsets.dtype) == (np.int32, np.int64)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS | st.tuples(TEXTS, TEXTS).map("\n".join), max_size=12), st.sampled_from([3, 30, 1000]))
@example([""], 3)
@example(["bad " * 100 + "\nx", "bad " * 101 + "\nx", "b" * 400 + "\na", "b" * 403 + "\na"], 1000)
@example(["bad\n", "bad\n \t  face", "bad face\n" + " " * 9 + "a", "bad face\n" + " " * 12 + "a", "\nbad face"], 1000)
def test_any_texts_have_the_ids_of_the_saved_tokenizer(texts, max_tokens):
    assert_same(texts, max_tokens)


@pytest.mark.parametrize("length", [99, 100, 101, 199, 200, 201, 300])
def test_a_long_word_of_a_run_saved_before_is_unknown(length):
    """Its tokenizer cuts no words, so one of more than 100 characters has no pieces."""
    tokenizer = assemble(WORDS).tokenizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.model.max_input_chars_per_word = 100
    texts = ["b" * length, f"bad {'b' * length} face", "bad\n" + "a" * length]
    tokens = FastTokenizer(tokenizer, MARK).tokenize(texts, 1000)
    found = [tokens.ids[a:b].tolist() for a, b in zip(tokens.offsets, tokens.offsets[1:], strict=False)]
    assert found == [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    assert (found[0] == [WORDS.index("[UNK]")]) == (length > 100)


@pytest.mark.parametrize("field", ["{}", "a{}b\nbad", "bad\na{}b", "{}bad\nbad", "bad\n{}bad", "bad{}\nbad"])
def test_every_ascii_character(field):
    assert_same([field.format(chr(code)) for code in range(128)], 1000, block=50)
