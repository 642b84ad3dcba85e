"""Adam with all in bfloat16 beside Adam in float32: rounding by chance keeps what rounding to the nearest loses."""

import shutil

import pytest
import torch

from ramen.scorers.dense import optimisers
from ramen.scorers.dense.optimisers import (
    ROWS,
    Adam,
    BFloat16Adam,
    compiled_update,
    fused_update,
    hashed_bits,
    random_bits,
    stochastic_round,
)


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


class Fused(BFloat16Adam):
    """As on a GPU: all rows at once, by the function that is compiled there."""

    def step(self, weights, state, steps, gradient, lr):
        assert self._step_fused(weights, state, steps, gradient, lr)


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr(optimisers, "compiled_update", lambda: fused_update)


@pytest.mark.parametrize("lr", [1e-4, 1e-2])
def test_the_fused_step_trains_as_the_plain_one_does(uncompiled, lr):
    start = torch.ones(300, 64)
    expected = train(Adam(), start.clone(), lr)
    found = train(Fused(0), start.bfloat16(), lr)
    assert (found - expected).mean().abs() < 0.03 * (start - expected).mean().abs()
    assert (found - expected).std() < 0.02
    assert torch.equal(found, train(Fused(0), start.bfloat16(), lr))
    assert not torch.equal(found, train(Fused(1), start.bfloat16(), lr))


def test_hashed_bits_are_spread_evenly_and_differ_from_call_to_call():
    seeds = torch.tensor([[5], [6]], dtype=torch.int32)
    bits = torch.stack([hashed_bits(400, 384, seed[0]) for seed in seeds])
    for half in (bits & 0xFFFF, (bits >> 16) & 0xFFFF):
        assert half.float().mean().item() == pytest.approx(32767.5, rel=0.005)
        assert half.float().std().item() == pytest.approx(2**16 / 12**0.5, rel=0.01)
    pairs = [(bits[0], bits[1]), (bits[0, :-1], bits[0, 1:]), (bits[0, :, :-1], bits[0, :, 1:])]
    pairs.append((bits[0] & 0xFFFF, bits[0] >> 16))
    for one, other in pairs:
        assert torch.corrcoef(torch.stack([one.flatten().float(), other.flatten().float()]))[0, 1].abs() < 0.01
    assert not torch.equal(bits[0], bits[1])


def test_hashed_rounding_keeps_the_mean(uncompiled):
    """A weight between two bfloat16 numbers, which only rounding moves."""
    weights, (first, second), steps = (
        torch.ones(500, 200).bfloat16(),
        torch.zeros(2, 500, 200).bfloat16(),
        torch.ones(500, 1),
    )
    scalars = torch.tensor(2.0**-10), torch.tensor(1.0), torch.tensor(7, dtype=torch.int32)
    fused_update(weights, first, second, steps, torch.full((500, 200), -1.0), *scalars)
    assert set(weights.float().unique().tolist()) == {1.0, 1.0 + 2**-7}
    assert weights.float().mean().item() == pytest.approx(1 + 2**-10, abs=1e-4)
    assert second.float().mean().item() == pytest.approx(1e-3, rel=1e-3)


NO_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for a CPU with g++")
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.slow
@pytest.mark.parametrize("device", [pytest.param("cpu", marks=NO_COMPILER), pytest.param("cuda", marks=NO_GPU)])
def test_the_compiled_step_is_the_plain_one(device):
    results = []
    for update in (compiled_update(), compiled_update(), fused_update):
        generator = torch.Generator().manual_seed(3)
        weights, (first, second) = torch.ones(77, 64).bfloat16(), torch.zeros(2, 77, 64).bfloat16()
        tensors = [tensor.to(device) for tensor in (weights, first, second)]
        for step in range(3):
            steps, gradient = torch.full((77, 1), step + 1.0), torch.randn(77, 64, generator=generator)
            scalars = torch.tensor(0.01), torch.tensor(0.999), torch.tensor(step, dtype=torch.int32)
            update(*tensors, *(tensor.to(device) for tensor in (steps, gradient, *scalars)))
        results.append(tensors)
    for one, again, plain in zip(*results, strict=True):
        assert torch.equal(one, again)
        assert (one != plain).float().mean() < 0.001  # the last bit of float32 may differ
        torch.testing.assert_close(one, plain, atol=0.02, rtol=0)


def test_where_compiling_fails_the_plain_step_is_done_and_said_once(monkeypatch, caplog):
    def fails(*arguments):
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(optimisers, "compiled_update", lambda: fails)
    optimisers._log_no_compiler.cache_clear()
    for _ in range(2):
        optimiser = BFloat16Adam(0)
        weights = torch.ones(2, 4).bfloat16()
        assert not optimiser._step_fused(weights, optimiser.start(weights), torch.ones(2, 1), torch.ones(2, 4), 0.1)
        assert not optimiser.fused and (weights == 1).all()
    assert [record.message for record in caplog.records] == [
        "dense.precision=bf16 trains more slowly: torch.compile failed (RuntimeError: no compiler here)"
    ]


@pytest.mark.parametrize("make", [Adam, lambda decay: BFloat16Adam(0, decay), lambda decay: Fused(0, decay)])
def test_weight_decay_is_decoupled(uncompiled, make):
    """Without a gradient the weights shrink by lr λ a step."""
    optimiser = make(0.5)
    weights = torch.full((50, 64), 2.0, dtype=torch.float32 if isinstance(optimiser, Adam) else torch.bfloat16)
    state = optimiser.start(weights)
    for step in range(10):
        optimiser.step(weights, state, torch.full((50, 1), step + 1.0), torch.zeros(50, 64), 0.1)
    assert weights.float().mean().item() == pytest.approx(2 * 0.95**10, rel=2e-3)
