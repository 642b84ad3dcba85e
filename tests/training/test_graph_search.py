"""Weights of the graphs chosen by the joint ranking: what helps stays, what does not is switched off."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import ramen
from ramen.config import load_config
from ramen.data.dataset import Graph
from ramen.data.prepare import prepare as build
from ramen.scorers.sparse.scorer import SparseScorer
from ramen.training.data import prepare
from ramen.training.graph_search import GraphWeights, search_graph_weights
from ramen.training.held_out import HeldOut
from ramen.training.split import MAX_POINTS, cut

STEPS = ["training.min_steps=30", "graph.min_steps=90", "sparse.passes=0"]


@pytest.fixture(scope="module", autouse=True)
def one_torch_thread():
    """Steps this small take longer in two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """Enough points that validation can tell."""
    folder = build("planted", tmp_path_factory.mktemp("data") / "planted", points=500, labels=100)
    return ramen.load_dataset(folder)


@pytest.fixture
def search(tiny_backbone, make_run):
    """A function of a data set, graphs and settings: what is chosen, the encoder, the run and its log's lines."""

    def run(dataset, graphs, *settings):
        config = load_config(
            "static", [f"encoder.backbone={tiny_backbone}", "validation.share=0.25", *STEPS, *settings]
        )
        config.graphs, folder = graphs, make_run()
        data, encoder = prepare(dataset, config)
        vectors = encoder.encode(data.tokens["points"]).numpy()
        split = cut(dataset, vectors, config.validation.share, MAX_POINTS, 0)
        return search_graph_weights(data, split, encoder, folder), encoder, folder, folder.log

    return run


def scales(lines):
    return [line["lambda_scale"] for line in lines if "lambda_scale" in line]


def test_a_useful_graph_is_used(larger, search):
    found, encoder, run, lines = search(larger, ["links"])

    assert max(found.graphs.lambdas["links"]) > 0 and found.graphs.scale in scales(lines)
    plain, *others = [line["R@10"] for line in lines if "R@10" in line]
    assert max(others) > plain
    assert lines[-1]["note"].startswith("with the graphs links the joint ranking is ahead by")
    assert lines[-1]["note"].endswith("used")
    kept = copy.deepcopy(encoder)
    run.checkpoint(found.graphs.checkpoint).load(kept)  # the encoder goes on as it was trained
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, kept.state_dict()[name])
    np.testing.assert_array_equal(found.views.points, encoder.encode(found_tokens(larger, encoder)).numpy())


def found_tokens(dataset, encoder):
    return encoder.tokenize(dataset.train.joined())


@pytest.mark.parametrize(
    ("leads", "expected", "tried"),
    [((2.5,), 1.0, [0, 1]), ((0.4, 2.2), 3.0, [0, 1, 3]), ((-0.4, 1.4), 0.0, [0, 1, 0.3]), ((-1.5,), 0.0, [0, 1])],
    ids=["clearly ahead", "rather ahead", "rather behind", "clearly behind"],
)
def test_a_third_training_only_where_the_first_two_leave_it_open(
    larger, search, monkeypatch, leads, expected, tried
):  # fmt: skip
    given = {}

    def lead(self, labels, others):
        return given.setdefault(labels.tobytes(), leads[min(len(given), len(leads) - 1)])

    monkeypatch.setattr(HeldOut, "lead", lead)
    monkeypatch.setattr(HeldOut, "ahead", lambda self, labels, others: {"P@1": 0.0})
    found, _, _, lines = search(larger, ["links"])
    assert scales(lines) == tried and found.graphs.scale == expected
    assert found.graphs.lambdas["links"] == pytest.approx((0.1 * expected, 0.3 * expected))


def test_graphs_that_cost_one_metric_are_left_out(larger, search, monkeypatch):
    monkeypatch.setattr(HeldOut, "lead", lambda self, labels, others: 2.5)
    monkeypatch.setattr(HeldOut, "ahead", lambda self, labels, others: {"P@1": 1.1, "R@10": -9.0})
    found, _, _, lines = search(larger, ["links"])
    assert found.graphs.lambdas == {"links": (0.0, 0.0)}
    assert "P@1 by more than 1 behind: left out" in lines[-1]["note"]


def test_a_graph_of_chance_is_switched_off_and_said_so(larger, search):
    rng = np.random.default_rng(0)
    links = larger.graphs["links"]

    def shuffled(side):
        return sp.csr_matrix((side.data, rng.permutation(side.indices), side.indptr), shape=side.shape)

    larger.graphs["chance"] = Graph("chance", links.anchors, shuffled(links.points), shuffled(links.labels))
    found, _, _, lines = search(larger, ["chance"])
    assert found.graphs == GraphWeights({"chance": (0.0, 0.0)}, False, 0.0)
    assert [line["note"] for line in lines if line["stage"] == "search" and "note" in line] == [
        "graphs left out, as they say nothing about labels that the texts do not say: chance"
    ]
    assert not scales(lines)  # one training, and nothing to compare it with


def test_a_graph_without_an_edge_is_off(larger, search):
    none = sp.csr_matrix(larger.graphs["links"].points.shape, dtype=np.float32)
    larger.graphs["none"] = Graph("none", larger.graphs["links"].anchors, none, None)
    found, _, _, lines = search(larger, ["none"])
    assert found.graphs == GraphWeights({"none": (0.0, 0.0)}, False, 0.0) and not scales(lines)


def test_the_second_training_takes_over_what_does_not_depend_on_the_encoder(larger, search, monkeypatch):
    fitted, fit = [], SparseScorer.fit.__func__
    monkeypatch.setattr(SparseScorer, "fit", classmethod(lambda cls, *asked: fitted.append(1) or fit(cls, *asked)))
    _, _, _, lines = search(larger, ["links"], "sparse.passes=10")
    assert len(scales(lines)) >= 2 and len(fitted) == 1
