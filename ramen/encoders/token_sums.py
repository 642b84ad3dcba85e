"""Weighted sums of token vectors with their gradients, compiled: nearly all of a static encoder's time on a CPU.

A step reads some hundred thousand token vectors, most of them many times. torch sums them in one pass and takes ten
more for the gradients: it sorts the tokens, makes a table of gradients for each call and adds these up. Here tokens are
grouped by counting, and each vector's gradient is summed in the cache and added to ``vectors.grad`` once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ramen.compiled import FAST, kernel
from ramen.threads import parallel_for


class TokenSums(torch.autograd.Function):
    """Σ_t field[is_title(t)] weights[t] vectors[t] over the tokens of each text, float32 (B, d).

    The gradient of ``vectors`` is added to ``vectors.grad``, not returned: it has few rows, and torch would add up a
    table for each call.
    """

    @staticmethod
    def forward(
        ctx: Any,
        vectors: torch.Tensor,
        weights: torch.Tensor,
        field: torch.Tensor,
        entries: np.ndarray,
        titles: np.ndarray,
        starts: np.ndarray,
    ) -> torch.Tensor:
        """Sum.

        Args:
            ctx: torch's.
            vectors: float32 (V, d), a leaf on the CPU.
            weights: float32 (V,).
            field: float32 (2,), of tokens of the content and of the title.
            entries: int64 (T,), rows of ``vectors``, the tokens of all texts.
            titles: bool (T,), which are of a title.
            starts: int64 (B + 1,), the first token of each text.
        """
        sums = torch.empty(len(starts) - 1, vectors.shape[1])
        tables = vectors.detach().numpy(), weights.detach().numpy(), field.detach().numpy()
        work = 1 + vectors.shape[1] / 8 * len(entries) / max(1, len(sums))
        parallel_for(len(sums), _sum, *tables, entries, titles, starts, sums.numpy(), work=work)
        ctx.vectors, ctx.tables, ctx.tokens = vectors, tables, (entries, titles, starts)
        return sums

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of ``weights`` and ``field``; that of ``vectors`` is added to it."""
        (vectors, weights, field), (entries, titles, starts) = ctx.tables, ctx.tokens
        used, bounds, texts, of_title = _grouped(entries, titles, starts, len(vectors))
        if ctx.vectors.grad is None:
            ctx.vectors.grad = torch.zeros_like(ctx.vectors)
        dots = np.empty((len(used), 2), dtype=np.float32)
        work = 1 + vectors.shape[1] / 8 * (len(entries) / max(1, len(used)) + 3)
        parallel_for(
            len(used), _add_gradients, used, bounds, texts, of_title, np.ascontiguousarray(gradient.numpy()),
            vectors, weights, field, ctx.vectors.grad.numpy(), dots, work=work,
        )  # fmt: skip
        of_weights = np.zeros(len(weights), dtype=np.float32)
        of_weights[used] = dots @ field
        of_field = (dots * weights[used, None]).sum(0, dtype=np.float64).astype(np.float32)
        return None, torch.from_numpy(of_weights), torch.from_numpy(of_field), None, None, None


@kernel(fastmath=FAST)
def _sum(
    first: int, last: int, vectors: np.ndarray, weights: np.ndarray, field: np.ndarray, entries: np.ndarray,
    titles: np.ndarray, starts: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    for text in range(first, last):
        total = out[text]
        total[:] = 0
        for at in range(starts[text], starts[text + 1]):
            vector = vectors[entries[at]]
            weight = weights[entries[at]] * field[int(titles[at])]
            for j in range(total.size):
                total[j] += weight * vector[j]


@kernel
def _grouped(
    entries: np.ndarray, titles: np.ndarray, starts: np.ndarray, n_entries: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Entries in use, ascending; where the tokens of each begin; the text of each token, and whether of its title."""
    counts = np.zeros(n_entries, dtype=np.int64)
    for entry in entries:
        counts[entry] += 1
    used = np.flatnonzero(counts)
    bounds = np.zeros(len(used) + 1, dtype=np.int64)
    for place in range(len(used)):
        bounds[place + 1] = bounds[place] + counts[used[place]]
        counts[used[place]] = bounds[place]
    texts = np.empty(len(entries), dtype=np.int64)
    of_title = np.empty(len(entries), dtype=np.bool_)
    for text in range(len(starts) - 1):
        for at in range(starts[text], starts[text + 1]):
            place = counts[entries[at]]
            counts[entries[at]] += 1
            texts[place] = text
            of_title[place] = titles[at]
    return used, bounds, texts, of_title


@kernel(fastmath=FAST)
def _add_gradients(
    first: int, last: int, used: np.ndarray, bounds: np.ndarray, texts: np.ndarray, of_title: np.ndarray,
    gradient: np.ndarray, vectors: np.ndarray, weights: np.ndarray, field: np.ndarray, out: np.ndarray,
    dots: np.ndarray,
) -> None:  # fmt: skip
    """Add the vectors' gradients to ``out``; ``dots`` gets vector · gradients of its tokens, of contents and titles."""
    dim = vectors.shape[1]
    sums = np.empty((2, dim), dtype=np.float32)
    for place in range(first, last):
        sums[:] = 0
        for at in range(bounds[place], bounds[place + 1]):
            total, row = sums[int(of_title[at])], gradient[texts[at]]
            for j in range(dim):
                total[j] += row[j]
        entry = used[place]
        content, title = np.float32(0), np.float32(0)
        for j in range(dim):
            content += vectors[entry, j] * sums[0, j]
            title += vectors[entry, j] * sums[1, j]
            out[entry, j] += weights[entry] * (field[0] * sums[0, j] + field[1] * sums[1, j])
        dots[place, 0], dots[place, 1] = content, title
