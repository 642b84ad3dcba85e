"""Token ids of many texts: the same from the cache, keyed by all they depend on, safe with two processes."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

from ramen.encoders import token_cache
from ramen.encoders.base import Tokens
from ramen.encoders.cache import cache_files
from ramen.encoders.token_cache import tokens_of
from ramen.encoders.transformer import TransformerEncoder

TEXTS = [f"text {i} " + "word " * (i % 7) for i in range(300)] + [""]


def cut(block: list[str]) -> list[list[int]]:
    return [[len(word) for word in text.split()] for text in block]


def refuse(block: list[str]) -> list[list[int]]:
    raise AssertionError("cut again")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RAMEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(token_cache, "WORTH", 100)
    monkeypatch.setattr(token_cache, "_BLOCK", 64)
    return tmp_path / "cache"


def same(found: Tokens) -> None:
    expected = Tokens.from_lists(cut(TEXTS))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    assert (found.ids.dtype, found.offsets.dtype) == (np.int32, np.int64)


def test_a_second_call_maps_what_the_first_has_cut(folder):
    same(tokens_of(TEXTS, cut, lambda: "a"))
    again = tokens_of(TEXTS, refuse, lambda: "a")
    same(again)
    assert isinstance(again.ids, np.memmap) and len(cache_files()) == 1
    rows = np.array([300, 5, 5, 0])
    assert again.some(rows).ids.tolist() == Tokens.from_lists(cut(TEXTS)).some(rows).ids.tolist()


@pytest.mark.parametrize("change", ["tokenizer", "a text", "where a text ends"])
def test_what_the_ids_depend_on_is_the_key(change):
    tokens_of(TEXTS, cut, lambda: "a")
    texts = list(TEXTS)
    if change == "a text":
        texts[7] += "!"
    elif change == "where a text ends":
        texts[7], texts[8] = texts[7] + texts[8][:1], texts[8][1:]
    with pytest.raises(AssertionError, match="cut again"):
        tokens_of(texts, refuse, lambda: "b" if change == "tokenizer" else "a")
    assert len(cache_files()) == 1, "nothing half-written"


def test_few_texts_and_none_are_not_kept(folder):
    assert len(tokens_of([], cut, lambda: "a")) == 0
    assert tokens_of(TEXTS[:3], cut, lambda: "a").offsets.tolist() == [0, 2, 5, 9]
    assert not folder.exists()


@pytest.mark.parametrize("damage", ["cut off", "a bit", "empty"])
def test_a_damaged_file_is_made_anew(damage, caplog):
    tokens_of(TEXTS, cut, lambda: "a")
    path = cache_files()[0][0]
    raw = bytearray(path.read_bytes())
    raw[40] ^= damage == "a bit"
    path.write_bytes({"cut off": raw[:-3], "a bit": raw, "empty": b""}[damage])
    with caplog.at_level(logging.WARNING, logger="ramen"):
        same(tokens_of(TEXTS, cut, lambda: "a"))
    assert "damaged; its texts are tokenized again" in caplog.text
    same(tokens_of(TEXTS, refuse, lambda: "a"))


def test_a_folder_that_cannot_be_written_leaves_the_ids_in_memory(folder, caplog):
    folder.write_text("a file")
    with caplog.at_level(logging.WARNING, logger="ramen"):
        same(tokens_of(TEXTS, cut, lambda: "a"))
    assert "token ids are not cached" in caplog.text


def test_another_process_finishes_the_file_meanwhile(folder, monkeypatch):
    def cut_while_another_does(block):
        if not list(folder.glob("*.i32")):
            with monkeypatch.context() as patch:
                patch.setattr("os.getpid", lambda: 10**9)
                same(tokens_of(TEXTS, cut, lambda: "a"))
            assert len(cache_files()) == 2, "the other's, and what is written here"
        return cut(block)

    same(tokens_of(TEXTS, cut_while_another_does, lambda: "a"))
    same(tokens_of(TEXTS, refuse, lambda: "a"))
    assert len(cache_files()) == 1


@pytest.mark.slow
def test_three_processes_that_build_one_file_at_once(folder):
    code = """
import sys, time
from ramen.encoders import token_cache
token_cache.WORTH, token_cache._BLOCK = 100, 64
texts = [f"text {i}" for i in range(1000)]
def cut(block):
    time.sleep(0.02)
    return [[len(text)] for text in block]
found = token_cache.tokens_of(texts, cut, lambda: "a")
assert found.ids.tolist() == [len(text) for text in texts]
print("cut")
"""
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [run.communicate(timeout=100)[0] for run in runs] == ["cut\n"] * 3
    assert all(run.returncode == 0 for run in runs) and len(cache_files()) == 1


def test_the_transformer_cuts_the_same_in_blocks(tiny_backbone):
    encoder = TransformerEncoder(str(tiny_backbone), "mean", 6)
    expected = encoder.tokenizer(TEXTS, truncation=True, max_length=6)["input_ids"]
    for _ in range(2):
        found = encoder.tokenize(TEXTS)
        assert found.ids.tolist() == [i for ids in expected for i in ids]
    assert len(cache_files()) == 1
