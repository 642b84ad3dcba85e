"""Losses against plain loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hlm_bridge.losses import alignment, contrastive


def unit(n, d, seed):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


def plain(q, d, known, tau, margin, h, known_h):
    total = 0.0
    for i in range(len(q)):
        positive = float(q[i] @ d[i])
        z = math.exp(positive / tau)
        others = [(float(q[i] @ d[j]), bool(known[i, j])) for j in range(len(q))]
        if margin is not None:
            both = [bool(known[i, j] or known[j, i]) for j in range(len(q))]
            others += [(float(q[i] @ q[j]), both[j]) for j in range(len(q))]
            others += [(float(d[i] @ d[j]), both[j]) for j in range(len(q))]
        others += [(float(q[i] @ h[j]), bool(known_h[i, j])) for j in range(len(h))]
        for score, is_known in others:
            if not is_known and (margin is None or score <= positive + margin):
                z += math.exp(score / tau)
        total -= math.log(math.exp(positive / tau) / z)
    return total / len(q)


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(0, 4), st.integers(0, 99), st.sampled_from([None, 0.0, 0.1, 2.0]))
def test_contrastive_is_its_formula(n, hard, seed, margin):
    q, d, h = unit(n, 5, seed), unit(n, 5, seed + 1), unit(hard, 5, seed + 2) if hard else torch.zeros(0, 5).double()
    generator = torch.Generator().manual_seed(seed)
    known = (torch.rand(n, n, generator=generator) < 0.3) | torch.eye(n, dtype=torch.bool)
    known_h = torch.rand(n, hard, generator=generator) < 0.3
    found = contrastive(q, d, known, 0.2, margin, h, known_h)
    assert found.item() == pytest.approx(plain(q, d, known, 0.2, margin, h, known_h), abs=1e-9)


def test_a_false_negative_leads_no_gradient():
    """A document scored far above the positive is taken for another right one."""
    q = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    d = F.normalize(torch.tensor([[0.5, 1.0], [1.0, 0.05]]), dim=1).requires_grad_()
    known = torch.eye(2, dtype=torch.bool)
    masked = contrastive(q, d, known, 0.05, 0.1)
    gradient = torch.autograd.grad(masked, d)[0]
    assert contrastive(q, d, known, 0.05, None).item() > 5
    assert masked.item() < 1 and gradient.isfinite().all()


def test_a_single_pair_has_nothing_to_tell_apart():
    one = unit(1, 4, 0)
    assert contrastive(one, one, torch.ones(1, 1, dtype=torch.bool), 0.05, 0.1).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("kind", ["l2", "cosine", "kl", "kernel"])
def test_alignment_is_least_where_the_vectors_are_equal(kind):
    teacher = unit(7, 6, 3)
    student = unit(7, 6, 4).requires_grad_()
    assert alignment(teacher, teacher, kind).item() == pytest.approx(0, abs=1e-9)
    away = alignment(student, teacher, kind)
    assert away.item() > 0.01
    gradient = torch.autograd.grad(away, student)[0]
    nearer = F.normalize(student.detach() - 0.01 * gradient / gradient.norm(), dim=1)
    assert alignment(nearer, teacher, kind).item() < away.item()


def test_cosine_is_half_of_l2_and_kernel_ignores_rotations():
    student, teacher = unit(5, 4, 1), unit(5, 4, 2)
    assert alignment(student, teacher, "l2").item() == pytest.approx(2 * alignment(student, teacher, "cosine").item())
    rotation = torch.linalg.qr(unit(4, 4, 5))[0]
    assert alignment(teacher @ rotation, teacher, "kernel").item() == pytest.approx(0, abs=1e-12)
    assert alignment(teacher @ rotation, teacher, "l2").item() > 0.1


def test_nested_dimensions_are_aligned_by_themselves():
    student, teacher = unit(5, 8, 1), unit(5, 8, 2)
    parts = [
        alignment(F.normalize(student[:, :k], dim=1), F.normalize(teacher[:, :k], dim=1), "l2").item() for k in (8, 2)
    ]
    assert alignment(student, teacher, "l2", nested=[2, 8, 16]).item() == pytest.approx(sum(parts) / 2)


@pytest.mark.parametrize("kind", ["l2", "cosine", "kl", "kernel"])
def test_one_text_alone_is_fine(kind):
    student = unit(1, 4, 0).requires_grad_()
    alignment(student, unit(1, 4, 1), kind).backward()
    assert student.grad.isfinite().all()
