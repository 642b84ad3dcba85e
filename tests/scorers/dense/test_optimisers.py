"""Adam with all in bfloat16 beside Adam in float32: rounding by chance keeps what rounding to the nearest loses."""

import pytest
import torch

from ramen.scorers.dense.optimisers import ROWS, Adam, BFloat16Adam, random_bits, stochastic_round


def train(optimiser, weights, lr, steps=60):
    """Towards 0, by noisy gradients of one size."""
    generator = torch.Generator().manual_seed(3)
    state, counts = optimiser.start(weights), torch.zeros(len(weights), 1)
    for _ in range(steps):
        counts += 1
        gradient = torch.randn(weights.shape, generator=generator) + 1.0
        optimiser.step(weights, state, counts, gradient, lr)
    return weights.float()


@pytest.mark.parametrize("lr", [1e-4, 1e-2])
def test_small_steps_are_not_lost(lr):
    start = torch.ones(300, 64)
    expected = train(Adam(), start.clone(), lr)
    found = train(BFloat16Adam(0), start.bfloat16(), lr)
    assert (found - expected).mean().abs() < 0.03 * (start - expected).mean().abs()
    assert (found - expected).std() < 0.02
    nearest = start.bfloat16()
    for _ in range(60):
        nearest.sub_(1e-4)
    assert (nearest == 1).all()  # what rounding to the nearest makes of steps of 1e-4


def test_rounding_by_chance_keeps_the_mean():
    value = 1.0 + 2**-10
    rounded = stochastic_round(torch.full((200, 500), value), random_bits(torch.empty(200, 500), seed=1)).float()
    assert set(rounded.unique().tolist()) == {1.0, 1.0 + 2**-7}
    assert rounded.mean().item() == pytest.approx(value, abs=1e-4)
    same = torch.tensor([0.0, -0.5, 2.0**-126, 3e38]).bfloat16().float()
    assert torch.equal(stochastic_round(same.clone(), torch.full((4,), 65535, dtype=torch.int32)).float(), same)


def test_rows_are_stepped_in_blocks_without_a_seam():
    rows = ROWS + 5
    found = train(BFloat16Adam(0), torch.ones(rows, 2).bfloat16(), 0.01, steps=20)
    assert found[:ROWS].mean().item() == pytest.approx(found[ROWS:].mean().item(), abs=0.02)
    assert torch.equal(found, train(BFloat16Adam(0), torch.ones(rows, 2).bfloat16(), 0.01, steps=20))
