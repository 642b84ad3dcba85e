"""The cache of token vectors: what is kept, for whom, and that it never fails a run."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from ramen.config import EncoderConfig
from ramen.encoders import cache, contextual
from ramen.encoders.cache import cache_files, cache_folder, cached_vectors, key_of_folder, key_of_model
from ramen.encoders.contextual import Backbone
from ramen.encoders.static import build_static_encoder
from ramen.errors import InputError

KEY, OTHER = "0a" * 16, "0b" * 16
PIECES = [(3, "lead"), (7, "##ing"), (9, "ჯ")]
TEXTS = ["lead acid battery\na charger", "lead acid"] * 2


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    path = tmp_path / "cache"
    monkeypatch.setenv("RAMEN_CACHE", str(path))
    return path


@pytest.fixture
def lines(caplog):
    """The log lines of ramen so far."""
    caplog.set_level(logging.INFO, logger="ramen")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "ramen"]


class Computing:
    """Vectors of this call's own, which note what was asked for."""

    def __init__(self, value=0.0):
        self.value, self.asked = value, []

    def __call__(self, missing):
        self.asked.append(missing.tolist())
        return (missing[:, None] + np.array([self.value, 0.1])).astype(np.float32)


def refuse(*_):
    raise AssertionError("nothing was missing")


def test_what_is_stored_comes_back_bit_for_bit(lines):
    first = cached_vectors(KEY, PIECES, Computing(1 / 3))
    assert first.dtype == np.float32
    np.testing.assert_array_equal(cached_vectors(KEY, PIECES, refuse), first)
    np.testing.assert_array_equal(cached_vectors(KEY, PIECES[::-1], refuse), first[::-1])
    assert cached_vectors(KEY, [], refuse).size == 0
    assert lines() == []


def test_only_what_is_missing_is_computed():
    first = cached_vectors(KEY, PIECES[1:], Computing(5))
    compute = Computing(6)
    found = cached_vectors(KEY, PIECES, compute)
    assert compute.asked == [[0]]
    np.testing.assert_array_equal(found[1:], first)
    np.testing.assert_array_equal(cached_vectors(KEY, PIECES, refuse), found)


def test_pieces_differ_by_id_and_text_and_backbones_by_key():
    cached_vectors(KEY, PIECES, Computing())
    compute = Computing()
    cached_vectors(KEY, [(3, "lead"), (3, "acid"), (4, "lead")], compute)
    cached_vectors(OTHER, PIECES, compute)
    assert compute.asked == [[1, 2], [0, 1, 2]]
    assert len(cache_files()) == 2


def test_what_another_process_wrote_meanwhile_stays():
    theirs = []

    def compute(missing):
        theirs.append(cached_vectors(KEY, PIECES[:2], Computing(1)))
        return Computing(2)(missing)

    found = cached_vectors(KEY, PIECES[1:], compute)
    np.testing.assert_array_equal(found[0], theirs[0][1])
    stored = cached_vectors(KEY, PIECES, refuse)
    np.testing.assert_array_equal(stored[:2], theirs[0])
    np.testing.assert_array_equal(stored[1:], found)


def test_a_file_removed_meanwhile_costs_nothing(folder):
    first = cached_vectors(KEY, PIECES[:1], Computing(1))

    def compute(missing):
        shutil.rmtree(folder)
        return Computing(2)(missing)

    np.testing.assert_array_equal(cached_vectors(KEY, PIECES, compute)[:1], first)


FILLING = """
import json, sys, time, numpy as np
from pathlib import Path
from ramen.encoders.cache import cached_vectors
key, name, other, first, last = sys.argv[1:]
def compute(missing):
    Path(name).touch()
    end = time.monotonic() + 60
    while not Path(other).exists():  # both have found the cache empty, and both write
        assert time.monotonic() < end
        time.sleep(0.001)
    return np.stack([missing + float(first), missing * 0 + 1 / 3], 1)
pieces = [(i, str(i)) for i in range(int(first), int(last))]
print(json.dumps(cached_vectors(key, pieces, compute).tolist()))
"""


