import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramen.text import composed, plain


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("caf\u0065\u0301", "caf\u00e9"),  # NFD
        ("\uff23\uff0b\uff0b", "C++"),  # full width
        ("\uff8a\uff9e\uff7d", "\u30d0\u30b9"),  # half-width katakana
        ("bat\u00adte\u200bry", "battery"),
        ("\ufeffred", "red"),
        ("\u1112\u1161\u11ab", "\ud55c"),  # jamo
        ("\u30cf\u30b9", "\u30cf\u30b9"),
        ("Stra\u00dfe", "Stra\u00dfe"),
    ],
)
def test_one_form_however_a_text_is_written(written, read):
    assert plain(written) == read


@given(st.text())
def test_forms_of_one_text_are_one(text):
    assert plain(composed(text)) == plain(text)
    assert plain(unicodedata.normalize("NFD", text)) == plain(text)
    assert plain(plain(text)) == plain(text)
    assert composed(unicodedata.normalize("NFD", text)) == composed(text)
