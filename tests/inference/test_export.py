"""A run with a pruned head: smaller, still whole, and wrong calls named."""

import json
import shutil

import pytest
from safetensors.numpy import load_file, save_file

import ramen
from ramen.errors import InputError
from ramen.files import digest
from ramen.inference.artefact import load_run
from ramen.inference.export import prune_head
from ramen.scorers.vectors import LabelVectors


@pytest.fixture(scope="module")
def with_head(planted, quick, tmp_path_factory):
    """A run whose head takes part, whatever validation says of so small a set."""
    out = tmp_path_factory.mktemp("headed") / "run"
    return ramen.train(planted, out=out, graphs="none", overrides=[*quick, "validation.share=0", "sparse.passes=0"])


def test_the_copy_is_smaller_tags_and_measures(with_head, planted, tmp_path):
    whole = load_run(with_head).ranker.scorers["head"]
    dim = whole.rows.dim
    before, after = prune_head(with_head, tmp_path / "small", dim // 4)
    assert after < before
    small = load_run(tmp_path / "small").ranker.scorers["head"]
    assert isinstance(small, LabelVectors) and small.rows.values.shape == (whole.n_labels, dim // 4)
    assert ramen.Tagger.load(tmp_path / "small").tag(["a text"], k=2)
    kept = json.loads((tmp_path / "small/metrics.json").read_text())
    assert kept["pruned_to"] == dim // 4 and "test" not in kept
    assert ramen.evaluate(tmp_path / "small", planted)["test"]["R@10"] > 0
    prune_head(with_head, tmp_path / "all", dim)
    found, expected = (ramen.evaluate(run, planted)["test"]["R@10"] for run in (tmp_path / "all", with_head))
    assert found == pytest.approx(expected, abs=2)


def test_wrong_calls_are_named(with_head, finished_run, tmp_path):
    with pytest.raises(InputError, match="weights a label: expected 1 to"):
        prune_head(with_head, tmp_path / "a", 10_000)
    with pytest.raises(InputError, match="already exists"):
        prune_head(with_head, tmp_path, 4)
    prune_head(with_head, tmp_path / "small", 4)
    with pytest.raises(InputError, match="sparse already, with 4 weights"):
        prune_head(tmp_path / "small", tmp_path / "b", 2)
    with pytest.raises(InputError, match="expected a run folder"):
        prune_head(tmp_path / "none", tmp_path / "b", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small"]


def test_a_run_without_head_is_named(planted, quick, tmp_path):
    run = ramen.train(planted, out=tmp_path / "run", graphs="none", overrides=[*quick, "head.epochs=0"])
    with pytest.raises(InputError, match="has no one-vs-all head"):
        prune_head(run, tmp_path / "b", 2)


def test_the_command(with_head, tmp_path, ramen_here):
    command = ["export", with_head, "--prune", "4", "--out", tmp_path / "small"]
    done = ramen_here(*command)
    assert done.returncode == 0 and "4 weights a label" in done.stdout and "next: ramen eval" in done.stderr
    again = ramen_here(*command)
    assert again.returncode == 2 and "already exists" in again.stderr


def test_a_head_of_another_number_of_labels_is_named(with_head, tmp_path):
    """Files exchanged by hand, with hashes to match."""
    other = tmp_path / "other"
    shutil.copytree(with_head, other)
    path = other / "scorers/head/vectors.safetensors"
    save_file({"vectors": load_file(path)["vectors"][:-1]}, path)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["blake2b"]["scorers/head/vectors.safetensors"] = digest(path)
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="scorers/head: of 119 labels, expected 120 as in labels.jsonl.gz"):
        load_run(other)
