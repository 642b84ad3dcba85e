"""Scripts of texts: letters as features see them, and no words of names that are no script."""

import sys
import unicodedata

from ramen.scripts import scripts_of


def test_letters_of_other_forms_are_of_their_script():
    assert scripts_of(["\u00b5 1\u00aa \U0001d400 \uff32 \ufb01", "\uff76\u3005\u3006"]) == {
        "Latin": 5, "Han": 2, "Greek": 1, "Katakana": 1,
    }  # fmt: skip


def test_signs_that_count_as_letters_are_of_no_script():
    assert scripts_of(["\u02bc\u02b9 \u2132 \u2183 \u2e2f \u303c"]) == {}


def test_no_letter_is_of_a_script_that_is_a_word():
    names = scripts_of(chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "L")
    words = {"Micro", "Feminine", "Masculine", "Mathematical", "Modifier", "Turned", "Roman", "Vertical", "Halfwidth"}
    assert len(names) > 100 and not words & set(names)
