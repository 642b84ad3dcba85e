"""Shortlist classifiers: a vector per label, trained on each point's true labels and mined negatives alone.

A step costs (pairs x d), whatever the number of labels, and moves only the rows in its lists. Source of the idea: SLICE
(Jain et al., WSDM 2019) and NGAME (Dahiya et al., WSDM 2023), which train classifiers on mined negatives only.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from ramen.compiled import FAST, kernel
from ramen.scorers.dense.base import Classifier
from ramen.scorers.dense.classifier import TEMPERATURE
from ramen.scorers.dense.label_weights import Float32Weights
from ramen.scorers.dense.reduction import LocalReduction
from ramen.threads import parallel_for

_BETA, _EPS = 0.999, 1e-8
_Arrays = tuple[np.ndarray, ...]


class ShortlistClassifier(Classifier):
    """Scores q·w_l with a float32 vector w_l per label, started from the label's embedding.

    The loss is the decoupled softmax of :class:`ramen.scorers.dense.classifier.DenseClassifier`, or binary cross
    entropy, over the list of each point. The optimiser keeps one second moment a row. On the CPU kernels run
    it; elsewhere torch does.

    Args:
        start: float32 (L, d), copied; the classifiers stay on its device.
        temperature: of the scores in the loss.
        loss: ``softmax`` or ``bce``.

    Attributes:
        reduction: sums over all labels, where other ranks have some.

    Example:
        >>> model = ShortlistClassifier(torch.eye(3), temperature=0.1)
        >>> true, wrong = sp.csr_matrix([[1.0, 0, 0]]), sp.csr_matrix([[0, 1.0, 0]])
        >>> loss = model.fit_step(torch.tensor([[0.6, 0.8, 0.0]]), true, None, 0.01, wrong)
        >>> bool(model.weights[0, 0] > 1), bool(model.weights[1, 1] < 1), bool(model.weights[2, 2] == 1)
        (True, True, True)
    """

    def __init__(self, start: torch.Tensor, temperature: float = TEMPERATURE, loss: str = "softmax") -> None:
        self.weights = start.clone()
        self.n_labels, self.dim = start.shape
        self.temperature, self.loss, self.reduction = temperature, loss, LocalReduction()
        self._second = torch.zeros(len(start), device=start.device)
        self._steps = torch.zeros(len(start), device=start.device)

    @staticmethod
    def memory(labels: int, dim: int, batch_size: int, a_point: int) -> int:
        """Bytes that training takes: weights, state of the optimiser, and a batch's lists and gradients."""
        return labels * (4 * dim + 8) + batch_size * a_point * (32 + 4 * dim)

    def label_weights(self) -> Float32Weights:
        """See :class:`Classifier`."""
        return Float32Weights(self.weights.cpu().numpy())

    def fit_step(
        self,
        queries: torch.Tensor,
        targets: sp.csr_matrix,
        filtered: sp.csr_matrix | None,
        lr: float,
        shortlist: np.ndarray | sp.csr_matrix | None = None,
    ) -> torch.Tensor:
        """See :class:`Classifier`; true labels need not be in the lists, and true or filtered ones are no negatives."""
        n_pairs = self.reduction.pairs(targets)
        if not n_pairs:
            return torch.zeros((), device=self.weights.device)
        pairs = listed(targets, filtered, shortlist)
        step = self._in_kernels if self.weights.device.type == "cpu" else self._in_torch
        return self.reduction.total(step(queries, *pairs, lr)) / n_pairs

    def _in_kernels(
        self, queries: torch.Tensor, points: np.ndarray, labels: np.ndarray, is_true: np.ndarray, lr: float
    ) -> torch.Tensor:
        q, n = np.ascontiguousarray(queries.numpy()), len(queries)
        starts = np.searchsorted(points, np.arange(n + 1))
        weights = self.weights.numpy()
        pulls, logsum = np.empty(len(labels), dtype=np.float32), np.full(n, -np.inf)
        push, losses = np.zeros(n), np.zeros(n)
        a_point = 1.0 + len(labels) / n
        parallel_for(
            n, _scores, q, starts, labels, is_true, weights, 1 / self.temperature, pulls, logsum,
            work=a_point * self.dim,
        )  # fmt: skip
        bce = self.loss == "bce"
        if not bce:
            logsum = self.reduction.logsum(torch.from_numpy(logsum)).numpy()
        parallel_for(n, _pull, pulls, starts, is_true, logsum, bce, push, losses, work=20 * a_point)
        if not bce:
            push = self.reduction.total(torch.from_numpy(push)).numpy()
            parallel_for(n, _push, pulls, starts, is_true, logsum, push, work=20 * a_point)
        order = np.argsort(labels, kind="stable")
        bounds = np.append(np.flatnonzero(np.diff(labels[order], prepend=-1)), len(order))
        state = weights, self._second.numpy(), self._steps.numpy()
        scale, work = 1 / (self.temperature * n), 1.0 + self.dim * len(labels) / len(bounds)
        parallel_for(len(bounds) - 1, _move, q, points, labels, order, bounds, pulls, state, scale, lr, work=work)
        return torch.tensor(losses.sum())

    def _in_torch(
        self, queries: torch.Tensor, points: np.ndarray, labels: np.ndarray, is_true: np.ndarray, lr: float
    ) -> torch.Tensor:
        """The same, in torch: what runs on a GPU, and what the kernels are tested against."""
        device, n = self.weights.device, len(queries)
        queries = queries.to(device)
        at, columns, true = (torch.from_numpy(array).to(device) for array in (points, labels, is_true))
        scores = (queries[at] * self.weights[columns]).sum(1) / self.temperature
        if self.loss == "bce":
            margins, pulls = -scores, torch.sigmoid(scores) - true.float()
        else:
            wrong = scores.masked_fill(true, -torch.inf)
            highest = torch.full((n,), -1e30, device=device).scatter_reduce_(0, at, wrong, "amax")
            total = torch.zeros(n, device=device).index_add_(0, at, torch.exp(wrong - highest[at]))
            logsum = self.reduction.logsum(highest + total.log())
            margins = logsum[at] - scores
            pull = torch.where(true, torch.sigmoid(margins), 0.0)
            push = self.reduction.total(torch.zeros(n, device=device).index_add_(0, at, pull))
            pulls = torch.where(true, -pull, push[at] * torch.exp(wrong - logsum[at]))
        used, place = torch.unique(columns, return_inverse=True)
        gradient = torch.zeros(len(used), self.dim, device=device)
        gradient.index_add_(0, place, pulls[:, None] * queries[at] / (self.temperature * n))
        self._steps[used] += 1
        second = _BETA * self._second[used] + (1 - _BETA) * gradient.square().mean(1)
        self._second[used] = second
        size = (second / (1 - _BETA ** self._steps[used])).sqrt() + _EPS
        self.weights[used] -= lr * gradient / size[:, None]
        return torch.nn.functional.softplus(margins[true]).sum()


