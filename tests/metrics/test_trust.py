"""Intervals cover, tests keep their level, groups add up."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from ramen import metrics
from ramen.errors import InputError
from ramen.metrics.trust import by_frequency, compare, intervals, per_point, ratios


def system(rng, n, rate, n_labels=30):
    """One true label a point, found first with a chance of ``rate``, second otherwise half of the time."""
    truth = rng.integers(0, n_labels, n)
    other = (truth + 1 + rng.integers(0, n_labels - 1, n)) % n_labels
    first = rng.random(n) < rate
    pred = np.where(first[:, None], np.stack([truth, other], 1), np.stack([other, truth], 1))
    pred[~first & (rng.random(n) < 0.5), 1] = -1
    return pred, sp.csr_matrix((np.ones(n), (np.arange(n), truth)), shape=(n, n_labels))


@pytest.fixture
def fewer_resamples(monkeypatch):
    """200 in place of a thousand: what is found over many seeds stays."""
    monkeypatch.setattr("ramen.metrics.trust._RESAMPLES", 200)


def test_the_parts_add_up_to_the_metrics():
    rng = np.random.default_rng(0)
    truth = sp.random(50, 20, density=0.15, random_state=1, format="csr")
    scores = sp.random(50, 20, density=0.6, random_state=2, format="csr")
    weights = 1 + 5 * rng.random(20)
    parts = per_point(scores, truth, weights, ks=(1, 3, 7))
    assert dict(zip(parts.names, parts.values(), strict=True)) == pytest.approx(
        metrics.report(scores, truth, weights, ks=(1, 3, 7))
    )


def test_an_interval_holds_the_true_rate_nineteen_times_of_twenty(fewer_resamples):
    inside = 0
    for seed in range(60):
        pred, truth = system(np.random.default_rng(seed), 300, 0.4)
        low, high = intervals(per_point(pred, truth, np.ones(30), ks=(1,)), seed)["P@1"]
        inside += low <= 40 <= high
    assert inside >= 52  # 57 of 60 expected; below 52 by chance once in a hundred


def test_a_difference_that_is_there_is_found_and_one_that_is_not_is_not(fewer_resamples):
    found = alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        pred, truth = system(rng, 400, 0.4)
        worse = pred.copy()
        broken = rng.random(400) < 0.15
        worse[broken] = worse[broken][:, ::-1]
        weights = 1 + rng.random(30)
        both = [per_point(p, truth, weights, ks=(1, 2)) for p in (worse, pred)]
        swapped = rng.random(400) < 0.5  # the same answers, dealt out by chance
        dealt = [
            per_point(np.where(swapped[:, None], a, b), truth, weights, ks=(1, 2))
            for a, b in ((pred, worse), (worse, pred))
        ]
        told = compare(*dealt)["P@1"]
        alarms += told.p < 0.05
        assert (told.low > 0 or told.high < 0) <= (told.p < 0.15)
        found += compare(both[0], both[0])["PSP@2"].p == 1.0
    assert found == 40 and alarms <= 6  # 2 expected


def test_a_comparison_says_how_much():
    pred, truth = system(np.random.default_rng(0), 400, 0.4)
    worse = pred.copy()
    worse[:60] = -1
    parts = [per_point(p, truth, np.ones(30), ks=(1,)) for p in (worse, pred)]
    told = compare(*parts)["P@1"]
    assert told.first < told.second and told.low > 0 and told.p < 0.01
    assert told.difference == pytest.approx(told.second - told.first)
    back = compare(*parts[::-1])["P@1"]
    assert back.difference == pytest.approx(-told.difference) and back.p == pytest.approx(told.p, abs=0.01)
    with pytest.raises(InputError, match="expected figures of the same points"):
        compare(parts[0], per_point(pred[:9], truth[:9], np.ones(30), ks=(1,)))


def test_a_share_of_the_first_system_holds_the_true_one(fewer_resamples):
    rng, inside = np.random.default_rng(3), 0
    for seed in range(60):
        (first, truth), (second, other) = system(rng, 400, 0.6), system(rng, 400, 0.45)
        one, two = (per_point(p, t, np.ones(30), ks=[1]) for p, t in ((first, truth), (second, other)))
        share, low, high = ratios(one, two, seed)["P@1"]
        assert low < share < high and share == pytest.approx(two.values()[0] / one.values()[0])
        inside += low <= 0.75 <= high
    assert inside >= 52
    nothing = per_point(np.full((400, 1), -1), truth, np.ones(30), ks=[1])
    assert ratios(nothing, two)["P@1"] == (1.0, 1.0, 1.0)
    with pytest.raises(InputError, match="of the same points"):
        ratios(one, per_point(first[:9], truth[:9], np.ones(30), ks=[1]))


def test_some_metrics_of_a_system_in_another_order():
    pred, truth = system(np.random.default_rng(0), 50, 0.5)
    parts = per_point(pred, truth, np.ones(30), ks=[1, 2])
    some = parts.only(["R@2", "P@1"])
    values = dict(zip(parts.names, parts.values(), strict=True))
    assert some.names == ["R@2", "P@1"] and some.values().tolist() == [values["R@2"], values["P@1"]]


def test_no_truth_no_points_left_out():
    truth = sp.csr_matrix((3, 4))
    parts = per_point(np.zeros((3, 2), dtype=int), truth, np.ones(4), ks=(1, 2))
    assert not parts.values().any()
    assert set(intervals(parts).values()) == {(0.0, 0.0)}
    assert compare(parts, parts)["PSP@1"].p == 1.0


@pytest.mark.parametrize("groups", [1, 3, 10])
def test_groups_by_frequency_add_up(groups):
    rng = np.random.default_rng(0)
    truth = sp.random(200, 40, density=0.1, random_state=1, format="csr")
    scores = sp.random(200, 40, density=0.5, random_state=2, format="csr")
    counts = rng.zipf(1.5, 40).clip(0, 1000)
    counts[:3] = 0
    found = by_frequency(scores, truth, counts, k=5, groups=groups)
    assert sum(group.labels for group in found) == 40
    assert sum(group.precision for group in found) == pytest.approx(100 * metrics.precision(scores, truth, 5)[-1])
    assert all(a.most < b.fewest for a, b in zip(found, found[1:], strict=False))
    assert all(0 <= group.recall <= 100 for group in found)
    nothing = by_frequency(scores, truth, np.zeros(40, dtype=int), k=5, groups=groups)
    assert len(nothing) == 1 and nothing[0].labels == 40
