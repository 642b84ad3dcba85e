"""benchmarks/quality_and_time.py and the peers it measures, on a small set."""

import doctest
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.data import load_dataset

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PLAIN = "ramen static, no graphs"


@pytest.fixture
def scripts(monkeypatch):
    """The benchmark's modules, as its own process imports them."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import peers
    import quality_and_time

    return quality_and_time, peers


@pytest.mark.slow
def test_rows_are_kept_and_a_second_call_adds_the_missing(planted, quick, tmp_path):
    pytest.importorskip("sklearn")

    def run(*systems):
        command = [sys.executable, str(BENCHMARKS / "quality_and_time.py"), "--sets", "planted", *quick]
        command += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--only", *systems]
        environment = {**os.environ, "RAMEN_DATA": str(planted.parent)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "planted: ramen words skipped: the set has texts" in run("ramen words", "LinearSVC")
    (first,) = (tmp_path / "work").glob("*.json")
    before = first.stat().st_mtime_ns
    assert run("LinearSVC", PLAIN).count("planted, seed 0: ") == 1
    assert first.stat().st_mtime_ns == before
    facts = json.loads((tmp_path / "out/quality_and_time.json").read_text())
    assert [row["system"] for row in facts["results"]] == [PLAIN, "LinearSVC"]
    for row in facts["results"]:
        assert set(row["test"]) == {"P@1", "P@5", "PSP@5", "R@10"} and 0 < row["test"]["P@1"] <= 100
        assert row["seconds"] > 0.5 and row["cpu_seconds"] > 0.5 and row["peak_mib"] > 50
    assert (tmp_path / "out/quality_and_time.png").stat().st_size > 5000


def test_a_system_that_cannot_run_says_why(scripts, planted, monkeypatch):
    benchmark, _ = scripts
    facts = benchmark.Facts(planted, has_texts=True, has_graphs=False, n_labels=6000)
    monkeypatch.setattr(benchmark, "RAMEN", (*benchmark.RAMEN, ("ramen new", "no-such-preset", "all", False)))
    assert "unknown preset 'no-such-preset'" in benchmark.why_not("ramen new", facts)
    assert benchmark.why_not("ramen static", facts) == "the set has no graphs"
    assert benchmark.why_not(PLAIN, facts) is None
    assert benchmark.why_not("LinearSVC", facts).startswith("6,000 labels, more than 5,000")


def test_a_row_is_measured_anew_for_another_commit_or_setting(scripts):
    benchmark, _ = scripts
    keys = {benchmark.key("a", PLAIN, *rest) for rest in ((0, [], "x"), (0, [], "y"), (1, [], "x"), (0, ["k=v"], "x"))}
    assert len(keys) == 4
    peer = [benchmark.key("a", "LinearSVC", 0, settings, "x") for settings in ([], ["k=v"])]
    assert peer[0] == peer[1]  # settings are those of ramen train


def test_rows_of_another_commit_or_set_are_left_out(scripts, tmp_path):
    benchmark, _ = scripts
    row = {"set": "a", "system": PLAIN, "seed": 0, "commit": "x", "settings": [], "threads": benchmark.threads()}
    for number, change in enumerate(({}, {"commit": "y"}, {"set": "b"}, {"settings": ["k=v"]}, {"system": "old"})):
        benchmark.keep(tmp_path / f"{number}.json", {**row, **change})
    assert benchmark.collected(tmp_path, 0, [], ["a"], {"ramen": "x", "peers": "z"}) == [row]


def test_the_plot_of_one_row(scripts, tmp_path):
    benchmark, _ = scripts
    row = {"set": "a", "system": PLAIN, "seconds": 2.0, "test": dict.fromkeys(benchmark.COLUMNS, 10.0)}
    benchmark.plot([row], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_features_have_length_one(scripts, planted):
    pytest.importorskip("sklearn")
    _, peers = scripts
    for part, texts in zip(peers.features(load_dataset(planted)), ("train", "test"), strict=True):
        assert part.shape[0] == len(getattr(load_dataset(planted), texts))
        lengths = np.sqrt(np.asarray(part.multiply(part).sum(1)).ravel())
        np.testing.assert_allclose(lengths[lengths > 0], 1, rtol=1e-5)


def test_one_vs_rest_never_ranks_a_label_without_training_points(scripts, planted):
    pytest.importorskip("sklearn")
    _, peers = scripts
    dataset = load_dataset(planted)
    kept = np.ones(dataset.n_labels)
    kept[:5] = 0
    dataset.train_targets = sp.csr_matrix(dataset.train_targets @ sp.diags(kept))
    dataset.train_targets.eliminate_zeros()
    unseen = np.flatnonzero(dataset.train_targets.getnnz(0) == 0)
    assert set(range(5)) <= set(unseen)
    ranked = peers.PEERS["LinearSVC"].rank(dataset, dataset.n_labels, 0)
    assert ranked.shape == (len(dataset.test), dataset.n_labels)
    assert not np.isin(ranked, unseen).any()
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in ranked)


def test_nearest_vote_follows_the_cosine(scripts):
    _, peers = scripts
    train = np.eye(3, dtype=np.float32)
    targets = sp.csr_matrix(np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]], dtype=np.float32))
    test = np.array([[0.0, 0.6, 0.8]], dtype=np.float32)
    scores = peers.nearest_vote(train, test, targets)
    weights = np.exp(np.array([0, 0.6, 0.8]) / 0.1)
    weights /= weights.sum()
    np.testing.assert_allclose(scores[0, :3], [weights[0], weights[1] + weights[2], weights[2]], rtol=1e-5)
    assert peers.best(scores, 5).tolist() == [[1, 2, 0, -1, -1]]


def test_the_examples_of_the_docstrings(scripts):
    for module in scripts:
        assert doctest.testmod(module).failed == 0 < doctest.testmod(module).attempted


def test_refuses_without_data_or_with_an_unknown_system(tmp_path):
    without = {name: value for name, value in os.environ.items() if name != "RAMEN_DATA"}

    def run(*arguments, **environment):
        command = [sys.executable, str(BENCHMARKS / "quality_and_time.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env={**without, **environment}, timeout=120)

    assert "RAMEN_DATA is not set" in run().stderr
    done = run("--sets", "none", RAMEN_DATA=str(tmp_path))
    assert done.returncode == 2 and "no such folder" in done.stderr
    (tmp_path / "set").mkdir()
    done = run("--sets", "set", "--only", "nothing", RAMEN_DATA=str(tmp_path))
    assert done.returncode == 2 and "--only 'nothing': expected of ramen words" in done.stderr
