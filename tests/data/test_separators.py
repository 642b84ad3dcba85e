"""Separators as people write them, and names that merely look separated."""

from __future__ import annotations

import pytest

from ramen.data.separators import noticed, split_at

TEAS = ["\u7ea2\u8336", "\u7eff\u8336", "\u767d\u8336", "\u9ed1\u8336", "\u82b1\u8336"]
QUALIFIERS = ["Type 1", "Type 2", "Acute", "Experimental", "Juvenile"]


@pytest.mark.parametrize("mark", ["\u3001", "\uff0c", "\uff1b", "\uff5c", "\n", "\u061b", "\u060c"])
def test_marks_of_other_scripts_and_line_breaks_are_noticed(mark):
    cells = [f"{TEAS[n % 5]}{mark}{TEAS[n * n % 5 - 1]}" for n in range(200)]
    assert noticed(cells) == mark


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["#music #wood", "#stone", "#wood  #glass"], " "),
        (["#music #wood", "stone"], None),
        (["#music", "#wood"], None),
        (["#music, #wood", "#wood"], ","),
    ],
)
def test_hashtags_are_separated_by_spaces(cells, mark):
    assert noticed(cells) == mark


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["Diabetes Mellitus, Type 2", "Diabetes Mellitus", "Asthma"] * 5, None),
        ([f"Disease {n % 9}, {QUALIFIERS[n % 5]}" for n in range(45)] + [f"Disease {n}" for n in range(9)], None),
        (["Tools; hand", "Tools; power", "Food"] * 5, None),
        (["Tools; hand", "Tools; power", "Food"], None),
        (["Tools | hand", "Tools | power", "Food"], "|"),
        (["a, b, c, d", "a, c, d", "b, c, e", "a, b, d, e"], ","),  # sorted
        (
            [f"Town {n}, Land {n % 7}, Realm {n % 3}" for n in range(40)]
            + [f"Port {n}, Realm {n % 3}" for n in range(40)],
            None,
        ),
        (["music, wood", "stone, music", "wood, stone, glass", "glass"], ","),
        (["music; wood", "stone; music", "wood; stone; glass", "glass"], ";"),
        (["baking; sweet", "baking; fruit; sweet", "soup"], ";"),
        ([f"only {n}; rare {n}; unique {n}" for n in range(9)], ";"),
        (["R&amp;B", "Rock"], None),
        (["R&amp;B;Jazz", "Jazz"], ";"),
        (["AT&T;Verizon", "Verizon"], ";"),
    ],
)
def test_a_mark_with_a_blank_may_be_a_name_s_own(cells, mark):
    assert noticed(cells) == mark


def test_the_end_of_an_entity_separates_nothing():
    assert split_at("R&amp;B;Jazz;&#39;n&#x27;;AT&T;x", ";") == ["R&amp;B", "Jazz", "&#39;n&#x27;", "AT&T", "x"]
    assert split_at("R&amp;B,Jazz", ",") == ["R&amp;B", "Jazz"]
