"""A run that ranks by trees: what it tells does not hang on how it is asked, and its reasons add up."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from damage import damaged_json, damaged_tensors, mend

import ramen
from ramen.errors import InputError
from ramen.inference.build_index import build_index
from ramen.inference.explain import explain
from ramen.inference.labels import add_labels, remove_labels
from ramen.ranking.candidates import CANDIDATES, gather


@pytest.fixture
def run(learned_run, tmp_path):
    return shutil.copytree(learned_run, tmp_path / "run")


@pytest.fixture(scope="module")
def texts(learned_run):
    return ramen.load_dataset(learned_run.parent / "planted").test.joined()[:20]


@pytest.fixture(scope="module")
def tagger(learned_run):
    tagger = ramen.Tagger.load(learned_run)
    assert tagger.run.ranker.learned
    return tagger


def test_alone_or_in_a_batch_few_or_all_the_first_labels_are_the_same(tagger, texts):
    few = tagger.tag(texts, 5)
    assert [tagger.tag([text], 5)[0] for text in texts] == few
    everything = tagger.tag(texts, 10_000)
    assert [labels[:5] for labels in everything] == few
    for labels in everything:
        assert len({label["uid"] for label in labels}) == 120
        scores = [label["score"] for label in labels]
        assert scores == sorted(scores, reverse=True)


def test_labels_behind_the_candidates_come_behind_them(tagger, texts, monkeypatch):
    before = tagger.tag(texts, 5)
    monkeypatch.setattr("ramen.ranking.ranker.CANDIDATES", 10)
    few = tagger.tag(texts, 10)
    more = tagger.tag(texts, 60)
    assert [labels[:10] for labels in more] == few
    assert (
        np.mean([{one["uid"] for one in a} == {one["uid"] for one in b[:5]} for a, b in zip(before, few, strict=True)])
        > 0.5
    )
    assert all(len({label["uid"] for label in labels}) == 60 for labels in more)


def test_reasons_add_up_to_the_scores(tagger, texts):
    labels, scores = tagger.rank(texts, 6)
    names = {*tagger.run.ranker.scorers, "together", "words", "frequency", "mean"}
    names |= {"text"} if tagger.run.ranker.level else set()
    for queries in (texts, tagger.queries(texts)):
        explained = explain(tagger, queries, labels)
        assert [len(reasons) for reasons in explained] == [6] * len(texts)
    for reasons, expected in zip(explained, scores, strict=True):
        for reason, score in zip(reasons, expected, strict=True):
            assert set(reason["scorers"]) == names
            assert sum(reason["scorers"].values()) == pytest.approx(score, abs=1e-4)
    padded = np.array([[labels[0, 0], -1], [-1, -1]])
    (one,), none = explain(tagger, texts[:2], padded)
    assert none == [] and sum(one["scorers"].values()) == pytest.approx(scores[0, 0], abs=1e-4)


def test_reasons_are_the_same_alone_and_in_a_batch_however_deep(tagger, texts, monkeypatch):
    monkeypatch.setattr("ramen.ranking.ranker.CANDIDATES", 10)
    monkeypatch.setattr("ramen.inference.explain._BATCH", 7)
    for k in (1, 8, 60):  # the last are behind the candidates
        together = [[record["why"] for record in records] for records in tagger.tag(texts, k, why=True)]
        for text, expected in zip(texts, together, strict=True):
            for ours, theirs in zip(tagger.tag(text, k, why=True)[0], expected, strict=True):
                assert ours["why"]["words"] == theirs["words"] and ours["why"]["neighbours"] == theirs["neighbours"]
                assert ours["why"]["scorers"] == pytest.approx(theirs["scorers"], abs=1e-4)


def test_a_batch_with_reasons_is_encoded_and_gathered_once(tagger, texts, monkeypatch):
    encoded, gathered = [], []
    encode = tagger.encode
    monkeypatch.setattr(tagger, "encode", lambda texts: encoded.append(len(texts)) or encode(texts))
    monkeypatch.setattr("ramen.ranking.ranker.gather", lambda *args: gathered.append(args[2]) or gather(*args))
    tagger.tag(texts, 5, why=True)
    assert encoded == [len(texts)] and gathered == [CANDIDATES]
    labels, scores = tagger.rank(texts, 5)
    tagger.to_records(labels, scores, explained=texts)
    assert encoded == [len(texts)] * 3


def test_reasons_of_a_label_far_down_are_its_own(tagger, texts, monkeypatch):
    monkeypatch.setattr("ramen.ranking.ranker.CANDIDATES", 10)
    ranker = tagger.run.ranker
    for text, row in zip(texts, tagger.rank(texts, 120)[0], strict=True):
        last = int(row[-1])
        terms = explain(tagger, [text], np.array([[last]]))[0][0]["scorers"]
        told = sum(value for name, value in terms.items() if name != "text")  # which all labels have in common
        queries, scores = tagger.queries([text]), []
        for depth in (10, 20, 40, 80, 160):  # its score among so many candidates of each scorer
            gathered = gather(ranker.scorers, queries, depth)
            scores += ranker.learned.scores(queries, gathered)[gathered.labels == last].tolist()
        assert any(told == pytest.approx(score, abs=1e-4) for score in scores)


def test_an_index_changes_no_first_label(run, texts):
    plain = ramen.Tagger.load(run).tag(texts, 3)
    build_index(run, always=True, recall=1.0)
    indexed = ramen.Tagger.load(run).tag(texts, 3)
    assert np.mean([a[0]["uid"] == b[0]["uid"] for a, b in zip(plain, indexed, strict=True)]) >= 0.9


def test_added_labels_rank_from_the_first_moment_and_leave_the_others_alone(run, texts):
    before = ramen.Tagger.load(run).tag(texts, 120)
    add_labels(run, [{"uid": f"new-{n}", "text": text} for n, text in enumerate(texts)])
    tagger = ramen.Tagger.load(run)
    after = tagger.tag(texts, 200)
    places = [[label["uid"] for label in labels].index(f"new-{number}") for number, labels in enumerate(after)]
    assert np.mean([place < 5 for place in places]) > 0.8, places
    known = [[label["uid"] for label in labels if not label["uid"].startswith("new")] for labels in after]
    assert np.mean([a[0] == b[0]["uid"] for a, b in zip(known, before, strict=True)]) > 0.7
    labels, scores = tagger.rank(texts[:1], 8)
    for reason, score in zip(explain(tagger, texts[:1], labels)[0], scores[0], strict=True):
        assert sum(reason["scorers"].values()) == pytest.approx(score, abs=1e-4)
    remove_labels(run, [f"new-{n}" for n in range(len(texts))])
    again = ramen.Tagger.load(run).tag(texts, 120)
    assert np.mean([a[0]["uid"] == b[0]["uid"] for a, b in zip(again, before, strict=True)]) > 0.7


def test_added_labels_of_a_larger_weighted_sum_always_rank_higher(tagger, texts):
    ranker, queries = tagger.run.ranker, tagger.queries(texts)
    gathered = gather(ranker.scorers, queries, CANDIDATES)
    sums = gathered.total(ranker.learned.features.weights)
    low, high = np.quantile(sums[gathered.labels >= 0], [0.3, 0.6])
    for by_sum in ([[low, high], [1.0, 1.0]], [[high], [1.0]], ranker.learned.by_sum):
        all_later = replace(ranker.learned, trained=0, by_sum=np.array(by_sum))
        scores = all_later.scores(queries, gathered)
        for row, is_label in enumerate(gathered.labels >= 0):
            order = np.argsort(sums[row, is_label])
            rises = np.diff(scores[row, is_label][order])
            assert (rises >= 0).all() and (rises[np.diff(sums[row, is_label][order]) > 1e-3] > 0).all()


SOUND = {"by_sum: shorter", "roots: shorter", "calibration: null"}  # fewer knots or trees, and no probabilities
SOUND_JSON = SOUND | {
    f"{name}: {what}" for name in ("level", "thresholds") for what in ("null", "missing")
}  # there need be none


@pytest.mark.parametrize("name", ["ranking/labels.safetensors", "ranking/trees.safetensors", "ranking/ranking.json"])
def test_damaged_files_of_the_ranking_are_named(run, name):
    path = run / name
    sound = SOUND_JSON if path.suffix == ".json" else SOUND
    for what in damaged_json(path, set()) if path.suffix == ".json" else damaged_tensors(path):
        mend(run)
        if what in sound:
            ramen.Tagger.load(run).tag(["a text"])
            continue
        with pytest.raises(InputError, match=name):
            ramen.Tagger.load(run).tag([what])
    mend(run)
    ramen.Tagger.load(run)