def test_two_processes_fill_one_cache(tmp_path, folder):
    ready = [str(tmp_path / "a"), str(tmp_path / "b")]
    calls = [(*ready, "0", "3000"), (*ready[::-1], "1000", "4000")]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", FILLING, KEY, *call], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for call in calls
    ]
    outputs = [process.communicate(timeout=120) for process in started]
    assert [errors for _, errors in outputs] == ["", ""]
    pieces = [(i, str(i)) for i in range(4000)]
    compute = Computing()
    stored = cached_vectors(KEY, pieces, compute)
    assert len(cache_files()) == 1 and len(list(folder.iterdir())) == 1
    for (out, _), (*_, first, last) in zip(outputs, calls, strict=True):
        found = np.array(json.loads(out), np.float32)
        expected = np.stack([np.arange(int(first), int(last)), np.full(3000, 1 / 3)], 1).astype(np.float32)
        np.testing.assert_array_equal(found, expected)
    lost = [i for asked in compute.asked for i in asked]  # by one of the two, all of its own or nothing
    assert len(lost) in (0, 1000)
    kept = np.setdiff1d(np.arange(4000), lost)
    np.testing.assert_array_equal(stored[kept, 0], kept)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:5],
        lambda content: content[:-1],
        lambda content: content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
        lambda content: b"\xff" * len(content),
        lambda content: content.replace(b'"vectors"', b'"vectorz"'),
    ],
    ids=["empty", "header cut", "data cut", "one bit", "no header", "a key"],
)
def test_a_damaged_file_is_named_once_and_rewritten(damage, lines):
    first = cached_vectors(KEY, PIECES, Computing(1))
    [(path, _)] = cache_files()
    path.write_bytes(damage(path.read_bytes()))
    compute = Computing(1)
    np.testing.assert_array_equal(cached_vectors(KEY, PIECES, compute), first)
    assert compute.asked == [[0, 1, 2]]
    assert lines() == [f"{path}: damaged; its token vectors are computed again"]
    np.testing.assert_array_equal(cached_vectors(KEY, PIECES, refuse), first)


def test_a_folder_that_cannot_be_written_is_one_line(folder, unprivileged, lines):
    folder.mkdir(mode=0o555)
    with unprivileged():
        found = cached_vectors(KEY, PIECES, Computing(1))
    np.testing.assert_array_equal(found, Computing(1)(np.arange(3)))
    [line] = lines()
    assert str(folder) in line and "no permission" in line and "RAMEN_CACHE" in line
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(folder, lines):
    folder.write_text("a file")
    cached_vectors(KEY, PIECES, Computing())
    [line] = lines()
    assert str(folder) in line and "RAMEN_CACHE" in line
    assert folder.read_text() == "a file"


def test_a_folder_that_can_only_be_read_serves(folder, unprivileged, lines):
    first = cached_vectors(KEY, PIECES, Computing(1))
    folder.chmod(0o555)
    with unprivileged():
        np.testing.assert_array_equal(cached_vectors(KEY, PIECES, refuse), first)
    assert lines() == []


def test_the_least_recently_used_files_go(folder, monkeypatch):
    keys = [f"{number:032x}" for number in range(4)]
    for age, key in enumerate(keys[:3]):
        cached_vectors(key, PIECES, Computing())
        stamp = time.time() - 1000 + age
        os.utime(folder / f"vectors-{key}.safetensors", (stamp, stamp))
    (folder / "other").write_bytes(bytes(10_000))
    [size] = {size for _, size in cache_files()}
    monkeypatch.setattr(cache, "MAX_BYTES", 2 * size)
    cached_vectors(keys[0], PIECES, refuse)  # used, though it is the oldest
    cached_vectors(keys[3], PIECES, Computing())
    assert [path.name for path, _ in cache_files()] == [f"vectors-{keys[i]}.safetensors" for i in (0, 3)]
    monkeypatch.setattr(cache, "MAX_BYTES", size - 1)
    cached_vectors(keys[1], PIECES, Computing())
    assert [path.name for path in folder.iterdir()] == ["other"]


