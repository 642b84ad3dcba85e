"""benchmarks/graph_regulariser.py on a small set with a tiny encoder."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ramen
from ramen.data.options import with_pairs
from ramen.metrics import inverse_propensity, report

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROWS = ("no graph", "fixed", "labels propagated (AugGT)")


@pytest.fixture
def scripts(monkeypatch):
    """The benchmark's modules, as its own process imports them."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import graph_regulariser
    import graph_rows

    return graph_regulariser, graph_rows


@pytest.mark.slow
def test_rows_are_kept_and_a_second_call_adds_the_missing(planted, quick, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(planted, work / "planted")

    def run(*rows):
        command = [sys.executable, str(BENCHMARKS / "graph_regulariser.py"), "--sets", "planted", *quick]
        command += ["--work", str(work), "--out", str(tmp_path / "out"), "--only", *rows]
        environment = {**os.environ, "RAMEN_DATA": str(planted.parent)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert run(*ROWS[:2]).count("planted, 100% of the pairs") == 2
    first = {path: path.stat().st_mtime_ns for path in work.glob("*.npz")}
    assert run(*ROWS).count("planted, 100% of the pairs") == 1
    assert all(path.stat().st_mtime_ns == then for path, then in first.items())
    results = json.loads((tmp_path / "out" / "graph_regulariser.json").read_text())["results"]
    assert [result["row"] for result in results] == list(ROWS)
    assert set(results[1]["against"]) == {"P@1", "P@5", "PSP@5", "R@10"}
    assert results[1]["facts"]["lambdas"]["links"] == [0.1, 0.3]
    assert "| no graph | " in (tmp_path / "out" / "graph_regulariser.md").read_text()


def test_values_at_every_point_add_up_to_the_metrics(scripts, planted):
    benchmark, rows = scripts
    case = rows.case(planted, 1.0, 0, [])
    found = np.argsort(np.random.default_rng(0).random((len(case.full.test), 120)), axis=1)[:, :100]
    figures = report(
        found, case.full.test_targets, inverse_propensity(case.full.train_targets, 0.55, 1.5), ks=(1, 5, 10, 100)
    )
    values = benchmark.per_point(found, case)
    for name in benchmark.COLUMNS:
        assert benchmark.value(values[name]) == pytest.approx(figures[name])
    same = benchmark.compared(values["P@5"], values["P@5"])
    assert (same["difference"], same["low"], same["high"], same["p"]) == (0, 0, 0, 1)


def test_propagated_labels_share_an_anchor_and_are_few(scripts, planted):
    _, rows = scripts
    case = rows.case(planted, 1.0, 0, [])
    more = rows.propagated(case).dataset.train_targets
    added = more - case.dataset.train_targets
    assert added.min() == 0 and added.nnz > 0
    links = [case.dataset.graphs[kind] for kind in case.dataset.graphs]
    shared = sum(graph.points @ graph.labels.T for graph in links).tocsr()
    assert (shared[added.nonzero()] > 0).all()


def test_shuffled_links_keep_the_degrees(scripts, planted):
    _, rows = scripts
    case = rows.case(planted, 1.0, 0, [])
    for kind, graph in rows.shuffled(case).dataset.graphs.items():
        before = case.dataset.graphs[kind]
        assert (np.diff(graph.points.indptr) == np.diff(before.points.indptr)).all()
        assert (np.bincount(graph.points.indices) == np.bincount(before.points.indices)).all()
        assert (graph.points != before.points).nnz


def test_a_share_of_the_pairs_leaves_the_propensities(scripts, planted):
    _, rows = scripts
    case = rows.case(planted, 0.3, 0, [])
    assert (case.dataset.train_targets != with_pairs(ramen.load_dataset(planted), 0.3, 0).train_targets).nnz == 0
    assert case.full.train_targets.nnz > case.dataset.train_targets.nnz
