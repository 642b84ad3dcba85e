"""Settings of a chain: what is refused, and how it is said."""

from __future__ import annotations

import pytest

from hlm_bridge.config import load_hlm_config
from ramen.errors import InputError

GOOD = "out: r\ndata: {path: d}\n"


@pytest.mark.parametrize(
    ("text", "words", "match"),
    [
        ("", [], "data.path is missing"),
        ("data: {path: d}", [], "out is missing"),
        ("- a", [], "expected settings by section, found list"),
        ("a: [", [], "not YAML"),
        ("out: r\nalgin: {steps: 3}", [], "hlm.yaml: unknown key 'algin.steps'.*align.steps"),
        (GOOD, ["align.step=3"], "unknown key 'align.step'"),
        (GOOD, ["align.steps=x"], "align.steps='x': expected a whole number of at least 0"),
        (GOOD, ["align.loss=l3"], "expected one of l2, cosine, kl, kernel"),
        (GOOD, ["gate.share=1"], "gate.share=1.0: expected a number above 0 and below 1"),
        (GOOD, ["align.nested=8,x"], "align.nested='8,x': expected whole numbers above 0"),
        (GOOD, ["align.student=transformer", "prune.ladder=layer:3"], "prune.ladder: 'layer:3', expected layers:N"),
        (GOOD, ["prune.ladder=layers:3"], "a static student has no layers to cut"),
        (GOOD, ["align.texts=a.txt:x"], "align.texts: 'a.txt:x', expected PATH or PATH:WEIGHT"),
        (GOOD, ["align.texts=a.txt:0"], "expected a weight above 0"),
        (GOOD, ["steps"], "argument 'steps': expected key=value"),
    ],
)
def test_bad_settings_are_one_error(tmp_path, text, words, match):
    (tmp_path / "hlm.yaml").write_text(text)
    with pytest.raises(InputError, match=match):
        load_hlm_config(tmp_path / "hlm.yaml", words)


def test_words_go_over_the_file(tmp_path):
    (tmp_path / "hlm.yaml").write_text(GOOD + "align: {steps: 3, lr: 1e-3}\n")
    config = load_hlm_config(tmp_path / "hlm.yaml", ["align.steps=4", "seed=2", "data.path=2024"])
    assert (config.align.steps, config.align.lr, config.seed, config.data.path) == (4, 1e-3, 2, "2024")
    with pytest.raises(InputError, match="no such file, expected the settings of a chain"):
        load_hlm_config(tmp_path / "none.yaml")
