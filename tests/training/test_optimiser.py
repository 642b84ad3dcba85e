"""Steps of the encoder's optimiser."""

import pytest
import torch
from torch import nn

from ramen.training.optimiser import Optimiser, Schedule


class Table(nn.Module):
    """A sparse or dense embedding and a linear map, in two groups of their own learning rates."""

    def __init__(self, sparse=False):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(10, 4, sparse=sparse)
        self.map = nn.Linear(4, 4)

    def forward(self, ids):
        return self.map(self.table(ids)).square().mean()

    def parameter_groups(self, lr):
        return [
            {"params": list(self.table.parameters()), "lr": lr},
            {"params": list(self.map.parameters()), "lr": 10 * lr},
        ]


def weights(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def assert_same(one, other):
    for first, second in zip(one, other, strict=True):
        torch.testing.assert_close(first, second)


def rates(optimiser):
    return [group["lr"] for group in optimiser.adam.param_groups]


def optimiser_of(model, steps, lr=2e-3, per_epoch=None, **settings):
    return Optimiser(model.parameter_groups(lr), Schedule(steps, per_epoch or steps, **settings))


IDS = torch.tensor([[0, 1, 2, 3], [4, 5, 0, 0], [6, 1, 1, 1], [8, 9, 2, 5]])


def test_accumulated_halves_equal_one_step_on_their_mean():
    halves, full = Table(), Table()
    accumulated = optimiser_of(halves, 4, accumulate=2)
    plain = optimiser_of(full, 2)
    start = weights(halves)
    for number in range(4):
        before = weights(halves)
        accumulated.step(halves(IDS[number]), number)
        if number % 2 == 0:
            assert_same(weights(halves), before)
    for number in range(2):
        plain.step(full(IDS[2 * number : 2 * number + 2]), number)
    assert_same(weights(halves), weights(full))
    assert not torch.equal(weights(halves)[0], start[0])


def test_the_last_batch_of_an_epoch_updates_and_leaves_no_gradient():
    model = Table()
    optimiser = optimiser_of(model, 3, accumulate=4)
    before = weights(model)
    for number in range(2):
        optimiser.step(model(IDS[number]), number)
    assert_same(weights(model), before)
    optimiser.step(model(IDS[2]), 2)
    assert not torch.equal(weights(model)[0], before[0])
    assert all(not parameter.grad.any() for parameter in model.parameters())


def test_each_epoch_accumulates_anew_after_a_short_rest():
    """Three epochs of five batches, two an update: the odd batch of one epoch does not shift the next one's pairs."""
    model = Table()
    optimiser = optimiser_of(model, 15, per_epoch=5, accumulate=2)
    updates, seen = [], []
    for number in range(15):
        before = weights(model)
        optimiser.step(model(IDS[number % 4]), number)
        if not torch.equal(weights(model)[0], before[0]):
            updates.append(number)
            seen.append(rates(optimiser)[0])
    assert updates == [1, 3, 4, 6, 8, 9, 11, 13, 14]
    assert min(seen) > 0


@pytest.mark.parametrize("clip", [0.0, 1e-3])
def test_clip_bounds_the_norm(monkeypatch, clip):
    model = Table()
    optimiser = optimiser_of(model, 1, clip=clip)
    norms = []

    def norm():
        norms.append(float(torch.stack([parameter.grad.norm() for parameter in model.parameters()]).norm()))

    monkeypatch.setattr(optimiser.adam, "step", norm)
    optimiser.step(100 * model(IDS), 0)
    assert norms[0] == pytest.approx(clip, rel=1e-3) if clip else norms[0] > 1.0


def test_small_gradients_are_not_clipped(monkeypatch):
    clipped, free = Table(), Table()
    for model, clip in ((clipped, 1e6), (free, 0.0)):
        optimiser = optimiser_of(model, 1, clip=clip)
        monkeypatch.setattr(optimiser.adam, "zero_grad", lambda set_to_none: None)
        optimiser.step(model(IDS), 0)
    assert_same([p.grad for p in clipped.parameters()], [p.grad for p in free.parameters()])


def test_warm_up_then_linear_decay():
    model = Table()
    optimiser = optimiser_of(model, 100, lr=0.5)
    seen = []
    for number in range(100):
        optimiser.step(model(IDS), number)
        seen.append(rates(optimiser))
    expected = [0.5 * min(1, (update + 1) / 20) * max(0.02, 1 - update / 100) for update in range(100)]
    assert [one for one, _ in seen] == pytest.approx(expected)
    assert [other for _, other in seen] == pytest.approx([10 * rate for rate in expected])
    first = [one for one, _ in seen]
    assert first[:20] == sorted(first[:20]) and first[19:] == sorted(first[19:], reverse=True)


def test_sparse_gradients_add_into_dense_ones():
    sparse, dense = Table(sparse=True), Table()
    for model in (sparse, dense):
        optimiser = optimiser_of(model, 4, accumulate=2, clip=0.01)
        for number in range(3):
            optimiser.step(model(IDS[number]), number)
        assert model.table.weight.grad.layout == torch.strided and model.table.weight.grad.any()
    assert_same([p.grad for p in sparse.parameters()], [p.grad for p in dense.parameters()])
    assert_same(weights(sparse), weights(dense))
