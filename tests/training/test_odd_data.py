"""Whole runs on data that gives some part of them nothing to learn from."""

import json

import numpy as np
import pytest
import scipy.sparse as sp

import ramen
from ramen.scorers.registry import SCORERS


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
    assert set(metrics["scorers"]) == {*SCORERS} - {"network"}
    assert "no training points to hold out" in (tagger.run.path / "log.jsonl").read_text()


def only(graph):
    """Leave the planted set one graph, changed."""

    def change(dataset):
        links = dataset.graphs["links"]
        graph(links)
        dataset.graphs = {"links": links}

    return change


def no_edges(links):
    links.points, links.labels = (sp.csr_matrix(side.shape, dtype=np.float32) for side in (links.points, links.labels))


def no_points(links):
    links.points = None


def no_labels(links):
    links.labels = None


def blank_anchors(links):
    links.anchors = ["" if i % 2 else text for i, text in enumerate(links.anchors)]


def all_blank(links):
    links.anchors = [" "] * len(links.anchors)


def one_anchor(links):
    links.anchors = links.anchors[:1]
    links.points, links.labels = (sp.csr_matrix(side[:, :1]) for side in (links.points, links.labels))


def twice(links):
    side = links.points
    counts = np.diff(side.indptr) * 2
    links.points = sp.csr_matrix(
        (np.ones(counts.sum(), np.float32), np.repeat(side.indices, 2), np.append(0, np.cumsum(counts))), side.shape
    )


@pytest.mark.parametrize("walks", ["on", "off"])
@pytest.mark.parametrize("graph", [no_edges, no_points, no_labels, blank_anchors, all_blank, one_anchor, twice])
def test_graphs_that_lack_something(train, graph, walks, monkeypatch):
    monkeypatch.setattr("ramen.graph.graphs.PRUNE_FROM", 1)
    settings = [f"graph.walks={walks}", "sparse.passes=0"]
    metrics, tagger = train(only(graph), *settings)
    assert metrics["test"]["R@10"] > 0
    assert len(tagger.tag(["a text"], k=3)[0]) == 3


@pytest.mark.parametrize("graph", [no_edges, all_blank])
def test_graphs_without_an_edge_are_off(planted, searching, tmp_path, graph):
    dataset = ramen.load_dataset(planted)
    only(graph)(dataset)
    run = ramen.train(dataset, out=tmp_path / "run", overrides=[*searching, "sparse.passes=0"])
    assert json.loads((run / "metrics.json").read_text())["chosen"]["graphs"]["lambdas"] == {"links": [0.0, 0.0]}


def test_a_graph_of_hubs_is_left_out_of_walks_and_the_log_says_so(train, tmp_path, monkeypatch):
    monkeypatch.setattr("ramen.graph.prepare.MAX_DEGREE", 1)
    settings = ["graph.walks=on", "sparse.passes=0"]
    train(only(lambda links: None), *settings)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    notes = {line["note"] for line in log if line["stage"] == "graph" and "note" in line}
    assert notes == {"every anchor is linked to more than 1 rows: left out"}
