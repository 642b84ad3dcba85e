"""Tagging with a finished run, and what is said of a damaged one."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer

import ramen
from datasets import Dataset as Rows
from ramen.errors import InputError
from ramen.files import digest
from ramen.inference.run import write_metrics
from ramen.ranking.thresholds import Thresholds

TEXTS = ["lead acid battery\nwith a charger", "电池", "x " * 500, "ვ ჯ"]


@pytest.fixture(scope="module")
def tagger(finished_run):
    return ramen.Tagger.load(finished_run)


@pytest.fixture
def run(finished_run, tmp_path):
    """A copy of the finished run, to be damaged."""
    return shutil.copytree(finished_run, tmp_path / "run")


def test_labels_of_the_run_best_first(tagger, planted):
    labels = ramen.load_dataset(planted).labels
    titles = dict(zip(labels.uids, labels.titles, strict=True))
    tagged = tagger.tag(TEXTS, k=7)
    assert len(tagged) == len(TEXTS)
    for found in tagged:
        assert len({label["uid"] for label in found}) == 7
        keys = {"uid", "text", "score", "probability"}
        assert all(set(label) == keys and titles[label["uid"]] == label["text"] for label in found)
        chances = [label["probability"] for label in found]
        assert chances == sorted(chances, reverse=True) and 0 <= chances[-1] <= chances[0] <= 1
        scores = [label["score"] for label in found]
        assert all(type(score) is float for score in scores) and scores == sorted(scores, reverse=True)
    json.dumps(tagged)


def test_a_threshold_leaves_out_and_a_precision_is_one(tagger, planted):
    texts = ramen.load_dataset(planted).test.joined()[:40]
    whole = tagger.tag(texts)
    middle = sorted(label["probability"] for labels in whole for label in labels)[100]
    for labels, kept in zip(whole, tagger.tag(texts, k=5, threshold=middle), strict=True):
        assert kept == [label for label in labels if label["probability"] >= middle]
    assert [] in tagger.tag(texts, threshold=1.0)
    known = tagger.run.calibration
    reached = known.precisions[len(known.precisions) // 2]
    assert tagger.tag(texts, precision=reached) == tagger.tag(texts, threshold=known.threshold(reached))


def test_thresholds_chosen_in_training(tagger, planted):
    texts = ramen.load_dataset(planted).test.joined()[:40]
    chosen = tagger.run.thresholds
    assert 0 < chosen.common < 1
    assert tagger.tag(texts, threshold="auto") == tagger.tag(texts, threshold=chosen.common)
    everything = tagger.tag(texts, k=120)
    thresholds = dict(zip(tagger.run.uids, chosen.by_label(120).tolist(), strict=True))
    passing = [[one for one in labels if one["probability"] >= thresholds[one["uid"]]] for labels in everything]
    assert tagger.tag(texts, k=120, threshold="labels") == passing


def test_a_threshold_of_each_label_with_reasons(run):
    tagger = ramen.Tagger.load(run)
    plain = tagger.tag(TEXTS, k=4, why=True)
    middle = plain[0][1]
    by_label = np.zeros(len(tagger.run.uids), dtype=np.float32)
    by_label[tagger.run.uids.index(middle["uid"])] = 1.0
    tagger.run.thresholds = Thresholds(0.0, np.flatnonzero(by_label).tolist(), [1.0])
    kept = tagger.tag(TEXTS, k=4, threshold="labels", why=True)
    assert kept[0] == [label for label in plain[0] if label["uid"] != middle["uid"]]
    assert len(kept[0]) == 3


def test_a_run_from_before_thresholds_says_so(run):
    change_ranking(run, "thresholds")
    tagger = ramen.Tagger.load(run)
    assert tagger.tag(["x"], threshold=0.0)[0]
    with pytest.raises(InputError, match="has no thresholds: .* or an older version"):
        tagger.tag(["x"], threshold="auto")


def change_ranking(run, missing):
    """Leave out what an older version did not write."""
    ranking = run / "ranking" / "ranking.json"
    stored = json.loads(ranking.read_text())
    del stored[missing]
    ranking.write_text(json.dumps(stored))
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["blake2b"]["ranking/ranking.json"] = digest(ranking)
    (run / "manifest.json").write_text(json.dumps(manifest))


def test_a_threshold_alone_keeps_all_that_pass(tagger, planted, monkeypatch):
    texts = ramen.load_dataset(planted).test.joined()[:40]
    everything = tagger.tag(texts, k=120)
    low = sorted(label["probability"] for labels in everything for label in labels)[-400]
    passing = [[label for label in labels if label["probability"] >= low] for labels in everything]
    assert max(map(len, passing)) > 5
    assert [[one["uid"] for one in labels] for labels in tagger.tag(texts, threshold=low)] == [
        [one["uid"] for one in labels] for labels in passing
    ]
    assert {len(labels) for labels in tagger.tag(texts, threshold=0.0)} == {120}  # more than one scorer proposes
    monkeypatch.setattr("ramen.inference.tagger.MOST_LABELS", 110)
    assert {len(labels) for labels in tagger.tag(texts, threshold=0.0)} == {110}
    monkeypatch.setattr("ramen.inference.tagger._BATCH", 7)
    assert [len(labels) for labels in tagger.tag(texts, threshold=low)] == [*map(len, passing)]
    with pytest.raises(InputError, match="text 9: expected words, found an empty text"):
        tagger.tag([*texts[:8], ""], threshold=low)
    assert tagger.tag([], threshold=low) == []


def test_reasons_of_each_label(tagger):
    plain, explained = tagger.tag(TEXTS, k=4), tagger.tag(TEXTS, k=4, why=True)
    for labels, with_reasons in zip(plain, explained, strict=True):
        for label, record in zip(labels, with_reasons, strict=True):
            why = record.pop("why")
            assert sum(why["scorers"].values()) == pytest.approx(label["score"], abs=1e-4)
            assert record == label
    middle = plain[0][1]["probability"]
    kept = tagger.tag(TEXTS, threshold=middle, why=True)
    assert all("why" in label and label["probability"] >= middle for labels in kept for label in labels) and kept[0]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"threshold": 1.5}, "threshold 1.5: expected 0 to 1"),
        ({"threshold": "best"}, "threshold 'best': expected 0 to 1, 'auto' or 'labels'"),
        ({"threshold": float("nan")}, "threshold nan: expected 0 to 1"),
        ({"precision": 0}, "precision 0: expected above 0, at most 1"),
        ({"precision": 1.0}, "precision 1.0: validation reached 0."),
        ({"precision": 0.5, "threshold": 0.5}, "threshold and precision: found both, expected one of the two"),
    ],
)
def test_wrong_thresholds(tagger, asked, message):
    with pytest.raises(InputError, match=message):
        tagger.tag(["x"], **asked)


def test_a_run_without_probabilities_says_so(run):
    change_ranking(run, "calibration")
    tagger = ramen.Tagger.load(run)
    assert set(tagger.tag(["x"])[0][0]) == {"uid", "text", "score"}
    with pytest.raises(InputError, match="has no probabilities: validation had too few points"):
        tagger.tag(["x"], threshold=0.5)


def test_no_texts_and_more_labels_than_there_are(tagger):
    assert tagger.tag([]) == []
    assert len(tagger.tag(["x"], k=10_000)[0]) == 120
    assert len(tagger.tag(["x"])[0]) == 5


def test_texts_are_tagged_each_for_itself(tagger):
    for text, together in zip(TEXTS, tagger.tag(TEXTS), strict=True):
        alone = tagger.tag([text])[0]
        np.testing.assert_allclose([x["score"] for x in alone], [x["score"] for x in together], atol=1e-5)


@pytest.mark.parametrize(
    ("texts", "k", "message"),
    [
        ({"a": "text"}, 5, "texts: found dict, expected a list of texts"),
        (3, 5, "texts: found int, expected a list of texts"),
        (["good", ""], 5, "text 2: expected words, found an empty text"),
        ([" \n\t"], 5, "text 1: expected words, found an empty text"),
        (["good", None], 5, "text 2: expected a string, found NoneType"),
        (["good", float("nan")], 5, "text 2: expected a string, found a missing value (nan)"),
        (
            pd.Series(["good", pd.NA], index=[1, 0], dtype="string"),
            5,
            "text 2: expected a string, found a missing value (<NA>)",
        ),
        (pl.Series(["good", None]), 5, "text 2: expected a string, found NoneType"),
        (np.array(["good", np.nan], dtype=object), 5, "text 2: expected a string, found a missing value (nan)"),
        ([3], 5, "text 1: expected a string, found int"),
        (["x" * 1_000_001], 5, "text 1: expected at most 1,000,000 characters, found 1,000,001"),
        (["x"], 0, "k=0: expected a whole number of at least 1"),
        (["x"], -3, "k=-3: expected a whole number of at least 1"),
        (["x"], 1.5, "k=1.5: expected a whole number of at least 1"),
        (["x"], True, "k=True: expected a whole number of at least 1"),
        (["x"], np.float64(5), "expected a whole number of at least 1"),
        (["x"], np.int64(0), "expected a whole number of at least 1"),
        (["good", "a\ud800"], 5, "text 2: expected Unicode text, found a lone surrogate"),
    ],
)
def test_wrong_calls(tagger, texts, k, message):
    with pytest.raises(InputError) as caught:
        tagger.tag(texts, k)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "hold",
    [
        tuple,
        iter,
        np.array,
        lambda texts: pd.Series(texts, index=[3, 0, 2, 1]),
        lambda texts: pd.Series(["other", *texts], index=[0] * 5)[[False] + [True] * 4],
        pl.Series,
        lambda texts: Rows.from_dict({"text": texts})["text"],
    ],
    ids=["tuple", "generator", "array", "shuffled series", "filtered series", "polars", "datasets"],
)
def test_texts_may_be_in_whatever_holds_rows(tagger, hold):
    assert tagger.tag(hold(TEXTS), k=np.int64(3)) == tagger.tag(TEXTS, k=3)
    np.testing.assert_array_equal(tagger.rank(hold(TEXTS), 3)[0], tagger.rank(TEXTS, 3)[0])
    np.testing.assert_array_equal(tagger.encode(hold(TEXTS)), tagger.encode(TEXTS))
    np.testing.assert_array_equal(tagger.queries(hold(TEXTS)).vectors, tagger.queries(TEXTS).vectors)


def test_one_string_is_tagged_as_a_list_of_one_text(tagger):
    assert tagger.tag(TEXTS[0]) == tagger.tag([TEXTS[0]])
    for call in (lambda: tagger.rank(TEXTS[0], 5), lambda: tagger.encode(TEXTS[0])):
        with pytest.raises(InputError, match="texts: found one string, expected a list of texts"):
            call()


def test_what_is_no_text_is_not_encoded(tagger):
    with pytest.raises(InputError, match=r"text 2: expected a string, found a missing value \(nan\)"):
        tagger.encode(["good", float("nan")])


def test_a_million_characters_are_tagged(tagger):
    text = ("lead acid battery\n" * 60_000)[:1_000_000]
    assert len(text) == 1_000_000
    assert len(tagger.tag([text], k=3)[0]) == 3


def test_encode_equals_sentence_transformers(tagger, finished_run):
    expected = SentenceTransformer(str(finished_run / "encoder"), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(tagger.encode(TEXTS), expected, atol=1e-5)
    encoder = ramen.load_encoder(finished_run)
    assert isinstance(encoder, SentenceTransformer)
    np.testing.assert_array_equal(encoder.encode(TEXTS), expected)


def test_tagging_loads_no_training_code(finished_run):
    code = (
        "import sys, ramen\n"
        "assert len(ramen.Tagger.load(sys.argv[1]).tag(['x'])[0]) == 5\n"
        "heavy = ('torch', 'ramen.training', 'sentence_transformers')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(finished_run)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_evaluate_gives_what_training_wrote(finished_run, planted):
    stored = json.loads((finished_run / "metrics.json").read_text())
    assert ramen.evaluate(finished_run, planted)["test"] == pytest.approx(stored["test"])


def test_evaluate_measures_each_scorer_alone(finished_run, planted):
    stored = json.loads((finished_run / "metrics.json").read_text())
    assert "encoder" in stored["scorers"] and set(stored["scorers"]) == set(stored["chosen"]["weights"]) - {
        name for name, weight in stored["chosen"]["weights"].items() if not weight and name != "encoder"
    }
    for name, figures in stored["scorers"].items():
        alone = ramen.evaluate(finished_run, planted, scorer=name)
        assert alone["test"] == pytest.approx(figures) and alone["scorer"] == name and "scorers" not in alone
    before = (finished_run / "metrics.json").read_bytes()
    ramen.evaluate(finished_run, planted, scorer="encoder", save=True)
    assert (finished_run / "metrics.json").read_bytes() == before
    with pytest.raises(InputError, match="has no scorer 'encodre': did you mean 'encoder'?"):
        ramen.evaluate(finished_run, planted, scorer="encodre")


def test_evaluate_refuses_other_labels_and_a_missing_test_split(finished_run, small_set, planted, tmp_path):
    with pytest.raises(InputError, match=r"was trained on other labels \(120\) than .* has \(4\)"):
        ramen.evaluate(finished_run, small_set)
    for name in ("tst.json", "tst_X_Y.txt", "filter_labels_test.txt"):
        (small_set / name).unlink()
    with pytest.raises(InputError, match="has no test split to evaluate on"):
        ramen.evaluate(finished_run, small_set)


def files_of(folder):
    return sorted(json.loads((folder / "manifest.json").read_text())["blake2b"])


def test_the_manifest_covers_everything_that_tagging_reads(finished_run):
    found = {str(path.relative_to(finished_run)) for path in finished_run.rglob("*") if path.is_file()}
    beside = {"manifest.json", "metrics.json", "log.jsonl", "config.yaml", "README.md"}
    assert found - set(files_of(finished_run)) == beside


@pytest.mark.parametrize("load", [ramen.Tagger.load, ramen.load_encoder], ids=["Tagger", "load_encoder"])
def test_every_missing_or_altered_file_is_named(run, load):
    for name in files_of(run):
        path = run / name
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(InputError, match=f"{name}: missing"):
            load(run)
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(InputError, match=f"{name}: altered since training"):
            load(run)
        path.write_bytes(whole)
    load(run)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ('{"format": 6, "blake2b": {}}', "found a run of format 6, expected 5: update ramen"),
        ('{"format": 1, "blake2b": {}}', "expected 5; train it again: ramen train DATA --out NEW"),
        (
            '{"format": 5, "scorers": ["sparze"], "blake2b": {}}',
            "manifest.json: unknown scorer 'sparze': did you mean 'sparse'?",
        ),
        (
            '{"format": 5, "scorers": ["sparse"], "blake2b": {"scorers/dense/vectors.safetensors": ""}}',
            "lists no file of the scorer 'sparse', expected some in scorers/sparse",
        ),
        (
            '{"format": 5, "scorers": [], "blake2b": {}}',
            "lists no scorer, expected one or more of encoder, neighbours, sparse, network, dense",
        ),
        ('{"format": 5, "blake2b": {}}', "not a manifest of a run"),
        ("", "not a manifest of a run"),
        ("[]", "not a manifest of a run"),
        ("{}", "not a manifest of a run"),
        ('{"format": 5, "scorers": ["dense"], "blake2b": [1]}', "not a manifest of a run"),
        ('{"format": 5, "blake2b": {}', "not a manifest of a run"),
    ],
)
def test_damaged_manifests(run, manifest, message):
    (run / "manifest.json").write_text(manifest)
    with pytest.raises(InputError) as caught:
        ramen.Tagger.load(run)
    assert message in str(caught.value) and str(run) in str(caught.value)


def test_what_is_no_finished_run(run, tmp_path):
    (run / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"an unfinished run \(ramen train --resume\)"):
        ramen.Tagger.load(run)
    (run / "config.yaml").unlink()
    with pytest.raises(InputError, match="found no run"):
        ramen.Tagger.load(run)
    with pytest.raises(InputError, match="expected a run folder, found a file"):
        ramen.Tagger.load(run / "metrics.json")
    with pytest.raises(InputError, match="expected a run folder, found nothing"):
        ramen.Tagger.load(tmp_path / "none")


@pytest.mark.parametrize("stored", ["{", "[1]", "\x00"])
def test_damaged_figures_are_named_and_left(tmp_path, stored):
    path = tmp_path / "metrics.json"
    path.write_text(stored)
    with pytest.raises(InputError, match=r"metrics\.json: not the figures of a run"):
        write_metrics(tmp_path, {"test": {}})
    assert path.read_text() == stored


def test_a_scorer_of_another_number_of_labels_is_named(planted, quick, tmp_path):
    """Files exchanged by hand, with hashes to match."""
    overrides = [*quick, "validation.share=0", "sparse.passes=0"]  # so the dense scorer takes part
    run = ramen.train(planted, out=tmp_path / "run", graphs="none", overrides=overrides)
    path = run / "scorers/dense/vectors.safetensors"
    stored = load_file(path)
    save_file({**stored, "vectors": stored["vectors"][:-1]}, path)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["blake2b"]["scorers/dense/vectors.safetensors"] = digest(path)
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="scorers/dense: found 119 labels, expected 120 as in labels.jsonl.gz"):
        ramen.Tagger.load(run)
