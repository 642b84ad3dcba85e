"""Products in bfloat16 and float32 against torch's own, with gradients."""

import pytest
import torch

from ramen.encoders import product as module
from ramen.encoders.product import product


@pytest.mark.parametrize("shape", [(0, 3, 4), (1, 1, 1), (5, 3, 64), (200, 48, 130), (64, 32, 128)], ids=str)
@pytest.mark.parametrize(("native", "error"), [(True, 0.02), (False, 1e-6)])
def test_equals_torch(shape, native, error, monkeypatch):
    monkeypatch.setattr(module, "computes_bfloat16", lambda device: native)
    n, d, m = shape
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(rows, d, generator=generator)) for rows in (n, m))
    found, expected = ([tensor.clone().requires_grad_() for tensor in (a, b)] for _ in range(2))
    value, plain = product(*found), expected[0] @ expected[1].T
    assert value.shape == (n, m) and value.dtype == torch.float32
    torch.testing.assert_close(value, plain, rtol=error, atol=error)
    (value.sum() * 0.1).backward()
    (plain.sum() * 0.1).backward()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=error, atol=error)


def test_other_types_are_left_to_torch(monkeypatch):
    monkeypatch.setattr(module, "computes_bfloat16", lambda device: True)
    a = torch.randn(2, 3, dtype=torch.float64)
    assert torch.equal(product(a, a), a @ a.T)
