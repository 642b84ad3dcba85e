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
from ramen.scorers.base import SearchSpace, unit_rows
from ramen.scorers.encoder import EncoderScorer

TEXTS = ["lead acid battery\nwith a charger", "电池", "x " * 500]


@pytest.fixture(scope="module")
def indexed(finished_run, tmp_path_factory):
    run = shutil.copytree(finished_run, tmp_path_factory.mktemp("indexed") / "run")
    build_index(run, always=True)
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
    measured = build_index(run)
    assert [one.candidates for one in measured] == [0] * 2
    assert str(measured[0]).endswith("rows, exact search (an index is measured from 1,000 rows on)")
    assert ramen.Tagger.load(run).tag(["x"]) == ramen.Tagger.load(run, index=False).tag(["x"])


def space(n: int, dim: int) -> tuple[SearchSpace, np.ndarray]:
    """Random rows, and queries near some of them."""
    rng = np.random.default_rng(0)
    matrix = unit_rows(rng.standard_normal((n, dim), dtype=np.float32))
    queries = unit_rows(matrix[:64] + 0.05 * rng.standard_normal((64, dim), dtype=np.float32))
    return EncoderScorer(matrix).search_space(), queries


def test_an_index_is_kept_where_it_is_measured_faster():
    index, measured = building._index("encoder", *space(20_000, 384), recall=0.1, always=False)
    assert index.candidates == measured.candidates == 128  # an exact search takes about three times as long
    assert len(measured.milliseconds) == 2 and measured.is_faster
    assert "index with 128 candidates: " in str(measured) and "in batches of 32, recall 0." in str(measured)


def test_an_index_is_dropped_where_it_is_measured_slower():
    index, measured = building._index("encoder", *space(1_500, 64), recall=1.0, always=False)  # scores nearly all rows
    assert index is None and measured.candidates == 0 and not measured.is_faster
    assert "exact search (index gains too little): " in str(measured)
    index, measured = building._index("encoder", *space(1_500, 64), recall=1.0, always=True)
    assert index.candidates == measured.candidates >= 1_000


@pytest.mark.parametrize(
    ("milliseconds", "exact", "faster"),
    [((1.0, 1.0), (3.0, 1.0), True), ((1.0, 0.4), (1.7, 0.2), True), ((1.0, 1.0), (1.1, 1.1), False), ((), (), False)],
)
def test_the_rule_weighs_texts_alone_and_in_batches_alike(milliseconds, exact, faster):
    assert building.IndexedScorer("encoder", 5000, 128, 1.0, milliseconds, exact).is_faster is faster


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
    build_index(run, always=True)
    ramen.Tagger.load(run)


def test_a_full_disk_leaves_the_older_index(run, monkeypatch):
    before = (run / "index/index.json").read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(building, "save_strings", full)
    with pytest.raises(WorkError, match="no space left"):
        build_index(run, always=True)
    assert (run / "index/index.json").read_bytes() == before
    assert not [path.name for path in run.iterdir() if "part" in path.name or "old" in path.name]
    ramen.Tagger.load(run)


def test_wrong_recall(run):
    with pytest.raises(InputError, match="recall 1.5: expected above 0, at most 1"):
        build_index(run, recall=1.5)