def listed(
    targets: sp.csr_matrix, filtered: sp.csr_matrix | None, shortlist: np.ndarray | sp.csr_matrix | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, labels (int64) and whether true (bool) of all pairs that take part, by point, then label.

    Args:
        targets: CSR (B, L).
        filtered: CSR (B, L) of pairs that are neither right nor wrong, or None.
        shortlist: CSR (B, L), labels that may compete for each point; int64 labels that may for all; or None for all.
    """
    n, n_labels = targets.shape
    if not isinstance(shortlist, sp.csr_matrix):
        every = np.arange(n_labels) if shortlist is None else shortlist
        competing = np.repeat(np.arange(n), len(every)) * n_labels + np.tile(every, n)
    else:
        competing = _keys(shortlist)
    true = np.unique(_keys(targets))
    not_negative = true if filtered is None else np.union1d(true, _keys(filtered))
    competing = np.unique(competing)
    competing = competing[~_among(competing, not_negative)]
    keys = np.concatenate([true, competing])
    order = np.argsort(keys, kind="stable")
    return keys[order] // n_labels, keys[order] % n_labels, order < len(true)


def _keys(matrix: sp.csr_matrix) -> np.ndarray:
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return rows * matrix.shape[1] + matrix.indices


def _among(keys: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    at = np.minimum(np.searchsorted(ascending, keys), max(0, len(ascending) - 1))
    return ascending[at] == keys if len(ascending) else np.zeros(len(keys), dtype=np.bool_)


@kernel(fastmath=FAST)
def _scores(
    first: int, last: int, queries: np.ndarray, starts: np.ndarray, labels: np.ndarray, is_true: np.ndarray,
    weights: np.ndarray, scale: float, scores: np.ndarray, logsum: np.ndarray,
) -> None:  # fmt: skip
    """Score of every pair, and log Σ exp of the wrong ones of every point, left alone where it has none."""
    for point in range(first, last):
        highest = -np.inf
        for at in range(starts[point], starts[point + 1]):
            total = np.float32(0.0)
            for j in range(queries.shape[1]):
                total += queries[point, j] * weights[labels[at], j]
            scores[at] = total * np.float32(scale)
            if not is_true[at]:
                highest = max(highest, scores[at])
        wrong = 0.0
        for at in range(starts[point], starts[point + 1]):
            if not is_true[at]:
                wrong += np.exp(scores[at] - highest)
        if wrong > 0:
            logsum[point] = highest + np.log(wrong)


@kernel(fastmath=FAST)
def _pull(
    first: int, last: int, scores: np.ndarray, starts: np.ndarray, is_true: np.ndarray, logsum: np.ndarray, bce: bool,
    push: np.ndarray, losses: np.ndarray,
) -> None:  # fmt: skip
    """Put the derivative of the loss in the place of every true score, or with BCE of all; add up what points pull.

    The pull of a point is what its wrong labels share.
    """
    for point in range(first, last):
        for at in range(starts[point], starts[point + 1]):
            score = scores[at]
            if bce:
                scores[at] = 1.0 / (1.0 + np.exp(-score))
            if is_true[at]:
                margin = -score if bce else logsum[point] - score
                losses[point] += np.log1p(np.exp(-abs(margin))) + max(margin, 0.0)
                pull = 1.0 / (1.0 + np.exp(-margin))
                push[point] += pull
                scores[at] = -pull


@kernel(fastmath=FAST)
def _push(
    first: int, last: int, scores: np.ndarray, starts: np.ndarray, is_true: np.ndarray, logsum: np.ndarray,
    push: np.ndarray,
) -> None:  # fmt: skip
    """Put the derivative of the loss in the place of every wrong score."""
    for point in range(first, last):
        for at in range(starts[point], starts[point + 1]):
            if not is_true[at]:
                scores[at] = np.exp(scores[at] - logsum[point]) * push[point]


@kernel(fastmath=FAST)
def _move(
    first: int, last: int, queries: np.ndarray, points: np.ndarray, labels: np.ndarray, order: np.ndarray,
    bounds: np.ndarray, pulls: np.ndarray, state: _Arrays, scale: float, lr: float,
) -> None:  # fmt: skip
    """Move every label of the lists by the gradient of all its pairs; no two threads meet in a row."""
    weights, second, steps = state
    dim = queries.shape[1]
    for place in range(first, last):
        label = labels[order[bounds[place]]]
        gradient = np.zeros(dim, dtype=np.float32)
        for at in range(bounds[place], bounds[place + 1]):
            pair = order[at]
            pull, point = pulls[pair] * np.float32(scale), points[pair]
            for j in range(dim):
                gradient[j] += pull * queries[point, j]
        square = np.float32(0.0)
        for j in range(dim):
            square += gradient[j] * gradient[j]
        steps[label] += 1
        second[label] = _BETA * second[label] + (1 - _BETA) * square / dim
        size = np.float32(lr / (np.sqrt(second[label] / (1 - _BETA ** steps[label])) + _EPS))
        for j in range(dim):
            weights[label, j] -= size * gradient[j]
