"""What a search by held-out points chooses, with real scorers on the planted set."""

from dataclasses import replace

import numpy as np
import pytest

from ramen.scorers.dense.scorer import DenseParams
from ramen.scorers.dense.search import _best_start
from ramen.scorers.registry import SCORERS
from ramen.scorers.sparse.scorer import SparseParams
from ramen.training.held_out import METRICS, HeldOut
from ramen.training.judge import HeldOutJudge
from ramen.training.model import Params
from ramen.training.train import search, search_and_fit

START_WEIGHTS = {name: kind.start_weight for name, kind in SCORERS.items()}
LIGHT = {"encoder", "neighbours"}
SET_WITHOUT = "no training points to hold out"


@pytest.fixture
def searched(make_material, make_run):
    """A function of settings: what the search chooses with an untrained encoder, the model, and the log's lines."""

    def run(*overrides):
        material, folder = make_material("training.epochs=0", *overrides), make_run()
        return *search(material.data, material.split, material.encoder, folder), folder.log

    return run


def of_sparse(log):
    """Lines of the sparse scorer's trials."""
    return [line for line in log if line.get("scorer") == "sparse" and "C" in line]


def test_every_part_is_chosen_and_logged(searched):
    params, model, log = searched()
    assert set(params.ranker.figures) == set(METRICS)
    assert max(params.ranker.weights.values()) == 1.0 and set(params.ranker.weights) <= set(START_WEIGHTS)
    assert set(params.scorers) == set(model.scorers) == set(params.ranker.weights)
    assert "dense" not in params.scorers or 1 <= params.scorers["dense"].epochs <= 2
    assert "sparse" not in params.scorers or isinstance(params.scorers["sparse"], SparseParams)
    assert all(scorer.params == params.scorers[name] for name, scorer in model.scorers.items())
    trials = of_sparse(log)
    assert 3 <= len(trials) <= 4 and len({line["C"] for line in trials}) >= 2
    assert any(line["anchors"] for line in trials) and not all(line["anchors"] for line in trials)
    assert any(line.get("epoch") == 1 for line in log)


def test_the_same_again_is_the_same(searched):
    assert searched()[0] == searched()[0]


def test_what_is_chosen_survives_json(searched, make_run):
    params, run = searched()[0], make_run()
    assert run.once("params", Params.read, lambda: params) == params
    assert run.once("params", Params.read, lambda: pytest.fail("searched again")) == params


def test_the_best_sparse_scorer_of_those_tried_is_taken(searched):
    params, _, log = searched("dense.epochs=0")
    trials = of_sparse(log)
    value = {id(line): line["P@1"] * line["P@5"] * line["PSP@5"] * line["R@10"] for line in trials}
    best = max(trials, key=lambda line: value[id(line)])
    taken = params.scorers["sparse"]
    facts = {**vars(taken), "anchors": "+".join(taken.anchors)}
    line = next(line for line in trials if all(line[key] == facts[key] for key in facts))
    assert value[id(line)] >= 0.95 * value[id(best)]


def test_classifiers_can_be_left_out(searched):
    params, model, _ = searched("dense.epochs=0", "sparse.passes=0", "network.updates=0")
    assert set(params.ranker.weights) == set(params.scorers) == set(model.scorers) == LIGHT


def test_the_encoder_is_kept_where_the_sum_is_better_without(searched, monkeypatch):
    monkeypatch.setattr(
        HeldOutJudge, "best_sum", lambda judge, scorers: judge.weigh({"neighbours": scorers["neighbours"]})
    )
    params, model, _ = searched("dense.epochs=0", "sparse.passes=0", "network.updates=0")
    assert params.ranker.weights == {"encoder": 0.0, "neighbours": 1.0} and params.ranker.trees is None
    assert set(params.scorers) == set(model.scorers) == {"encoder", "neighbours"}


def test_settings_of_the_sparse_scorer_can_be_held(searched):
    held = ["sparse.choose=false", "sparse.C=0.5", "sparse.prior=0", "sparse.features=words+pairs", "dense.epochs=0"]
    (line,) = of_sparse(searched(*held)[2])
    assert (line["features"], line["C"], line["prior"], line["anchors"]) == ("words+pairs", 0.5, 0.0, "links+noise")


def test_a_prior_of_0_stays_0(searched):
    log = searched("sparse.prior=0", "dense.epochs=0")[2]
    assert {line["prior"] for line in of_sparse(log)} == {0.0}


