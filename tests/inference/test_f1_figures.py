"""F1 at a run's thresholds is that of the labels it tags with, and scikit-learn's."""

import csv
import json
import shutil

import numpy as np
import pytest
from damage import mend
from sklearn.metrics import f1_score, precision_score, recall_score

import ramen
from ramen.inference.evaluation import rankings
from ramen.inference.f1_figures import table_of_labels, unfiltered_targets, worst_texts


@pytest.fixture(scope="module")
def data(planted):
    return ramen.load_dataset(planted)


@pytest.fixture(scope="module")
def ranked(finished_run, data):
    return rankings(finished_run, data)


def tagged(run, data, threshold):
    """What the run tags the test points with, filtered labels left out, as a 0/1 matrix."""
    tagger, labels = ramen.Tagger.load(run), {uid: label for label, uid in enumerate(data.labels.uids)}
    found = np.zeros(data.test_targets.shape, dtype=int)
    for row, of_text in enumerate(tagger.tag(data.test.joined(), k=100, threshold=threshold)):
        found[row, [labels[label["uid"]] for label in of_text]] = 1
    for row, label in data.test_filter:
        found[row, label] = 0
    return found


@pytest.mark.parametrize("kind", ["auto", "labels"])
def test_figures_are_those_of_the_tagged_labels(finished_run, data, kind):
    figures = ramen.evaluate(finished_run, data)["f1"]
    true, predicted = (unfiltered_targets(data).toarray() != 0).astype(int), tagged(finished_run, data, kind)
    has_point = np.flatnonzero(true.any(0))
    assert predicted.any() and len(has_point) > 10
    for name, score in (("precision", precision_score), ("recall", recall_score), ("F1", f1_score)):
        micro = score(true, predicted, average="micro", zero_division=0)
        macro = score(true, predicted, labels=has_point, average="macro", zero_division=0)
        assert figures[kind][f"micro-{name}"] == pytest.approx(100 * micro)
        assert figures[kind][f"macro-{name}"] == pytest.approx(100 * macro)
    assert figures[kind]["labels per text"] == pytest.approx(predicted.sum(1).mean())


def test_the_figures_are_kept_and_printed(finished_run, planted, ramen_here, tmp_path):
    run = shutil.copytree(finished_run, tmp_path / "run")
    stored = json.loads((run / "metrics.json").read_text())["f1"]
    assert stored == ramen.evaluate(run, planted)["f1"]  # training kept them
    done = ramen_here("eval", run, "--data", planted, "--json", "f.json", "--labels-csv", "l.csv")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "f.json").read_text())["f1"] == stored
    for kind in ("auto", "labels"):
        assert f"micro {stored[kind]['micro-F1']:.2f} (precision {stored[kind]['micro-precision']:.2f}" in done.stdout


def test_filtered_pairs_are_neither_right_nor_wrong(data):
    filtered = {tuple(pair) for pair in data.test_filter.tolist()}
    true = set(zip(*map(np.ndarray.tolist, data.test_targets.nonzero()), strict=True))
    assert set(zip(*map(np.ndarray.tolist, unfiltered_targets(data).nonzero()), strict=True)) == true - filtered


def test_the_table_of_all_labels(finished_run, planted, data, ranked, ramen_here, tmp_path):
    assert ramen_here("eval", finished_run, "--data", planted, "--labels-csv", "l.csv").returncode == 0
    with (tmp_path / "l.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["uid"] for row in rows] == data.labels.uids
    assert [row["text"] for row in rows] == data.labels.titles
    assert [int(row["support"]) for row in rows] == unfiltered_targets(data).getnnz(0).tolist()
    assert [int(row["training"]) for row in rows] == data.train_targets.getnnz(0).tolist()
    for kind in ("auto", "labels"):
        table = table_of_labels(ranked, data, kind)
        for name in ("predicted", "precision", "recall", "F1"):
            np.testing.assert_allclose([float(row[f"{kind}_{name}"]) for row in rows], table[name], atol=1e-4)
        thresholds = [float(row[f"{kind}_threshold"]) for row in rows]
        np.testing.assert_allclose(thresholds, np.broadcast_to(ranked.lowest[kind], len(rows)), atol=1e-4)
        assert max(table["F1"]) > 0


def test_the_worst_texts_come_worst_first(data, ranked):
    rows, f1 = worst_texts(ranked, data, 1000)
    targets = unfiltered_targets(data)
    assert sorted(rows) == np.flatnonzero(targets.getnnz(1)).tolist()
    assert (np.diff(f1[rows]) >= 0).all()
    first = [next((place for place, label in enumerate(ranked[""][row]) if targets[row, label]), 100) for row in rows]
    keys = [(f1[row], -place) for row, place in zip(rows, first, strict=True)]
    assert keys == sorted(keys) and len(set(keys)) > 10


def test_a_run_without_thresholds_says_so(finished_run, planted, ramen_here, tmp_path):
    run = shutil.copytree(finished_run, tmp_path / "run")
    stored = json.loads((run / "ranking/ranking.json").read_text())
    (run / "ranking/ranking.json").write_text(json.dumps(stored | {"thresholds": None}))
    mend(run)
    done = ramen_here("eval", run, "--data", planted)
    assert done.returncode == 0 and "F1" not in done.stdout
    assert "no F1: the run has no thresholds: validation had too few right labels" in done.stderr
    assert "f1" not in ramen.evaluate(run, planted)
    done = ramen_here("eval", run, "--data", planted, "--labels-csv", "l.csv")
    assert done.returncode == 2 and "l.csv: expected a run with thresholds" in done.stderr
    assert done.stdout == ""  # nothing was measured
    assert not (tmp_path / "l.csv").exists()
    done = ramen_here("eval", run, "--data", planted, "--scorer", "encoder", "--labels-csv", "l.csv")
    assert done.returncode == 2 and "--labels-csv: found with predictions or --scorer" in done.stderr
