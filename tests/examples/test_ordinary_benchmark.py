"""benchmarks/ordinary.py on a small set: figures, paired differences, and the parts that decide what is measured."""

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
from ramen.data.write import write_dataset
from ramen.errors import InputError
from ramen.metrics import f1_report

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PLAIN = "ramen static, no graphs"


@pytest.fixture
def benchmark_modules(monkeypatch):
    """The benchmark and the peers, as the benchmark's own process imports them."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import ordinary
    import peers

    return ordinary, peers


def run(*arguments, data=None):
    without = {name: value for name, value in os.environ.items() if name != "RAMEN_DATA"}
    environment = without if data is None else {**without, "RAMEN_DATA": str(data)}
    command = [sys.executable, str(BENCHMARKS / "ordinary.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280)


@pytest.mark.slow
def test_rows_are_kept_and_compared_with_linear_svc(planted, quick, tmp_path):
    pytest.importorskip("sklearn")
    arguments = ["--sets", "planted", *quick, "--work", tmp_path / "work", "--out", tmp_path / "out"]
    done = run(*arguments, "--only", "LinearSVC", PLAIN, "ramen words", data=planted.parent)
    assert done.returncode == 0, done.stderr
    assert "planted: ramen words skipped: the set has texts" in done.stderr
    results = {row["system"]: row for row in json.loads((tmp_path / "out/ordinary.json").read_text())["results"]}
    assert results.keys() == {"LinearSVC", PLAIN}
    for row in results.values():
        assert 0 < row["test"]["P@1"] <= 100 and 0 < row["test"]["micro-F1"] <= 100
        assert row["cpu_seconds"] > 0.5 and row["peak_mib"] > 50
    assert results["LinearSVC"]["threshold_seconds"] > 0.5  # a run of RAMEN has chosen its own threshold
    assert 0 < results[PLAIN]["threshold"] < 1 and "threshold_seconds" not in results[PLAIN]
    paired = results[PLAIN]["minus LinearSVC"]
    assert paired.keys() == {"P@1", "P@5", "PSP@5", "example-F1"}
    for metric, found in paired.items():
        assert found["low"] <= found["difference"] <= found["high"]
        gap = results[PLAIN]["test"][metric] - results["LinearSVC"]["test"][metric]
        assert found["difference"] == pytest.approx(gap)
    assert "minus LinearSVC" not in results["LinearSVC"] and "| planted | LinearSVC |" in done.stdout
    again = run(*arguments, "--only", "LinearSVC", PLAIN, data=planted.parent)
    assert "ramen train" not in again.stderr  # rows are kept


def test_the_held_out_part_is_cut_from_training_and_loads(benchmark_modules, planted, tmp_path):
    ordinary, _ = benchmark_modules
    whole = load_dataset(planted)
    write_dataset(ordinary.without_held_out(whole, seed=0), tmp_path / "cut")
    cut = load_dataset(tmp_path / "cut")
    assert sorted(cut.train.uids + cut.test.uids) == sorted(whole.train.uids)
    assert len(cut.test) == round(len(whole.train) / 10)
    rows = [whole.train.uids.index(uid) for uid in cut.test.uids]
    assert (cut.test_targets != whole.train_targets[rows]).nnz == 0
    pairs = {(whole.train.uids[row], label) for row, label in whole.train_filter.tolist()}
    parts = [(cut.train, cut.train_filter), (cut.test, cut.test_filter)]
    assert {(texts.uids[row], label) for texts, filtered in parts for row, label in filtered.tolist()} == pairs
    row = [whole.train.uids.index(uid) for uid in cut.train.uids]
    assert (cut.graphs["links"].points != whole.graphs["links"].points[row]).nnz == 0
    assert ordinary.without_held_out(whole, seed=1).test.uids != cut.test.uids


def test_filtered_labels_are_left_out_with_their_scores(benchmark_modules, planted):
    ordinary, _ = benchmark_modules
    dataset = load_dataset(planted)
    dataset.test_filter = np.array([[0, 7], [1, 3]])
    labels = np.tile(np.array([7, 3, 5, -1]), (len(dataset.test), 1))
    scores = np.tile(np.array([0.9, 0.8, 0.7, -np.inf]), (len(dataset.test), 1))
    left, of_left = ordinary.without_filtered(labels, scores, dataset)
    assert left[:3].tolist() == [[3, 5, -1, -1], [7, 5, -1, -1], [7, 3, 5, -1]]
    assert of_left[0].tolist() == [0.8, 0.7, -np.inf, -np.inf]
    assert of_left[1].tolist() == [0.9, 0.7, -np.inf, -np.inf]


def test_scores_of_linear_svc_rank_its_labels(benchmark_modules, planted):
    pytest.importorskip("sklearn")
    _, peers = benchmark_modules
    dataset = load_dataset(planted)
    labels, scores = peers.SCORED["LinearSVC"](dataset, 20, 0)
    assert labels.shape == scores.shape == (len(dataset.test), 20)
    assert np.isfinite(scores[labels >= 0]).all() and (np.diff(scores, axis=1) <= 0).all()
    np.testing.assert_array_equal(peers.PEERS["LinearSVC"].rank(dataset, 20, 0), labels)


def test_omikuji_gives_scores_in_order(benchmark_modules, planted):
    pytest.importorskip("omikuji")
    pytest.importorskip("sklearn")
    _, peers = benchmark_modules
    dataset = load_dataset(planted)
    labels, scores = peers.SCORED["omikuji Parabel-like"](dataset, 20, 0)
    assert labels.shape == scores.shape == (len(dataset.test), 20)
    assert (scores[labels < 0] == -np.inf).all() and np.isfinite(scores[labels >= 0]).all()
    assert (scores[:, :-1] >= scores[:, 1:]).all()


def test_figures_of_a_row_agree_with_their_contributions(benchmark_modules, planted, tmp_path):
    ordinary, _ = benchmark_modules
    dataset = load_dataset(planted)
    rng = np.random.default_rng(0)
    noisy = sp.csr_matrix(dataset.test_targets).toarray() + rng.random(dataset.test_targets.shape) * 1.2
    labels = np.argsort(-noisy, axis=1)[:, :30]
    scores = np.take_along_axis(noisy, labels, axis=1)
    np.savez(tmp_path / "row.npz", labels=labels, scores=scores, facts=json.dumps({"threshold": 1.1, "seconds": 2.0}))
    row, parts = ordinary.figures(tmp_path / "row.npz", dataset)
    assert row["seconds"] == 2.0
    assert row["test"]["micro-F1"] == f1_report(labels, scores, 1.1, dataset.test_targets)["micro-F1"]
    values = dict(zip(parts.names, parts.values(), strict=True))
    assert values == pytest.approx({name: row["test"][name] for name in ordinary.PAIRED})
    assert 0 < values["P@1"] < 100


def test_a_set_of_a_recipe_is_built_once(benchmark_modules, tmp_path, monkeypatch):
    ordinary, _ = benchmark_modules
    folder = ordinary.folder_of("planted", tmp_path)
    assert (folder / "truth.npz").is_file() and folder.parent == tmp_path
    before = (folder / "truth.npz").stat().st_mtime_ns
    assert ordinary.folder_of("planted", tmp_path) == folder
    assert (folder / "truth.npz").stat().st_mtime_ns == before
    monkeypatch.delenv("RAMEN_DATA", raising=False)
    with pytest.raises(InputError, match="RAMEN_DATA is not set"):
        ordinary.folder_of("Bibtex", tmp_path)


def test_the_examples_of_the_docstrings(benchmark_modules):
    ordinary, _ = benchmark_modules
    assert doctest.testmod(ordinary).failed == 0 < doctest.testmod(ordinary).attempted


def test_refuses_an_unknown_system_or_a_missing_set(tmp_path):
    done = run("--only", "nothing", "--work", tmp_path)
    assert done.returncode == 2 and "--only 'nothing': expected of ramen words" in done.stderr
    done = run("--sets", "none", "--work", tmp_path, data=tmp_path)
    assert done.returncode == 2 and "none: no such folder, expected a data set" in done.stderr
