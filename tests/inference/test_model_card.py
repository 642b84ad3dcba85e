"""The card of a run: what it says, that the hub's library reads it, and that people may edit it."""

import json
import shutil

import pytest
import yaml

import ramen
from ramen.data.dataset import Card
from ramen.errors import InputError
from ramen.inference.check import check_folder
from ramen.inference.model_card import CARD, data_facts, model_card, write_card
from ramen.inference.run import write_metrics
from ramen.training.run_folder import RunFolder


@pytest.fixture
def run(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "run")


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_training_writes_it_with_figures_data_and_settings(finished_run, planted):
    card, figures = (finished_run / CARD).read_text(), json.loads((finished_run / "metrics.json").read_text())
    head = front_matter(card)
    assert head["library_name"] == "ramen" and "extreme-classification" in head["tags"]
    (entry,) = head["model-index"]
    values = {one["name"]: one["value"] for one in entry["results"][0]["metrics"]}
    expected = {name: figures["test"][name] for name in ("P@1", "P@5", "nDCG@5", "PSP@5", "R@10")}
    f1 = figures["f1"]
    expected |= {"micro-F1": f1["auto"]["micro-F1"], "macro-F1": f1["labels"]["macro-F1"]}
    assert values == {name: round(value, 2) for name, value in expected.items()}
    low, high = figures["intervals"]["P@5"]
    assert f"| P@5 | {figures['test']['P@5']:.1f} | {low:.1f} to {high:.1f} |" in card
    data = ramen.load_dataset(planted)
    assert f"{len(data.train)} training points" in card and "licence: generated; no third-party text" in card
    assert "`static`, 0" in card and "`training.epochs=3`" in card and "graphs in training: encoder: " in card
    assert "scorers: " + ", ".join(json.loads((finished_run / "manifest.json").read_text())["scorers"]) in card
    backbone = [line for line in card.splitlines() if "encoder.backbone" in line]
    assert "`encoder.backbone=tiny-bert`" in backbone[0]  # no path of this machine
    assert "ramen.load(" in card and "## Safety" in card


def test_the_library_of_the_hub_reads_it(finished_run):
    from huggingface_hub import ModelCard

    data = ModelCard((finished_run / CARD).read_text()).data
    assert data.library_name == "ramen" and data.eval_results[0].metric_name == "P@1"


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("", {}),
        ("CC BY-SA 4.0", {"license": "cc-by-sa-4.0"}),
        ("MIT", {"license": "mit"}),
        ("of the owner: ask\nthem", {"license": "other", "license_name": "of-the-owner-ask-them"}),
    ],
)
def test_the_licence_is_one_that_the_hub_knows_or_another_by_name(run, planted, licence, expected):
    data = ramen.load_dataset(planted)
    data.card = Card("mine | <b>", licence=licence, title="a `set`")
    write_metrics(run, {"data": data_facts(data)})
    card = model_card(run)
    head = front_matter(card)
    assert {key: head[key] for key in head if key.startswith("license")} == expected
    assert "mine \\| \\<b\\>: a \\`set\\`" in card


def test_people_may_edit_or_remove_it(run):
    (run / CARD).write_text("# Mine\n")
    ramen.Tagger.load(run)
    check_folder(run)
    write_card(run)
    assert (run / CARD).read_text() == "# Mine\n"
    (run / CARD).unlink()
    check_folder(run)
    write_card(run)
    assert (run / CARD).read_text() == model_card(run)


def test_f1_is_shown_at_the_thresholds_that_were_chosen_for_it(run):
    f1 = {
        "auto": {"threshold": 0.3125, "micro-F1": 61.25, "macro-F1": 40.0, "labels per text": 2.3},
        "labels": {"micro-F1": 60.0, "macro-F1": 42.75, "labels per text": 2.6},
    }
    write_metrics(run, {"f1": f1})
    card = model_card(run)
    assert "| micro-F1 | 61.2 |  |\n| macro-F1 | 42.8 |  |\n" in card
    assert 'for micro-F1 a probability of 0.312 (`threshold="auto"`, ' in card and "2.3 labels per text" in card
    metrics = front_matter(card)["model-index"][0]["results"][0]["metrics"]
    assert [one["value"] for one in metrics if one["name"].endswith("F1")] == [61.25, 42.75]


def test_without_figures_it_says_so(run):
    path = run / "metrics.json"
    path.write_text("{}")
    card = model_card(run)
    assert "nothing was measured" in card and "## Data" not in card and "metrics" not in front_matter(card)
    path.write_text("[]")
    with pytest.raises(InputError, match="metrics.json: found list, expected the figures of a run"):
        model_card(run)


def test_a_run_that_was_killed_before_it_was_measured_has_a_card_of_its_data(planted, quick, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "evaluate", stop)
    with pytest.raises(KeyboardInterrupt):
        ramen.train(planted, out=tmp_path / "run", overrides=[*quick, "network.updates=0"])
    ramen.load(tmp_path / "run").save_pretrained(tmp_path / "copy")
    card = (tmp_path / "copy" / CARD).read_text()
    assert "licence: generated; no third-party text" in card
    assert "Nothing has been measured on the test split yet" in card
