"""The store of a teacher's vectors."""

from __future__ import annotations

import fcntl
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hlm_bridge.store import VectorStore
from ramen.errors import InputError, WorkError

DIM = 6


def vector(text: str) -> np.ndarray:
    found = np.random.default_rng(list(text.encode("utf-8", "surrogatepass")) + [1]).normal(size=DIM)
    return (found / np.linalg.norm(found)).astype(np.float32)


def encode(texts):
    return np.stack([vector(text) for text in texts])


def opened(folder, shard=4, **changed):
    return VectorStore.open(folder, **{"model": "m", "dim": DIM, "shard": shard, **changed})


def test_round_trip_in_any_order_over_several_shards_and_fills(tmp_path):
    texts = [f"text {i}" for i in range(11)] + ["", "text 3", "\ud800"]
    store = opened(tmp_path / "v")
    assert store.fill(texts, encode) == 13
    assert store.fill(["text 1", "new"], encode) == 1 and len(store) == 14
    again = opened(tmp_path / "v")
    assert len(again) == 14 and again.fill(texts, encode) == 0
    asked = ["new", "", "text 10", "text 0", "text 10", "\ud800"]
    found = again[again.rows(asked)]
    np.testing.assert_allclose(found, encode(asked), atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert found.dtype == np.float32 and all(isinstance(part, np.memmap) for part in again._vectors)
    assert again[np.empty(0, np.int64)].shape == (0, DIM) and again.rows([]).shape == (0,)


def test_missing_text_is_named(tmp_path):
    store = opened(tmp_path)
    store.fill(["here"], encode)
    with pytest.raises(InputError, match="no vector of 'gone' and 1 other texts"):
        store.rows(["here", "gone", "x" * 100])


def test_an_interrupted_fill_goes_on_where_it_stopped(tmp_path):
    calls = []

    def stopping(texts):
        calls.append(len(texts))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode(texts)

    texts = [f"t{i}" for i in range(10)]
    store = opened(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        store.fill(texts, stopping)
    again = opened(tmp_path)
    assert len(again) == 4 and again.fill(texts, encode) == 6
    np.testing.assert_allclose(again[again.rows(texts)], encode(texts), atol=1e-3)


@pytest.mark.parametrize("wrong", [lambda t: encode(t)[:, :3], lambda t: encode(t) * np.nan, lambda t: encode(t)[1:]])
def test_wrong_vectors_are_not_stored(tmp_path, wrong):
    store = opened(tmp_path)
    with pytest.raises(WorkError, match="the teacher gave"):
        store.fill(["a", "b"], wrong)
    assert len(opened(tmp_path)) == 0


def test_a_store_of_another_teacher_or_a_damaged_one_is_one_error(tmp_path):
    opened(tmp_path).fill([f"t{i}" for i in range(6)], encode)
    with pytest.raises(InputError, match="store of model m, expected other; remove"):
        opened(tmp_path, model="other")
    with pytest.raises(InputError, match="store of dim 6, expected 7"):
        opened(tmp_path, dim=7)
    vectors = tmp_path / "00001.vectors.npy"
    whole = vectors.read_bytes()
    for damaged in (whole[:-3], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        vectors.write_bytes(damaged)
        with pytest.raises(InputError, match="00001.vectors.npy: truncated or altered"):
            opened(tmp_path)
    vectors.unlink()
    with pytest.raises(InputError, match="00001.vectors.npy: missing, expected 2 rows"):
        opened(tmp_path)
    vectors.write_bytes(whole)
    index = tmp_path / "store.json"
    tree = json.loads(index.read_text())
    index.write_text(json.dumps({**tree, "format": 2}))
    with pytest.raises(InputError, match="store of format 2, expected 1"):
        opened(tmp_path)
    index.write_text("[]")
    with pytest.raises(InputError, match="store.json: not the index of a store"):
        opened(tmp_path)


def test_two_fills_at_once_are_refused(tmp_path):
    store = opened(tmp_path)
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(WorkError, match="another process"):
            store.fill(["a"], encode)


@settings(max_examples=30)
@given(st.lists(st.text(max_size=5), max_size=20), st.lists(st.text(max_size=5), max_size=20), st.integers(1, 7))
def test_it_is_a_dictionary(tmp_path_factory, first, second, shard):
    folder = tmp_path_factory.mktemp("store")
    assert opened(folder, shard).fill(first, encode) == len(set(first))
    store = opened(folder, shard)
    assert store.fill(second, encode) == len(set(second) - set(first))
    if first + second:
        np.testing.assert_allclose(store[store.rows(first + second)], encode(first + second), atol=1e-3)
