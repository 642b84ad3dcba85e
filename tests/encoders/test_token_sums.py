"""Sums of token vectors against torch's own, with gradients, for ordinary and ugly texts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ramen.encoders.token_sums import TokenSums
from ramen.threads import limited

TEXTS = st.lists(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=12), max_size=9)


def leaves(seed, dim):
    generator = torch.Generator().manual_seed(seed)
    shapes = (6, dim), (6,), (2,)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def tokens_of(texts):
    entries = np.array([entry for text in texts for entry, _ in text], dtype=np.int64)
    titles = np.array([title for text in texts for _, title in text], dtype=np.bool_)
    return entries, titles, np.cumsum([0, *map(len, texts)])


def by_torch(vectors, weights, field, entries, titles, starts):
    entries, titles = torch.from_numpy(entries), torch.from_numpy(titles).long()
    each = vectors[entries] * (weights[entries] * field[titles])[:, None]
    return torch.stack([each[first:last].sum(0) for first, last in zip(starts, starts[1:], strict=False)])


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.integers(0, 3), st.sampled_from([1, 2, 7, 16]))
def test_equals_torch(texts, seed, dim):
    tokens, found, expected = tokens_of(texts), leaves(seed, dim), leaves(seed, dim)
    sums = TokenSums.apply(*found, *tokens)
    assert sums.shape == (len(texts), dim)
    if not texts:
        return
    plain = by_torch(*expected, *tokens)
    torch.testing.assert_close(sums, plain, rtol=1e-4, atol=1e-4)
    (sums.sin().sum()).backward()
    (plain.sin().sum()).backward()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-4)


def test_gradients_of_several_calls_add_up():
    tokens, once, twice = tokens_of([[(0, True), (3, False)], [(3, False)]]), leaves(0, 4), leaves(0, 4)
    (2 * TokenSums.apply(*once, *tokens)).sum().backward()
    for _ in range(2):
        TokenSums.apply(*twice, *tokens).sum().backward()
    for one, other in zip(once, twice, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_matter(threads):
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 60, 300)
    starts, count = np.concatenate([[0], np.cumsum(lengths)]), int(lengths.sum())
    tokens = rng.integers(0, 200, count), rng.random(count) < 0.2, starts
    results = []
    for number in (1, threads):
        generator = torch.Generator().manual_seed(0)
        given_ = [torch.randn(shape, generator=generator).requires_grad_() for shape in ((200, 64), (200,), (2,))]
        with limited(number):
            sums = TokenSums.apply(*given_, *tokens)
            sums.square().sum().backward()
        results.append([sums.detach(), *(leaf.grad for leaf in given_)])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
