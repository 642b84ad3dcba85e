"""What validation chooses, with real scorers on the planted set."""

from dataclasses import replace

import pytest
from ramen.training.choose import _Search, choose, without_validation

from ramen.scorers.sparse.search import SparseChoice
from ramen.training.held_out import WATCHED, Validation
from ramen.training.judge import START
from ramen.training.ranker_search import choose_ranking


class Lines(list):
    def __call__(self, **figures):
        self.append(figures)


def test_every_part_is_chosen_and_logged(make_fitter):
    log = Lines()
    choice, figures = choose(make_fitter(), log)
    assert set(figures) == set(WATCHED)
    assert max(choice.weights.values()) == 1.0 and set(choice.weights) <= {"encoder", "neighbours", "sparse", "head"}
    assert 0 <= choice.head_epochs <= 2 and bool(choice.head_epochs) == ("head" in choice.scorers)
    assert isinstance(choice.sparse, SparseChoice) == ("sparse" in choice.weights)
    alone = [line for line in log if line.get("scorer") == "sparse"]
    assert {line["features"] for line in alone} == {"words", "words+pairs"}
    assert len({line["C"] for line in alone}) >= 3 and len({line["prior"] for line in alone}) >= 3
    assert any(line["anchors"] for line in alone) and not all(line["anchors"] for line in alone)
    assert any(line.get("epoch") == 1 for line in log)


def test_the_same_again_is_the_same(make_fitter):
    assert choose(make_fitter(), Lines()) == choose(make_fitter(), Lines())


def test_the_best_sparse_head_of_those_tried_is_taken(make_fitter):
    log = Lines()
    choice, _ = choose(make_fitter("head.epochs=0"), log)
    alone = [line for line in log if line.get("scorer") == "sparse"]
    value = {id(line): line["P@1"] * line["P@5"] * line["PSP@5"] * line["R@10"] for line in alone}
    best = max(alone, key=lambda line: value[id(line)])
    (joined,) = [line for line in log if "features" in line and "scorer" not in line]
    taken = [line for line in alone if all(line[key] == joined[key] for key in ("features", "C", "prior", "anchors"))]
    assert value[id(taken[0])] >= 0.95 * value[id(best)]
    assert choice.sparse is None or choice.sparse.C == joined["C"]


def test_heads_can_be_left_out(make_fitter):
    choice, _ = choose(make_fitter("head.epochs=0", "sparse.passes=0"), Lines())
    assert set(choice.weights) == {"encoder", "neighbours"}
    assert choice.head_epochs == 0 and choice.sparse is None


def test_settings_of_the_sparse_head_can_be_held(make_fitter):
    log = Lines()
    held = ["sparse.choose=false", "sparse.C=0.5", "sparse.prior=0", "sparse.features=words+pairs", "head.epochs=0"]
    choose(make_fitter(*held), log)
    (line,) = [line for line in log if line.get("scorer") == "sparse"]
    assert (line["features"], line["C"], line["prior"], line["anchors"]) == ("words+pairs", 0.5, 0.0, "links+noise")


def test_a_prior_of_0_stays_0(make_fitter):
    log = Lines()
    choose(make_fitter("sparse.prior=0", "head.epochs=0"), log)
    assert {line["prior"] for line in log if line.get("scorer") == "sparse"} == {0.0}


def test_a_value_at_the_end_of_its_range_is_said(make_fitter, monkeypatch):
    def keep(search):
        search.best = search.try_out()

    monkeypatch.setattr("ramen.training.choose._Search.temperature", keep)
    values = iter(range(9))  # every epoch is better than the last
    judge = Validation.judge_weights
    monkeypatch.setattr(Validation, "judge_weights", lambda *asked: (next(values), judge(*asked)[1]))
    monkeypatch.setattr("ramen.training.judge._FACTORS", ())
    log = Lines()
    assert choose(make_fitter("sparse.passes=0"), log)[0].head_epochs == 2
    assert "chosen at the edge of its range: head.epochs" in [line.get("note") for line in log]


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ([], {"encoder", "neighbours", "sparse", "head"}),
        (["head.epochs=0", "sparse.passes=0"], {"encoder", "neighbours"}),
    ],
)
def test_without_validation_the_weights_are_those_at_the_start(make_fitter, overrides, names):
    log = Lines()
    fitter = make_fitter("validation.share=0", *overrides)
    choice, figures = without_validation(fitter.config, log)
    assert choice.weights == {name: START[name] for name in names} and figures == {}
    assert "no training points to hold out" in log[0]["note"]
    assert set(fitter.scorers(choice, log)) == names


@pytest.mark.parametrize(("gain", "is_kept"), [(1.1, True), (1.0, False)])
def test_a_head_that_the_weighted_sum_does_without_is_kept_where_trees_rank_better(
    make_fitter, monkeypatch, gain, is_kept
):
    try_out = _Search.try_out
    outcomes = iter([(0.0, 1.0), (99.0, 0.0)])  # of an epoch: worse, or better by the weights of the others

    def tried(search, **changed):
        found = try_out(search, **changed)
        if "head" not in changed:
            return found
        value, weight = next(outcomes)
        return replace(found, value=value, weights={**found.weights, "head": weight})

    monkeypatch.setattr(_Search, "try_out", tried)
    monkeypatch.setattr(
        "ramen.training.choose.learned_value", lambda validation, gathered, *rest: gain ** ("head" in gathered.scores)
    )
    asked = []

    def ranked(validation, gathered, *rest):
        asked.append(set(gathered.scores))
        return choose_ranking(validation, gathered, *rest)

    monkeypatch.setattr("ramen.training.choose.choose_ranking", ranked)
    log = Lines()
    choice, _ = choose(make_fitter("head.epochs=3", "sparse.choose=false"), log)
    assert [line["epoch"] for line in log if "epoch" in line] == [1, 2]
    assert [line["head"] for line in log if "head" in line] == ["kept" if is_kept else "left out"]
    assert ("head" in asked[0]) == is_kept and "head" not in choice.weights
    assert choice.head_epochs == (2 if is_kept and choice.ranking.trees else 0)
