"""The story of a training, from the lines of its log alone."""

import json

import pytest

import ramen
from ramen.config import load_config
from ramen.data import load_dataset
from ramen.errors import InputError
from ramen.training.stages import stages_of
from ramen.training.story import Story
from ramen.training.story_words import decisions


def told(lines):
    """The story of some lines."""
    heard = []
    story = Story(heard.append)
    for line in lines:
        story(line)
    return "\n".join(heard)


def test_a_real_log_becomes_a_plan_stages_decisions_and_a_table(finished_run):
    log = [json.loads(line) for line in (finished_run / "log.jsonl").read_text().splitlines()]
    story = told(log)
    assert "plan, with estimated shares of the time\n  1 of 7  read and check the data" in story
    at = [story.index(f"stage {number} of 7: ") for number in range(2, 8)]
    assert at == sorted(at)
    assert (
        "stage 6 of 7: train again, now on all points" in story
        and "the graphs " in story
        and "the dense scorer " in story
    )
    metrics = json.loads((finished_run / "metrics.json").read_text())
    (joint,) = [line for line in story.partition("test split,")[2].splitlines() if line.startswith("  joint ")]
    assert joint.split()[1:] == [f"{metrics['test'][name]:.1f}" for name in ("P@1", "P@5", "nDCG@5", "PSP@5", "R@10")]
    f1 = metrics["f1"]["auto"]
    assert f"\n  micro-F1 {f1['micro-F1']:.1f} (precision {f1['micro-precision']:.1f}, recall " in story
    assert f"with the labels from probability {f1['threshold']:.3f} on (--threshold auto)" in story
    assert all(f"\n  {name} " in story for name in metrics["scorers"])
    assert f"the run is in {finished_run}" in story and f"next: ramen serve {finished_run}" in story
    assert "in all" in story and all(c.isprintable() or c == "\n" for c in story)


