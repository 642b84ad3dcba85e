"""Figures against pyxclib's conventions, and when a gate stops."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from hlm_bridge.oracle import with_anchors
from hlm_bridge.retrieval import METRICS, gate, percent, retrieve, shares_kept, stop_if_lost
from ramen.errors import WorkError
from ramen.metrics import report
from ramen.metrics.trust import PerPoint


def unit(rng, n, d=6):
    found = rng.normal(size=(n, d)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_figures_are_those_of_the_metrics():
    rng = np.random.default_rng(0)
    queries, labels = unit(rng, 20), unit(rng, 30)
    truth = (rng.random((20, 30)) < 0.1).astype(np.float32)
    truth[np.arange(20), rng.integers(0, 30, 20)] = 1
    none = sp.csr_matrix((20, 30), dtype=np.float32)
    found = percent(retrieve(queries, labels, sp.csr_matrix(truth), none))
    best = np.argsort(-(queries @ labels.T), axis=1)[:, :10]
    wanted = report(best, sp.csr_matrix(truth), np.ones(30), ks=(1, 5, 10))
    assert found == pytest.approx({name: wanted[name] for name in found}, abs=1e-4)


def test_filtered_labels_are_left_out():
    eye = np.eye(4, dtype=np.float32)
    none = sp.csr_matrix((4, 4), dtype=np.float32)
    truth = sp.csr_matrix(np.roll(eye, 1, axis=1))
    assert retrieve(eye, eye, truth, none).values()[0] == 0
    queries = (eye + 0.5 * np.roll(eye, 1, axis=1)) / np.sqrt(1.25)
    assert retrieve(queries.astype(np.float32), eye, truth, sp.csr_matrix(eye)).values()[0] == 100


def figures(value, n=400, seed=0):
    hits = (np.random.default_rng(seed).random(n) < value).astype(float)
    return PerPoint(list(METRICS), np.stack([hits, hits / 5, hits], axis=1), np.ones((n, 3)))


def test_shares_have_intervals_around_them():
    shares = shares_kept(figures(0.3, seed=1), figures(0.5, seed=2))["P@1"]
    assert shares["low"] < shares["share"] < shares["high"] and 0.4 < shares["share"] < 0.8
    same = shares_kept(figures(0.5), figures(0.5))["R@10"]
    assert same == {"share": 1.0, "low": 1.0, "high": 1.0}
    assert shares_kept(figures(0.0), figures(0.0))["P@1"]["share"] == 1.0


def test_a_gate_stops_where_the_loss_is_no_chance():
    lost = gate("align", figures(0.3, seed=1), figures(0.5, seed=2), 0.95, "the teacher")
    with pytest.raises(WorkError, match="keeps less than 95% of the teacher: P@1 .* all phases so far are kept in"):
        stop_if_lost({"gate": lost}, "out")
    for least in (0.3, 0.0):
        stop_if_lost({"gate": gate("align", figures(0.3, seed=1), figures(0.5, seed=2), least, "x")}, "out")
    close = gate("align", figures(0.49, n=50, seed=3), figures(0.5, n=50, seed=4), 1.0, "x")
    stop_if_lost({"gate": close}, "out")


def test_anchors_follow_the_text_the_rarest_first():
    side = sp.csr_matrix(np.array([[1, 1, 1], [0, 1, 0], [0, 0, 0], [0, 1, 1]]))
    texts = ["a", "b", "c", ""]
    read = with_anchors(texts, {"k": side, "none": None}, {"k": ["x", "hub", " "], "none": []}, 2)
    assert read == ["a; x; hub", "b; hub", "c", "hub"]
    assert with_anchors(texts, {"k": side}, {"k": ["x", "hub", " "]}, 1) == ["a; x", "b; hub", "c", "hub"]
