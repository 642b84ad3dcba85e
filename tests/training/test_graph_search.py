"""Weights of the graphs chosen by short runs: what helps stays, what does not is switched off."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import ramen
from ramen.config import load_config
from ramen.data.dataset import Graph
from ramen.data.prepare import prepare as build
from ramen.training.data import prepare
from ramen.training.encoder_loop import plan_steps, train_encoder
from ramen.training.graph_search import SEARCH, GraphWeights, search_graph_weights, standard_errors
from ramen.training.split import MAX_POINTS, cut
from ramen.training.train import search


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


def prepared(dataset, backbone, graphs, steps=("graph.auto_steps=8", "training.min_steps=30")):
    """Data, split and untrained encoder."""
    settings = [f"encoder.backbone={backbone}", "validation.share=0.25", *steps]
    config = load_config("static", settings)
    config.graphs = graphs
    data, encoder = prepare(dataset, config)
    vectors = encoder.encode(data.tokens["points"]).numpy()
    return data, cut(dataset, vectors, config.validation.share, MAX_POINTS, 0), encoder


@pytest.fixture
def chosen(tiny_backbone, make_run):
    """A function of a data set and graphs: the weights that are chosen, and the log's lines."""

    def run(dataset, graphs, *steps):
        folder, (data, split, encoder) = make_run(), prepared(dataset, tiny_backbone, graphs, *steps)
        before = copy.deepcopy(encoder.state_dict())
        found = search_graph_weights(data, split, encoder, folder)
        assert all((before[name] == value).all() for name, value in encoder.state_dict().items())
        assert not folder.checkpoint(SEARCH).path.exists()
        return found, folder.log

    return run


def test_a_useful_graph_stays_on(larger, chosen):
    found, lines = chosen(larger, ["links"])
    assert max(found.lambdas["links"]) > 0
    assert [line["walks"] for line in lines if "walks" in line].count(True) == 1  # the last of them
    plain, *others = [line["R@10"] for line in lines if "R@10" in line]
    assert max(others) > plain


def test_a_graph_of_chance_is_switched_off_and_said_so(larger, chosen):
    rng = np.random.default_rng(0)
    links = larger.graphs["links"]

    def shuffled(side):
        return sp.csr_matrix((side.data, rng.permutation(side.indices), side.indptr), shape=side.shape)

    larger.graphs["chance"] = Graph("chance", links.anchors, shuffled(links.points), shuffled(links.labels))
    found, lines = chosen(larger, ["chance"])
    assert found == GraphWeights({"chance": (0.0, 0.0)}, False)
    assert lines == [
        {"stage": "search", "note": "graphs that say nothing about the labels that the texts do not: chance"}
    ]


def test_a_graph_that_tells_much_but_trains_badly_is_switched_off(larger, chosen, monkeypatch):
    monkeypatch.setattr("ramen.training.graph_search.standard_errors", lambda values, others: 1.9)
    found, lines = chosen(larger, ["links", "noise"], ["graph.auto_steps=2", "training.min_steps=12"])
    assert found == GraphWeights({"links": (0.0, 0.0), "noise": (0.0, 0.0)}, False)
    assert [line["note"].split(": ")[1] for line in lines if "note" in line] == ["noise", "links"]
    assert [line["graphs"] for line in lines if "graphs" in line][:2] == ["none", "links"]


def test_standard_errors_of_nothing():
    same = np.ones(5)
    assert standard_errors(same, same) == 0.0 and standard_errors(same[:1], same[:1] - 1) == 0.0
    assert standard_errors(same, same - 1) == float("inf")


def test_a_graph_without_an_edge_is_off_without_a_run(larger, chosen):
    none = sp.csr_matrix(larger.graphs["links"].points.shape, dtype=np.float32)
    larger.graphs["none"] = Graph("none", larger.graphs["links"].anchors, none, None)
    assert chosen(larger, ["none"]) == (GraphWeights({"none": (0.0, 0.0)}, False), [])


def test_a_short_training_that_is_as_long_as_the_splits_own_is_not_done_again(
    larger, tiny_backbone, make_run, monkeypatch
):
    steps = ["graph.auto_steps=1000", "graph.min_steps=20", "training.min_steps=20", "training.epochs=1"]
    off = ["sparse.passes=0", "dense.epochs=0", "graph.walks=off"]
    run, (data, split, encoder) = make_run(), prepared(larger, tiny_backbone, ["links"], [*steps, *off])
    trained = []

    def training(encoder, *rest, **named):
        """Keep the encoder of each short training."""
        train_encoder(encoder, *rest, **named)
        trained.append(encoder)

    monkeypatch.setattr("ramen.training.graph_search.train_encoder", training)
    weights = search_graph_weights(data, split, encoder, run)
    scales = [line["lambda_scale"] for line in run.log if "lambda_scale" in line]
    chosen = weights.lambdas["links"][1] / data.config.graph.lambda_z
    kept = copy.deepcopy(encoder)
    done, _ = run.checkpoint(SEARCH).restore(kept, torch.optim.SGD(kept.parameters()))
    assert done == plan_steps(data.config, data.with_graphs(split), weights.lambdas).steps
    expected = trained[scales.index(chosen)].state_dict()
    assert all((expected[name] == value).all() for name, value in kept.state_dict().items())
    monkeypatch.setattr("ramen.training.train.search_graph_weights", lambda *asked: weights)
    search(data, split, encoder, run)
    assert all((expected[name] == value).all() for name, value in encoder.state_dict().items())
    assert not [line for line in run.log if line.get("stage") == "encoder"]
