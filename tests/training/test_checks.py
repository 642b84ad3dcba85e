"""Settings that are refused before anything is trained."""

import pytest

from ramen.config import load_config
from ramen.errors import InputError
from ramen.training.checks import check_training


@pytest.mark.parametrize(
    ("preset", "words", "message"),
    [
        ("static", ["training.dropout=0.2"], r"training\.dropout=0\.2: only a transformer has it, found .* static"),
        ("static", ["training.chunk=100"], r"training\.chunk=100: only a transformer"),
        ("words", ["training.compile=true"], r"training\.compile=true: only a transformer .* bag_of_words"),
        ("transformer", ["training.dropout=-0.5"], r"dropout=-0\.5: expected 0 to below 1, or -1"),
        ("static", ["validation.patience=2"], r"validation\.patience=2: expected validation\.every=STEPS with it"),
        ("static", ["validation.every=5", "validation.share=0"], r"validation\.every=5: no points are held out"),
    ],
)
def test_settings_that_would_do_nothing(preset, words, message):
    with pytest.raises(InputError, match=message):
        check_training(load_config(preset, words))


@pytest.mark.parametrize(
    ("preset", "words"),
    [
        ("static", ["validation.every=5", "validation.patience=2"]),
        ("transformer", ["training.dropout=0.0", "training.chunk=100", "training.compile=true"]),
        ("words", []),
    ],
)
def test_settings_that_do_something(preset, words):
    check_training(load_config(preset, words))