@pytest.mark.parametrize("verbose, in_it", [(0, ""), (1, "plan, with estimated"), (2, "stage encoder  ")])
def test_verbose_says_how_much_is_told(planted, quick, tmp_path, capsys, verbose, in_it):
    heard = []
    settings = [*quick, "graph.lambda=fixed", "dense.epochs=0"]
    run = ramen.train(planted, out=tmp_path / "run", overrides=settings, verbose=verbose, on_log=heard.append)
    said = capsys.readouterr()
    assert said.out == "" and in_it in said.err and (verbose or said.err == "")
    assert heard == [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert heard[0]["stage"] == "plan" and heard[0]["settings"]["training.epochs"] == 3


@pytest.mark.parametrize("named, message", [({"verbose": 3}, "verbose=3: expected 0, 1 or 2"),
                                            ({"on_log": "mlflow"}, "on_log='mlflow': expected something")])  # fmt: skip
def test_a_wrong_audience_is_refused_before_anything_is_made(planted, tmp_path, named, message):
    with pytest.raises(InputError, match=message):
        ramen.train(planted, out=tmp_path / "run", **named)
    assert not (tmp_path / "run").exists()


def test_what_listens_is_closed_after_a_failure_too(planted, quick, tmp_path):
    closed = []

    class Failing:
        def __call__(self, figures):
            raise ZeroDivisionError

        def close(self):
            closed.append(True)

    with pytest.raises(ZeroDivisionError):
        ramen.train(planted, out=tmp_path / "run", overrides=quick, on_log=Failing(), verbose=0)
    assert closed == [True]


def test_a_resumed_run_says_what_was_done_before():
    stages = [{"name": name, "does": f"do {name}", "share": 0.2} for name in ("a", "b", "c", "d", "e")]
    sizes = {"points": 10, "test_points": 0, "labels": 3, "pairs": 20, "graphs": [], "preset": "static"}
    lines = [{"stage": "plan", **sizes, "stages": stages}, {"stage": "begin", "name": "b", "elapsed": 1.0},
             {"stage": "begin", "name": "e", "elapsed": 100.0}]  # fmt: skip
    story = told(lines)
    assert "stage 2 of 5: do b\n\nstages 3 to 4: done before\nstage 5 of 5: do e" in story
    assert "2.0 per text; no graphs" in story and "no test split" in story


def test_the_time_that_is_left_is_said_where_it_can_be_estimated():
    stages = [{"name": name, "does": name, "share": share} for name, share in (("a", 0.1), ("b", 0.4), ("c", 0.5))]
    sizes = {"points": 10, "test_points": 0, "labels": 3, "pairs": 20, "graphs": [], "preset": "static"}
    story = told([{"stage": "plan", **sizes, "stages": stages}, {"stage": "begin", "name": "b", "elapsed": 9.0},
                  {"stage": "begin", "name": "c", "elapsed": 90.0}])  # fmt: skip
    assert "stage 2 of 3: b\n" in story and "stage 3 of 3: c (about 1 min 30 s left)" in story


GRAPHS = {"stage": "search", "decision": "graphs", "value": 38.7, "value_without": 39.0, "behind_in": [], "note": "x"}


@pytest.mark.parametrize("line, said", [
    ({**GRAPHS, "kept": False, "errors": -0.8},
     "the graphs were left out of the encoder: the joint ranking of the held-out points is 0.3 worse with them (0.8 "
     "standard errors)"),
    ({**GRAPHS, "kept": False, "value": 39.2, "errors": 0.4}, "0.2 better with them (0.4 standard errors), which may"),
    ({**GRAPHS, "kept": True, "value": 40.0, "errors": 2.0},
     "the graphs are used: the joint ranking of the held-out points is 1.0 better with them (2.0 standard errors)"),
    ({**GRAPHS, "kept": False, "value": 40.0, "errors": 2.0, "behind_in": ["P@1"]}, "; P@1 clearly worse"),
    ({"stage": "search", "decision": "dense", "kept": False, "value": 38.6, "value_without": 39.0},
     "the dense scorer was left out: without it validation is 0.4 better"),
    ({"stage": "search", "decision": "dense", "kept": False, "value": 39.1, "value_without": 39.0},
     "left out: validation is only 0.1 better with it"),
    ({"stage": "search", "decision": "dense", "kept": False, "value": 39.04, "value_without": 39.0},
     "left out: validation is no better with it"),
    ({"stage": "search", "decision": "dense", "kept": True, "epochs": 2, "value": 41.0, "value_without": 39.0},
     "the dense scorer is used, after 2 epochs: with it validation is 2.0 better"),
    ({"stage": "search", "decision": "sum", "weights": {"sparse": 1.0}, "left_out": ["encoder"], "value": 1.0},
     "weighted sum: sparse 1; encoder left out, as the sum is no better with it"),
    ({"stage": "rank", "warning": "sparse alone has a higher P@1"}, "warning: sparse alone has a higher P@1"),
    ({"stage": "prepare", "note": "trained in float32"}, "trained in float32"),
    ({"stage": "prune", "epoch": 5, "edges": 3}, ""),
])  # fmt: skip
def test_decisions_are_said_in_words(line, said):
    assert said in told([line]) and bool(said) == bool(told([line]))


def test_the_stages_are_those_of_the_settings(planted):
    data = load_dataset(planted)

    def names(*overrides, preset="static"):
        stages = stages_of(load_config(preset, overrides), data)
        assert sum(stage.share for stage in stages) == pytest.approx(1.0) and min(s.share for s in stages) > 0
        return [stage.name for stage in stages]

    assert names() == ["read", "prepare", "encoder", "scorers", "rank", "refit", "save"]
    assert names("validation.refit=false") == ["read", "prepare", "encoder", "scorers", "rank", "save"]
    assert names("validation.share=0") == ["read", "prepare", "encoder", "refit", "save"]
    shares = [{stage.name: stage.share for stage in stages_of(load_config("static", words), data)}
              for words in ([], ["network.updates=0"])]  # fmt: skip
    assert shares[0]["scorers"] > shares[1]["scorers"] and shares[0]["save"] < shares[1]["save"]
    does = {stage.name: stage.does for stage in stages_of(load_config("words"), data)}
    assert does["encoder"] == "encode the texts"


def test_decisions_are_read_from_a_log_once_each(tmp_path):
    log = tmp_path / "log.jsonl"
    assert decisions(log) == []
    dense = {"stage": "search", "decision": "dense", "kept": True, "value": 40.0, "value_without": 39.0}
    lines = [[1], dense, {"stage": "encoder"}, {**dense, "kept": False, "value": 39.1}]
    log.write_text("\n".join(map(json.dumps, lines)) + '\n{"stage": "enco')
    assert decisions(log) == [
        "the dense scorer was left out: validation is only 0.1 better with it (39.1 with it, 39.0 without)"
    ]
