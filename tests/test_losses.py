"""The two losses against plain loops."""

import math

import numpy as np
import pytest
import torch

from ramen.losses import Pairs, masked_softmax, masked_triplet, softmax_both_ways, triplet_both_ways


def softmax_by_loops(scores, targets, known, temperature):
    losses = []
    for i, j in zip(*np.nonzero(targets), strict=True):
        negatives = sum(math.exp(s / temperature) for s, k in zip(scores[i], known[i], strict=True) if not k)
        positive = math.exp(scores[i, j] / temperature)
        losses.append(-math.log(positive / (positive + negatives)))
    return sum(losses) / len(losses)


def triplet_by_loops(scores, targets, known, margin):
    losses = []
    for row, is_target, is_known in zip(scores, targets, known, strict=True):
        if not is_target.any():
            continue
        positive = row[is_target].mean()
        hardest = sorted(row[~is_known], reverse=True)[:10]
        weights = [math.exp(s / 0.1) for s in hardest]
        losses.append(
            sum(w * max(0.0, s - positive + margin) for w, s in zip(weights, hardest, strict=True)) / sum(weights)
        )
    return sum(losses) / len(losses)


def batch(seed, rows=7, columns=25):
    rng = np.random.default_rng(seed)
    targets = rng.random((rows, columns)) < 0.15
    targets[0] = False  # a row without a target
    targets[1:, 0] |= ~targets[1:].any(1)
    known = targets | (rng.random((rows, columns)) < 0.1)
    return rng.uniform(-1, 1, (rows, columns)), targets, known


LOSSES = [
    pytest.param(masked_softmax, softmax_by_loops, 0.1, id="softmax"),
    pytest.param(masked_triplet, triplet_by_loops, 0.3, id="triplet"),
]


@pytest.mark.parametrize(("loss", "loops", "constant"), LOSSES)
@pytest.mark.parametrize("seed", range(5))
def test_equals_plain_loops(loss, loops, constant, seed):
    scores, targets, known = batch(seed)
    found = loss(*map(torch.from_numpy, (scores, targets, known)), constant)
    assert found.item() == pytest.approx(loops(scores, targets, known, constant), rel=1e-9)


@pytest.mark.parametrize(("loss", "loops", "constant"), LOSSES)
def test_fewer_than_ten_candidates(loss, loops, constant):
    scores, targets, known = batch(9, rows=4, columns=6)
    known[:, -1] = False
    targets[:, -1] = False
    found = loss(*map(torch.from_numpy, (scores, targets, known)), constant)
    assert found.item() == pytest.approx(loops(scores, targets, known, constant), rel=1e-9)


@pytest.mark.parametrize(("loss", "loops", "constant"), LOSSES)
def test_known_pairs_that_are_no_targets_get_no_gradient(loss, loops, constant):
    scores, targets, known = map(torch.from_numpy, batch(1))
    scores.requires_grad_()
    loss(scores, targets, known, constant).backward()
    masked = known & ~targets
    assert masked.any()
    assert (scores.grad[masked] == 0).all()
    assert (scores.grad[targets] < 0).all()  # targets are pulled
    hardest = scores.detach().masked_fill(known, -2).argmax(1)[targets.any(1)]
    assert (scores.grad[targets.any(1)].gather(1, hardest[:, None]) > 0).all()  # the hardest negative is pushed


@pytest.mark.parametrize(("loss", "loops", "constant"), LOSSES)
def test_rows_without_a_target_change_nothing(loss, loops, constant):
    scores, targets, known = map(torch.from_numpy, batch(2))
    keep = targets.any(1)
    assert not keep.all()
    whole = loss(scores, targets, known, constant)
    assert whole.item() == pytest.approx(loss(scores[keep], targets[keep], known[keep], constant).item(), rel=1e-12)


@pytest.mark.parametrize(("loss", "loops", "constant"), LOSSES)
def test_no_target_at_all_is_zero_and_differentiable(loss, loops, constant):
    scores = torch.randn(3, 4, requires_grad=True)
    none = torch.zeros(3, 4, dtype=torch.bool)
    value = loss(scores, none, none, constant)
    value.backward()
    assert value.item() == 0.0
    assert (scores.grad == 0).all()


@pytest.mark.parametrize(("loss", "loops", "constant"), LOSSES)
def test_no_negative_at_all_is_zero(loss, loops, constant):
    targets = torch.ones(2, 3, dtype=torch.bool)
    scores = torch.rand(2, 3, requires_grad=True)
    value = loss(scores, targets, targets, constant)
    value.backward()
    assert value.item() == 0.0
    assert torch.isfinite(scores.grad).all()


BOTH_WAYS = [
    pytest.param(softmax_both_ways, masked_softmax, 0.05, id="softmax"),
    pytest.param(triplet_both_ways, masked_triplet, 0.3, id="triplet"),
]


@pytest.mark.parametrize(("loss", "one_way", "constant"), BOTH_WAYS)
@pytest.mark.parametrize("case", ["usual", "all targets", "no targets", "no negatives", "far apart", "one column"])
def test_both_ways_is_the_mean_of_both_directions_with_their_gradient(loss, one_way, constant, case):
    scores, targets, known = map(torch.from_numpy, batch(4, columns=1 if case == "one column" else 25))
    if case == "all targets":
        targets, known = torch.ones_like(targets), torch.ones_like(known)
    elif case == "no targets":
        targets = torch.zeros_like(targets)
    elif case == "no negatives":
        known = torch.ones_like(known)
    elif case == "far apart":  # right pairs at -1, wrong ones at 1
        scores = torch.where(targets, -1.0, 1.0).double()
    found, expected = (scores.float().requires_grad_() for _ in range(2))
    value = loss(found, Pairs.of(targets, known), constant)
    mean = (one_way(expected, targets, known, constant) + one_way(expected.T, targets.T, known.T, constant)) / 2
    assert value.item() == pytest.approx(mean.item(), rel=1e-5, abs=1e-7)
    (3 * value).backward()
    (3 * mean).backward()
    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-6)