def test_where_the_folder_is(monkeypatch, tmp_path, folder):
    assert cache_folder() == folder
    monkeypatch.setenv("RAMEN_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "ramen"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "ramen"


def test_without_a_home_a_run_goes_on(monkeypatch, lines):
    monkeypatch.setenv("RAMEN_CACHE", "~no-such-user/cache")
    with pytest.raises(InputError, match="set RAMEN_CACHE"):
        cache_folder()
    assert not cache.is_cached(KEY)
    assert cached_vectors(KEY, PIECES, Computing()).shape == (3, 2)
    assert len(lines()) == 1


def test_the_key_is_of_weights_settings_and_tokenizer(tmp_path, tiny_backbone):
    folder = shutil.copytree(tiny_backbone, tmp_path / "model")
    keys = [key_of_folder(str(tiny_backbone))]
    assert key_of_folder(str(folder)) == keys[0]
    (folder / "README.md").write_text("no part of the model")
    assert key_of_folder(str(folder)) == keys[0]
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        keys.append(key_of_folder(str(folder)))
    assert len({*keys}) == 4 and None not in keys
    (folder / "model.safetensors").unlink()
    assert key_of_folder(str(folder)) is None
    assert key_of_folder("some-org/some-model") is None


def test_the_key_of_a_loaded_model(tiny_backbone):
    model, tokenizer = AutoModel.from_pretrained(tiny_backbone), AutoTokenizer.from_pretrained(tiny_backbone)
    key = key_of_model(model, tokenizer)
    assert key == key_of_model(AutoModel.from_pretrained(tiny_backbone), tokenizer)
    with torch.no_grad():
        next(model.parameters()).view(-1)[5] += 1e-3
    changed = key_of_model(model, tokenizer)
    tokenizer.add_tokens(["battery"])
    assert len({key, changed, key_of_model(model, tokenizer)}) == 3


def build(backbone):
    return build_static_encoder(TEXTS, EncoderConfig(backbone=str(backbone))).vectors.detach().numpy()


def test_a_warm_cache_gives_the_same_encoder_without_the_model(tiny_backbone, monkeypatch):
    cold = build(tiny_backbone)
    monkeypatch.setattr(contextual, "AutoModel", None)  # loading it would fail
    np.testing.assert_array_equal(build(tiny_backbone), cold)


def test_a_damaged_cache_loads_the_model_after_all(tiny_backbone, lines):
    cold = build(tiny_backbone)
    [(path, size)] = cache_files()
    os.truncate(path, size // 2)
    np.testing.assert_array_equal(build(tiny_backbone), cold)
    assert lines() == [f"{path}: damaged; its token vectors are computed again"]


def test_without_local_files_the_loaded_model_is_the_key(tiny_backbone, monkeypatch):
    cold = build(tiny_backbone)
    monkeypatch.setattr(contextual, "key_of_folder", lambda folder: None)
    np.testing.assert_array_equal(build(tiny_backbone), cold)
    assert len(cache_files()) == 2
    monkeypatch.setattr(Backbone, "_compute", refuse)
    np.testing.assert_array_equal(build(tiny_backbone), cold)


def test_a_vector_does_not_depend_on_what_else_is_missing(tiny_backbone, folder):
    pieces = np.arange(5, 150)
    whole = Backbone(str(tiny_backbone)).vectors(pieces)
    shutil.rmtree(folder)
    backbone = Backbone(str(tiny_backbone))
    np.testing.assert_array_equal(backbone.vectors(pieces[40:43]), whole[40:43])
    np.testing.assert_array_equal(backbone.vectors(pieces), whole)


def test_a_backbone_that_stopped_loading_is_refused_with_a_warm_cache(tmp_path, tiny_backbone):
    folder = shutil.copytree(tiny_backbone, tmp_path / "model")
    build(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(InputError, match="does not load as a transformer"):
        build(folder)
