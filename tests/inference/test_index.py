"""The index of a run: same labels as without, found whole or not at all, and what is said of a stale one."""

import json
import os
import shutil

import numpy as np
import pytest

import ramen
from ramen.errors import InputError, WorkError
from ramen.inference import build_index as building
from ramen.inference.build_index import build_index

TEXTS = ["lead acid battery\nwith a charger", "电池", "x " * 500]


@pytest.fixture(scope="module")
def indexed(finished_run, tmp_path_factory):
    run = shutil.copytree(finished_run, tmp_path_factory.mktemp("indexed") / "run")
    build_index(run, min_rows=0)
    return run


@pytest.fixture
def run(indexed, tmp_path):
    return shutil.copytree(indexed, tmp_path / "run")  # with times of change


def test_labels_are_those_of_an_exact_search(indexed, planted):
    texts = TEXTS + ramen.load_dataset(planted).test.joined()[:50]
    ours, exact = ramen.Tagger.load(indexed), ramen.Tagger.load(indexed, index=False)
    assert [scorer.index is not None for scorer in ours.run.ranker.scorers.values() if hasattr(scorer, "index")]
    pairs = list(zip(ours.tag(texts), exact.tag(texts), strict=True))
    shares = [len({x["uid"] for x in found} & {x["uid"] for x in expected}) / 5 for found, expected in pairs]
    assert np.mean(shares) >= 0.95  # the index of neighbours may miss a far one, with its vote
    scores = np.array([[x["score"] for x in labels] for pair in pairs for labels in pair]).reshape(-1, 2, 5)
    np.testing.assert_allclose(scores[:, 0], scores[:, 1], atol=0.02)


def test_words_of_the_table_are_those_of_the_file(indexed):
    ours, exact = ramen.Tagger.load(indexed).run.words, ramen.Tagger.load(indexed, index=False).run.words
    if exact is None:
        pytest.skip("the run has no words")
    texts = [*TEXTS, " ".join(exact.names[:50])]
    assert (ours.transform(texts) != exact.transform(texts)).nnz == 0 and ours.kind == exact.kind


def test_small_runs_look_at_every_row(finished_run, tmp_path):
    run = shutil.copytree(finished_run, tmp_path / "run")
    assert [one.candidates for one in build_index(run)] == [0] * 2
    assert ramen.Tagger.load(run).tag(["x"]) == ramen.Tagger.load(run, index=False).tag(["x"])


def test_a_changed_file_is_found_by_its_hash(run):
    for name in ["scorers/encoder/vectors.safetensors", "index/encoder.safetensors"]:
        path = run / name
        whole, times = path.read_bytes(), path.stat()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(InputError, match=f"{name}: altered since"):
            ramen.Tagger.load(run)
        path.write_bytes(whole)
        ramen.Tagger.load(run)  # other time of change, same content
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    (run / "index/uids.safetensors").unlink()
    with pytest.raises(InputError, match="index/uids.safetensors: missing"):
        ramen.Tagger.load(run)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"of": "0" * 32}, "an index of another run than .*; build it again: ramen index RUN"),
        ({"format": 99}, "not an index of this version"),
        ({"files": []}, "not an index of this version"),
    ],
)
def test_stale_and_damaged_facts(run, facts, message):
    path = run / "index/index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    with pytest.raises(InputError, match=message):
        ramen.Tagger.load(run)
    ramen.Tagger.load(run, index=False)
    build_index(run, min_rows=0)
    ramen.Tagger.load(run)


def test_a_full_disk_leaves_the_older_index(run, monkeypatch):
    before = (run / "index/index.json").read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(building, "save_strings", full)
    with pytest.raises(WorkError, match="no space left"):
        build_index(run, min_rows=0)
    assert (run / "index/index.json").read_bytes() == before
    assert not [path.name for path in run.iterdir() if "part" in path.name or "old" in path.name]
    ramen.Tagger.load(run)


def test_wrong_recall(run):
    with pytest.raises(InputError, match="recall 1.5: expected above 0, at most 1"):
        build_index(run, recall=1.5)
