"""Gradient caching gives the gradients of the whole batch, dropout and all."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hlm_bridge.caching import backward
from hlm_bridge.losses import contrastive


def gradients(chunk, dropout):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Dropout(dropout), nn.Tanh(), nn.Linear(16, 5))
    queries, documents, hard = torch.randn(7, 6), torch.randn(7, 6), torch.randn(3, 6)
    not_negative = torch.eye(7, dtype=torch.bool)

    def of(inputs):
        return lambda part: F.normalize(model(inputs[part]), dim=1)

    def loss(q, d, h):
        return contrastive(q, d, not_negative, 0.1, 0.1, h)

    torch.manual_seed(1)
    value = backward([(of(queries), 7), (of(documents), 7), (of(hard), 3)], loss, chunk)
    return value.item(), [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
def test_gradients_are_those_of_the_whole_batch(chunk):
    value, whole = gradients(0, 0.0)
    found, cached = gradients(chunk, 0.0)
    assert found == pytest.approx(value)
    for ours, theirs in zip(cached, whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_dropout_is_the_same_in_both_passes():
    """In chunks as large as the sets the draws are those of the plain pass."""
    value, whole = gradients(0, 0.5)
    found, cached = gradients(100, 0.5)
    assert found == pytest.approx(value)
    for ours, theirs in zip(cached, whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
