"""Train the network: words → hidden layer → all labels, by the binary cross-entropy of every label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from ramen.losses import check_loss
from ramen.progress import progress

if TYPE_CHECKING:
    from ramen.config import NetworkConfig

BATCH = 256
_LEAST_EPOCHS, _MOST_EPOCHS = 2, 20
_SCALE = 5.0  # of a text's row of length 1 on its way in: the hidden layer then starts with values around 0.5
_START = 0.1  # standard deviation of the word vectors at the start
_DROPOUT = 0.2
_LAST = 0.02  # of the learning rate, which falls to it linearly


def epochs_of(n_points: int, updates: int) -> int:
    """Return the passes over the points that come nearest to a number of updates, 2 to 20.

    Example:
        >>> epochs_of(16_000, 400), epochs_of(1_000_000, 400), epochs_of(300, 400)
        (6, 2, 20)
    """
    return min(max(round(updates / -(-n_points // BATCH)), _LEAST_EPOCHS), _MOST_EPOCHS)


def train_network(
    words: sp.csr_matrix,
    targets: sp.csr_matrix,
    filtered: sp.csr_matrix,
    settings: NetworkConfig,
    seed: int,
    disable_progress: bool | None = None,
) -> dict[str, np.ndarray]:
    """Train the network on the CPU; the same inputs give the same weights.

    Args:
        words: float32 CSR (n, F), rows of unit length or empty.
        targets: CSR (n, L).
        filtered: CSR (n, L), pairs that are neither right nor wrong.
        settings: width, learning rate and number of updates.
        seed: of the weights, the dropout and the order of the points.
        disable_progress: as :func:`ramen.progress.progress` takes it.

    Returns:
        ``words`` float32 (F, width) and ``words_bias`` (width,) of the hidden layer max(0, x · words + words_bias);
        ``labels`` (L, width) and ``labels_bias`` (L,) of the logits hidden · labels + labels_bias.

    Raises:
        WorkError: the loss is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    n, n_labels, width = words.shape[0], targets.shape[1], settings.width
    rates = (np.asarray((targets > 0).sum(axis=0), dtype=np.float64).ravel() + 0.5) / (n + 1.0)
    vectors = torch.randn(words.shape[1], width, generator=generator).mul_(_START).requires_grad_()
    bias = torch.zeros(width, requires_grad=True)
    labels = torch.randn(n_labels, width, generator=generator).mul_(width**-0.5).requires_grad_()
    labels_bias = torch.from_numpy(np.log(rates / (1 - rates)).astype(np.float32)).requires_grad_()
    optimisers = torch.optim.SparseAdam([vectors], lr=settings.lr), torch.optim.Adam([bias, labels, labels_bias])
    rng, steps = np.random.default_rng([seed, 6]), -(-n // BATCH)
    epochs = epochs_of(n, settings.updates)
    for epoch in range(epochs):
        order, total = rng.permutation(n), 0.0
        name = f"network {epoch + 1}/{epochs}"
        for step in progress(range(steps), desc=name, unit="batch", disable=disable_progress):
            rows = np.sort(order[step * BATCH : (step + 1) * BATCH])
            done = (epoch * steps + step) / (epochs * steps)
            for optimiser in optimisers:
                optimiser.zero_grad()
                optimiser.param_groups[0]["lr"] = settings.lr * max(1.0 - done, _LAST)
            hidden = F.relu(_sums(words[rows], vectors) * _SCALE + bias)
            kept = torch.rand(hidden.shape, generator=generator) >= _DROPOUT
            logits = (hidden * kept / (1.0 - _DROPOUT)) @ labels.T + labels_bias
            right, known = _dense(targets[rows]), 1.0 - _dense(filtered[rows])
            loss = F.binary_cross_entropy_with_logits(logits, right, known, reduction="sum") / len(rows)
            loss.backward()
            for optimiser in optimisers:
                optimiser.step()
            total += float(loss.detach())
            check_loss(total, "network", "network.lr", epoch, step)
    weights = {"words": vectors * _SCALE, "words_bias": bias, "labels": labels, "labels_bias": labels_bias}
    return {name: tensor.detach().numpy() for name, tensor in weights.items()}


def _sums(rows: sp.csr_matrix, vectors: torch.Tensor) -> torch.Tensor:
    """Sums of the word vectors of texts, weighed by their values, float32 (B, width)."""
    indices, starts = (torch.from_numpy(part.astype(np.int64)) for part in (rows.indices, rows.indptr[:-1]))
    values = torch.from_numpy(rows.data.astype(np.float32))
    return F.embedding_bag(indices, vectors, starts, mode="sum", sparse=True, per_sample_weights=values)


def _dense(pairs: sp.csr_matrix) -> torch.Tensor:
    return torch.from_numpy((pairs.toarray() > 0).astype(np.float32))
