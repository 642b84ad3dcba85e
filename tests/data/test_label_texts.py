"""Which names of labels are words, to stand before descriptions, and which are codes."""

import pytest

from ramen.data.label_texts import are_words, named


@pytest.mark.parametrize(
    "name", ["go", "R", "AI", "3D printing", "COVID-19", "web 2.0", "lead_acid", "\u7535\u6c60", "5G\u7f51\u7edc"]
)
def test_words(name):
    assert are_words([name])


@pytest.mark.parametrize(
    "name",
    ["label-0000007", "tag12", "item_3", "Q42", "H01M", "B00X123", "c08", "H01M 10/06", "1984", "a3f9bc", "D012345"],
)
def test_codes(name):
    assert not are_words([name])


def test_names_that_differ_in_a_number_alone_are_codes():
    assert not are_words(["Topic 7", "topic 12"]) and not are_words(["section-7", "section-8"])
    assert are_words(["World War 1", "World War 2", "go", "COVID-19"]), "most decide"


def test_short_names_stay_before_descriptions():
    texts = {"go": "a language with goroutines", "R": "statistics", "AI": "machines that learn", "java": "runs on a VM"}
    assert named(texts)["go"] == "go\na language with goroutines" and named(texts)["R"] == "R\nstatistics"


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [("Art's world", True), ("Art\u2019s world", True), ("Artist", True), ("Art, old", False), ("Art", False)],
)
def test_a_name_that_begins_the_text_as_a_word_is_not_repeated(text, is_kept):
    assert named({"art": text})["art"] == (f"art\n{text}" if is_kept else text)


def test_a_vowel_sign_belongs_to_the_letter_before():
    assert named({"\u0915": "\u0915\u0940 one"})["\u0915"] == "\u0915\n\u0915\u0940 one"