def test_a_value_at_the_end_of_its_range_is_said(searched, monkeypatch):
    weigh = HeldOutJudge._weigh
    values = iter(range(1, 99))

    def weighed(judge, gathered, scorers, start=None):
        """Every epoch is better than the last."""
        found = weigh(judge, gathered, scorers, start)
        if "dense" not in scorers:
            return found
        return replace(found, value=1000.0 * next(values), weights={**found.weights, "dense": 1.0})

    monkeypatch.setattr(HeldOutJudge, "_weigh", weighed)
    params, _, log = searched("sparse.passes=0")
    assert params.scorers["dense"] == DenseParams(2, "own")
    assert "dense.epochs: the best value is the largest allowed" in [line.get("note") for line in log]


def test_a_weight_at_the_end_of_its_range_is_said(searched, monkeypatch):
    best_sum = HeldOutJudge.best_sum

    def on_edge(judge, scorers):
        found = best_sum(judge, scorers)
        return replace(found, weights={**found.weights, "neighbours": 1 / 64})

    monkeypatch.setattr(HeldOutJudge, "best_sum", on_edge)
    log = searched("sparse.passes=0", "dense.epochs=0")[2]
    assert "weights at the end of their range: neighbours" in [line.get("note") for line in log]


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ([], {*SCORERS} - {"network"}),
        (["dense.epochs=0", "sparse.passes=0", "network.updates=0"], LIGHT),
    ],
)
def test_without_held_out_points_the_weights_are_those_at_the_start(make_material, make_run, overrides, names):
    material, run = make_material("validation.share=0", *overrides), make_run()
    params, model = search_and_fit(material.data, material.split, material.encoder, run)
    assert params.ranker.weights == {name: START_WEIGHTS[name] for name in names} and params.ranker.figures == {}
    assert any(SET_WITHOUT in line.get("note", "") for line in run.log)
    assert set(params.scorers) == set(model.scorers) == names
    assert "dense" not in names or params.scorers["dense"].epochs == 1


@pytest.mark.parametrize(
    ("values", "epochs", "tried"),
    [((1.0, 1.004), 0, 1), ((1.0, 1.1, 1.1), 1, 2), ((1.0, 1.1, 1.2, 1.2), 2, 3), ((1.0, 1.1, 1.2, 1.3), 3, 3)],
    ids=["no gain", "one epoch", "two epochs", "all epochs"],
)
def test_the_dense_scorer_is_trained_while_that_pays(searched, monkeypatch, values, epochs, tried):
    weigh, given = HeldOutJudge._weigh, iter(values[1:])

    def weighed(judge, gathered, scorers, start=None):
        found = weigh(judge, gathered, scorers, start)
        if "dense" not in scorers:
            return replace(found, value=values[0])
        return replace(found, value=next(given, 9.0), weights={**found.weights, "dense": 1.0})

    monkeypatch.setattr(HeldOutJudge, "_weigh", weighed)
    params, model, log = searched("dense.epochs=3", "sparse.passes=0")
    assert [line["epoch"] for line in log if "epoch" in line] == list(range(1, tried + 1))
    notes = [line["note"] for line in log if "dense" in line.get("note", "")]
    if epochs:
        assert params.scorers["dense"].epochs == epochs and "dense" in model.scorers
    else:
        assert "dense" not in params.scorers and "dense" not in model.scorers
        assert notes == ["the dense scorer is left out: after an epoch the sum gains less than 0.5 % with it"]


@pytest.mark.parametrize(
    ("prefers", "gain", "features"), [(True, 1.2, "words+pairs"), (True, 1.0, "words"), (False, 9.0, "words")]
)
def test_other_features_are_fitted_only_where_a_sample_of_labels_prefers_them(
    searched, monkeypatch, prefers, gain, features
):
    judged = HeldOutJudge.value

    def value(judge, scorers, weights):
        found, figures = judged(judge, scorers, weights)
        return (gain if scorers["sparse"].params.features == "words+pairs" else 1.0), figures

    monkeypatch.setattr("ramen.scorers.sparse.search.sample_prefers", lambda *asked: prefers)
    monkeypatch.setattr(HeldOutJudge, "value", value)
    params, _, log = searched("dense.epochs=0")
    assert {line["features"] for line in of_sparse(log)} == ({"words", "words+pairs"} if prefers else {"words"})
    assert "sparse" not in params.scorers or params.scorers["sparse"].features == features


def test_a_dense_scorer_starts_where_labels_rank_best(make_material):
    material, log = make_material(), []
    views = material.views()
    judge = HeldOutJudge(HeldOut.of(material.data, material.split), views, lambda **line: log.append(line))
    assert _best_start(views, judge) == "own" and not log
    mean = np.array(views.targets.T @ views.vectors, dtype=np.float32)
    views.starts = {"teacher": -mean, "own": mean}
    assert _best_start(views, judge) == "own" and log[0]["starts_from"] == "own"
    views.starts = {"teacher": mean, "own": mean}
    assert _best_start(views, judge) == "teacher"
