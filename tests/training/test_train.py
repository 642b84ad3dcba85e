"""Whole runs: that nothing is trained or fitted twice that need not be."""

import json

import numpy as np
import pytest

import ramen
from ramen.inference.run import load_run
from ramen.training import train as module


def log_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_nothing_is_trained_twice_and_the_times_add_up(planted, searching, tmp_path):
    run = ramen.train(planted, out=tmp_path / "run", graphs="links", overrides=[*searching, "sparse.choose=false"])
    log = log_of(run)
    compared = [at for at, line in enumerate(log) if "lambda_scale" in line]
    epochs = [at for at, line in enumerate(log) if line["stage"] == "encoder"]
    assert len(compared) in (2, 3)  # without, with, and perhaps with other weights
    first = [at for at in epochs if log[at]["epoch"] == 1]
    assert len(first) == len(compared) + 1  # and a few epochs on all points
    names = [log[at]["training"] for at in first]
    assert names[:2] == ["without graphs", "with graphs"] and names[-1] == "on all points"
    refitted = len([at for at in epochs if at >= first[-1]])
    assert refitted < len([at for at in epochs if at < compared[0]]) / 2
    seconds = log[-1]["seconds"]
    assert log[-1]["stage"] == "time" and sum(seconds.values()) == pytest.approx(log[-1]["elapsed"], abs=1.0)
    assert seconds["other"] < 0.1 * sum(seconds.values())
    assert {"prepare", "train encoder", "search sparse", "fit sparse", "learn to rank", "save", "evaluate"} <= set(
        seconds
    )


def test_without_refitting_a_run_keeps_what_the_search_fitted(planted, quick, tmp_path, monkeypatch):
    searched, search = [], module.search

    def keep(*asked):
        searched.append(search(*asked))
        return searched[-1]

    monkeypatch.setattr(module, "search", keep)
    monkeypatch.setattr(module, "fit", lambda *asked: pytest.fail("fitted again"))
    run = ramen.train(planted, out=tmp_path / "run", overrides=[*quick, "validation.refit=false"])
    ((params, model),) = searched
    metrics, scorers = json.loads((run / "metrics.json").read_text()), load_run(run).ranker.scorers
    assert set(scorers) == set(model.scorers) == set(metrics["chosen"]["scorers"])
    assert metrics["chosen"]["weights"] == params.ranker.weights
    np.testing.assert_array_equal(scorers["encoder"].weights.vectors, model.scorers["encoder"].weights.vectors)
    if "sparse" in scorers:
        assert (scorers["sparse"].classifier.weights != model.scorers["sparse"].classifier.weights).nnz == 0
    held_out = len(ramen.load_dataset(planted).train) - len(model.views.rows)
    assert held_out > 0
    epochs = [line["epoch"] for line in log_of(run) if line["stage"] == "encoder"]
    assert epochs == sorted(set(epochs))
    texts = ["battery charger", "pump"]
    vectors = model.encoder.encode(model.encoder.tokenize(texts)).numpy()
    np.testing.assert_allclose(ramen.load_encoder(run).encode(texts), vectors, atol=2e-6)


def test_with_refitting_a_run_is_fitted_on_all_points(planted, quick, tmp_path, monkeypatch):
    fitted, fit = [], module.fit

    def keep(*asked):
        fitted.append(fit(*asked))
        return fitted[-1]

    monkeypatch.setattr(module, "fit", keep)
    ramen.train(planted, out=tmp_path / "run", overrides=quick)
    (model,) = fitted
    dataset = ramen.load_dataset(planted)
    assert len(model.views.rows) == int((dataset.train_targets.getnnz(1) > 0).sum())


def test_a_run_can_be_measured_on_some_test_points(planted, quick, tmp_path):
    settings = [*quick, "data.test_points=10", "sparse.passes=0", "dense.epochs=0"]
    run = ramen.train(planted, out=tmp_path / "run", graphs="none", overrides=settings)
    assert json.loads((run / "metrics.json").read_text())["points"] == 10
    n_test = len(ramen.load_dataset(planted).test)
    (note,) = [line["note"] for line in log_of(run) if line["stage"] == "evaluate"]
    assert note == f"measured on 10 of {n_test} test points (data.test_points); ramen eval measures all"
    assert ramen.evaluate(run, planted)["points"] == n_test
