"""Whole runs on data that gives some part of them nothing to learn from."""

import json

import numpy as np
import pytest

import ramen


@pytest.fixture
def train(planted, quick, tmp_path):
    """Change the planted set by a function, train on it, and give the run's figures and tagger."""

    def run(change, *overrides):
        dataset = ramen.load_dataset(planted)
        change(dataset)
        out = ramen.train(dataset, out=tmp_path / "run", overrides=[*quick, *overrides])
        return json.loads((out / "metrics.json").read_text()), ramen.Tagger.load(out)

    return run


def retitle(make):
    """Give every text of points and labels a title by its number, and no content."""

    def change(dataset):
        number = 0
        for texts in (dataset.train, dataset.test, dataset.labels):
            for row in range(len(texts)):
                texts.titles[row], texts.contents[row] = make(number), ""
                number += 1

    return change


@pytest.mark.parametrize(
    "make", [str, lambda n: f"w{n:05d}x", lambda n: "same words", lambda n: "?!"],
    ids=["numbers", "one word each", "all the same", "no words"],
)  # fmt: skip
def test_texts_that_share_no_words_or_all(train, make):
    metrics, tagger = train(retitle(make))
    assert "encoder" in metrics["scorers"] and 0 <= metrics["test"]["P@1"] <= 100
    assert [len(labels) for labels in tagger.tag(["words", make(3), "17"], k=4)] == [4, 4, 4]


def test_labels_without_points(train):
    def drop(dataset):
        kept = dataset.train_targets.multiply(np.arange(dataset.n_labels) % 3 > 0).tocsr()
        kept.eliminate_zeros()
        dataset.train_targets = kept

    metrics, tagger = train(drop)
    assert metrics["test"]["R@10"] > 0
    assert len(tagger.tag(["a text"], k=500)[0]) == 120  # those labels can be given, too


def test_an_empty_validation_split(train):
    metrics, tagger = train(lambda dataset: None, "validation.share=0")
    assert metrics["validation"] == {} and min(metrics["chosen"]["weights"].values()) == 1.0
    assert set(metrics["scorers"]) == {"encoder", "neighbours", "sparse", "head"}
    assert "too few training points" in (tagger.run.path / "log.jsonl").read_text()
