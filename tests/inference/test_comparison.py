"""Other systems' predictions are measured as a run is, and compared point by point."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

import ramen
from ramen.data.sparse_text import sparse_text
from ramen.errors import InputError
from ramen.inference.comparison import compare_systems, evaluate_predictions
from ramen.inference.evaluation import rankings


@pytest.fixture(scope="module")
def data(planted):
    return ramen.load_dataset(planted)


@pytest.fixture
def predictions(finished_run, data, tmp_path):
    """What the run ranks, in each form; in scores the filtered labels are there, too, and first."""
    labels = rankings(finished_run, data)[""][:, :20]
    np.save(tmp_path / "ranked.npy", labels)
    rows, columns = np.nonzero(labels >= 0)
    scores = sp.lil_matrix(data.test_targets.shape, dtype=np.float32)
    scores[rows, labels[rows, columns]] = 1 / (2 + columns)
    for row, label in data.test_filter:
        scores[row, label] = 9
    sp.save_npz(tmp_path / "scores.npz", scores.tocsr())
    (tmp_path / "scores.txt").write_text("".join(sparse_text(scores.tocsr())))
    return tmp_path


@pytest.mark.parametrize("form", ["ranked.npy", "scores.npz", "scores.txt"])
def test_predictions_in_a_file_have_the_run_s_figures(predictions, finished_run, data, form):
    by_run, by_file = ramen.evaluate(finished_run, data), evaluate_predictions(predictions / form, data)
    for name in ("P@1", "P@5", "nDCG@10", "R@10", "PSP@5", "PSnDCG@3", "PSR@10"):
        assert by_file["test"][name] == pytest.approx(by_run["test"][name])
    low, high = by_run["intervals"]["P@5"]
    assert low < by_run["test"]["P@5"] < high
    assert sum(group["precision"] for group in by_run["frequency"]) == pytest.approx(by_run["test"]["P@5"])


def test_a_system_against_itself_and_a_worse_one(predictions, finished_run, data):
    same = compare_systems(finished_run, predictions / "ranked.npy", data)["P@5"]
    assert same["difference"] == 0 and same["p"] == 1
    labels = np.load(predictions / "ranked.npy")
    np.save(predictions / "worse.npy", labels[:, ::-1])
    worse = compare_systems(finished_run, predictions / "worse.npy", data)["P@1"]
    assert worse["difference"] < 0 and worse["high"] < 0 and worse["p"] < 0.01


def test_the_command(predictions, finished_run, planted, ramen_here):
    call = ["eval", "--data", str(planted)]
    both = [*call, "--predictions", str(predictions / "scores.npz"), "--against", str(finished_run), "--json", "f.json"]
    done = ramen_here(*both, cwd=predictions)
    assert done.returncode == 0, done.stderr
    assert f"against {finished_run}:" in done.stdout and "+0.00 (+0.00 to +0.00)   p 1.000" in done.stdout
    assert json.loads((predictions / "f.json").read_text())["against"]["P@1"]["p"] == 1
    none = ramen_here(*call)
    assert none.returncode == 2 and "expected a run or --predictions FILE, one of the two" in none.stderr


def test_bad_predictions_are_one_error(predictions, data):
    def refused(name, match):
        with pytest.raises(InputError, match=match):
            evaluate_predictions(predictions / name, data)

    refused("none.npz", "expected a run folder or a file of predictions, found nothing")
    (predictions / "a.csv").write_text("")
    refused("a.csv", "found the ending .csv, expected .npz")
    (predictions / "b.npy").write_bytes(b"no")
    refused("b.npy", "not an array of numpy.save")
    np.save(predictions / "c.npy", np.zeros((2, 3)))
    refused("c.npy", r"c.npy: float64 \(2, 3\), expected .*: integers .* are label indices")
    np.save(predictions / "d.npy", np.zeros((2, 3), dtype=int))
    refused("d.npy", "expected .* rows as there are test points")
    np.save(predictions / "e.npy", np.full((len(data.test), 3), data.n_labels))
    refused("e.npy", f"label {data.n_labels}, expected 0 to")
    sp.save_npz(predictions / "f.npz", sp.csr_matrix((2, 2)))
    refused("f.npz", r"float32 \(2, 2\), expected")
    np.save(predictions / "g.npy", np.zeros(3))
    refused("g.npy", r"g.npy: float64 \(3,\), expected one array: integers")
    scores = np.zeros(data.test_targets.shape)
    scores[1, 0] = np.nan
    np.save(predictions / "h.npy", scores)
    refused("h.npy", "h.npy: row 1: a score is NaN")


def test_the_truth_as_a_file_is_perfect_or_refused(predictions, data, planted, ramen_here):
    """As integers, 0s and 1s were read as labels 0 and 1: P@1 of the truth was next to nothing."""
    dense = data.test_targets.toarray() > 0
    np.save(predictions / "truth.npy", dense.astype(int))
    done = ramen_here("eval", "--data", planted, "--predictions", predictions / "truth.npy")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"{predictions / 'truth.npy'}: 0s and 1s, a column for each label: integers are label" in done.stderr
    has_any = 100 * dense.any(1).mean()
    for dtype in (bool, np.float32):
        np.save(predictions / "truth.npy", dense.astype(dtype))
        assert evaluate_predictions(predictions / "truth.npy", data)["test"]["P@1"] == pytest.approx(has_any)


def test_dense_scores_in_a_file_are_as_sparse_ones(predictions, data):
    sparse = sp.load_npz(predictions / "scores.npz").toarray()
    np.save(predictions / "scores.npy", np.where(sparse, sparse, -np.inf))
    found = [evaluate_predictions(predictions / f"scores.{ending}", data)["test"] for ending in ("npy", "npz")]
    assert found[0] == found[1]
