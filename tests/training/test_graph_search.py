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
from ramen.training.graph_search import choose_graphs, standard_errors
from ramen.training.split import cut


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


def chosen(dataset, backbone, graphs, steps=("graph.auto_steps=8", "stage1.min_steps=30")):
    lines = []
    settings = [f"encoder.backbone={backbone}", "validation.share=0.25", *steps]
    config = load_config("static", settings)
    config.graphs = graphs
    material, encoder = prepare(dataset, config)
    vectors = encoder.encode(material.tokens["points"]).numpy()
    before = copy.deepcopy(encoder.state_dict())
    split = cut(dataset, vectors, config.validation.share, config.validation.max_points, 0)
    found = choose_graphs(material, split, encoder, lambda **figures: lines.append(figures))
    assert all((before[name] == value).all() for name, value in encoder.state_dict().items())
    return found, lines


def test_a_useful_graph_stays_on(larger, tiny_backbone):
    (found, _), lines = chosen(larger, tiny_backbone, ["links"])
    assert max(found["links"]) > 0
    assert [line["walks"] for line in lines if "walks" in line].count(True) == 1  # the last of them
    plain, *others = [line["R@10"] for line in lines if "R@10" in line]
    assert max(others) > plain


def test_a_graph_of_chance_is_switched_off_and_said_so(larger, tiny_backbone):
    rng = np.random.default_rng(0)
    links = larger.graphs["links"]

    def shuffled(side):
        return sp.csr_matrix((side.data, rng.permutation(side.indices), side.indptr), shape=side.shape)

    larger.graphs["chance"] = Graph("chance", links.anchors, shuffled(links.points), shuffled(links.labels))
    found, lines = chosen(larger, tiny_backbone, ["chance"])
    assert found == ({"chance": (0.0, 0.0)}, False)
    assert lines == [
        {"stage": "choose", "note": "graphs that tell nothing of the labels that the texts do not: chance"}
    ]


def test_a_graph_that_tells_much_but_trains_badly_is_switched_off(larger, tiny_backbone, monkeypatch):
    monkeypatch.setattr("ramen.training.graph_search.standard_errors", lambda values, others: 1.9)
    found, lines = chosen(larger, tiny_backbone, ["links", "noise"], ["graph.auto_steps=2", "stage1.min_steps=12"])
    assert found == ({"links": (0.0, 0.0), "noise": (0.0, 0.0)}, False)
    assert [line["note"].split(": ")[1] for line in lines if "note" in line] == ["noise", "links"]
    assert [line["graphs"] for line in lines if "graphs" in line][:2] == ["none", "links"]


def test_standard_errors_of_nothing():
    same = np.ones(5)
    assert standard_errors(same, same) == 0.0 and standard_errors(same[:1], same[:1] - 1) == 0.0
    assert standard_errors(same, same - 1) == float("inf")


def test_a_graph_without_an_edge_is_off_without_a_run(larger, tiny_backbone):
    none = sp.csr_matrix(larger.graphs["links"].points.shape, dtype=np.float32)
    larger.graphs["none"] = Graph("none", larger.graphs["links"].anchors, none, None)
    assert chosen(larger, tiny_backbone, ["none"]) == (({"none": (0.0, 0.0)}, False), [])
