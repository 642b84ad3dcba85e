"""Reasons for labels that are named, among the best or not."""

import shutil

import numpy as np
import pytest

import ramen
from ramen.errors import InputError
from ramen.inference.explain import rows_of_labels
from ramen.inference.labels import add_labels, remove_labels

TEXTS = ["lead acid battery", "a charger for phones"]


@pytest.fixture(scope="module", params=["finished_run", "learned_run"])
def tagger(request):
    return ramen.Tagger.load(request.getfixturevalue(request.param))


def total(record):
    return sum(record["why"]["scorers"].values())


def test_without_names_it_explains_the_best(tagger):
    assert tagger.explain(TEXTS, k=3) == tagger.tag(TEXTS, 3, why=True)


def test_named_labels_among_the_best_have_the_reasons_and_scores_of_tagging(tagger):
    for text in TEXTS:
        expected = tagger.tag([text], 4, why=True)[0][::-1]
        found = tagger.explain(text, [label["uid"] for label in expected])[0]
        assert [one["uid"] for one in found] == [one["uid"] for one in expected]
        for ours, theirs in zip(found, expected, strict=True):
            assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4)
            assert ours["probability"] == pytest.approx(theirs["probability"], abs=1e-4)
            assert ours["why"]["words"] == theirs["why"]["words"]
            assert ours["why"]["scorers"] == pytest.approx(theirs["why"]["scorers"], abs=1e-4)


def test_a_label_that_nobody_proposes_is_explained(tagger, monkeypatch):
    monkeypatch.setattr("ramen.ranking.ranker.CANDIDATES", 5)
    ranked = [label["uid"] for label in tagger.tag(TEXTS[:1], 120)[0]]
    best, last = tagger.explain(TEXTS[:1], [ranked[0], ranked[-1]])[0]
    assert last["uid"] == ranked[-1] and last["score"] < best["score"]
    for record in (best, last):
        assert np.isfinite(record["score"]) and total(record) == pytest.approx(record["score"], abs=1e-4)
    # Beside other labels the best keeps the score that tagging gives it.
    assert best["score"] == pytest.approx(tagger.tag(TEXTS[:1], 1)[0][0]["score"], abs=1e-4)


def test_each_text_may_have_its_own_labels(tagger):
    uids = list(tagger.run.uids[:3])
    found = tagger.explain(TEXTS, [uids[:1], uids])
    assert [[one["uid"] for one in of_text] for of_text in found] == [uids[:1], uids]
    assert tagger.explain(TEXTS, [[], uids[:2]])[0] == []
    assert tagger.explain(TEXTS, []) == [[], []] and tagger.explain([], uids) == []
    both = tagger.explain(TEXTS[1:], uids)[0]
    assert [one["score"] for one in found[1]] == pytest.approx([one["score"] for one in both], abs=1e-4)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["label-000003"], "has no label 'label-000003': did you mean"),
        (["label-0000003", "label-0000003"], "labels of text 1: found 'label-0000003' twice"),
        ([["label-0000003"]], "labels: found 1 lists, expected 2 as there are texts"),
        ([["label-0000003"], [7]], "labels of text 2: found 7, expected a uid"),
    ],
)
def test_wrong_labels_are_named(tagger, labels, message):
    with pytest.raises(InputError, match=message):
        tagger.explain(TEXTS, labels)


def test_wrong_texts_are_named(tagger):
    with pytest.raises(InputError, match="text 2: expected words"):
        tagger.explain(["good", " "], ["label-0000003"])


def test_added_labels_are_explained_and_removed_ones_are_gone(finished_run, tmp_path):
    run = shutil.copytree(finished_run, tmp_path / "run")
    add_labels(run, [{"uid": "cafe\u0301", "text": TEXTS[0]}])
    found = ramen.Tagger.load(run).explain(TEXTS[0], "caf\u00e9")[0][0]
    assert found["text"] == TEXTS[0] and total(found) == pytest.approx(found["score"], abs=1e-4)
    remove_labels(run, ["caf\u00e9"])
    with pytest.raises(InputError, match="has no label"):
        rows_of_labels(ramen.Tagger.load(run), ["caf\u00e9"], 1)
