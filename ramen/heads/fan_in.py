"""Fixed fan-in head: k weights a label over the encoder's vector, moved about while they are trained.

Source: dynamic sparse training (RigL, Evci et al., ICML 2020), for heads of many labels as in "Navigating Extremes"
(Ullah et al., NeurIPS 2024): every some steps the smallest weights of a label give way to those places where the
gradient is largest.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import scipy.sparse as sp
import torch

from ramen.errors import InputError
from ramen.heads.dense import DenseHead
from ramen.heads.fan_in_rows import FanInRows, main_directions

_FAST = {"reassoc", "contract", "nsz"}
_SHARE = 0.3  # of a label's weights that move at first; it falls to none
_MOVES = 40  # times that weights move, in all


class FanInHead(DenseHead):
    """A :class:`DenseHead` of which only k coordinates a row are kept, with their moments.

    The axes are the main directions of the labels' starting vectors (:class:`FanInRows`).

    Args:
        start: float32 (L, d); a label starts with the k largest coordinates of its vector.
        fan_in: k.
        rewire: steps between two moves of weights.
        temperature, chunk, loss: see :class:`DenseHead`.
        rotation: float32 (d, d), axes in place of the main directions of ``start``.

    Raises:
        InputError: k is above d.

    Example:
        >>> head = FanInHead(torch.tensor([[3.0, 1.0, -2.0]]), fan_in=1)
        >>> head.rows().dense().round(3).tolist()
        [[3.0, 1.0, -2.0]]
    """

    def __init__(
        self,
        start: torch.Tensor,
        fan_in: int = 32,
        rewire: int = 10,
        temperature: float = 0.05,
        chunk: int = 100_000,
        loss: str = "softmax",
        rotation: np.ndarray | None = None,
    ) -> None:
        if fan_in > start.shape[1]:
            raise InputError(f"head.fan_in={fan_in}: the encoder's vectors have {start.shape[1]} dimensions")
        rotation = main_directions(start.cpu().numpy()) if rotation is None else rotation
        self.rotation = torch.from_numpy(rotation).to(start.device)
        start = start @ self.rotation
        self.columns = start.abs().topk(fan_in, dim=1).indices.sort(1).values
        super().__init__(start.gather(1, self.columns), temperature, chunk, "fp32", loss)
        self.dim, self.fan_in, self.rewire = start.shape[1], fan_in, rewire
        self._taken = 0  # steps

    @staticmethod
    def memory(labels: int, dim: int, batch_size: int, chunk: int, precision: str = "fp32", fan_in: int = 32) -> int:
        """Bytes that training takes: values, columns and two moments, and a chunk's scores, dense rows and gradient."""
        return labels * (20 * fan_in + 4) + 4 * min(labels, chunk) * (batch_size + 2 * dim)

    def scores(self, queries: torch.Tensor) -> torch.Tensor:
        """float32 (B, L)."""
        queries = queries.to(self.weights.device) @ self.rotation
        return queries @ self._dense(self.weights, self.columns).T

    def rows(self) -> FanInRows:
        """See :class:`Head`."""
        return FanInRows(*(tensor.cpu().numpy() for tensor in (self.weights, self.columns, self.rotation)))

    def state(self) -> dict[str, torch.Tensor]:
        """See :class:`Head`."""
        return {
            **super().state(),
            "columns": self.columns,
            "rotation": self.rotation,
            "taken": torch.tensor(self._taken),
        }

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """See :class:`Head`."""
        super().restore(state)
        self.columns, self.rotation = state["columns"].clone(), state["rotation"].clone()
        self._taken = int(state["taken"])

    def fit_step(
        self,
        queries: torch.Tensor,
        targets: sp.csr_matrix,
        filtered: sp.csr_matrix | None,
        lr: float,
        shortlist: np.ndarray | sp.csr_matrix | None = None,
    ) -> float:
        """See :class:`Head`."""
        queries = queries.to(self.weights.device) @ self.rotation
        loss = super().fit_step(queries, targets, filtered, lr, shortlist)
        self._taken += bool(self.across.pairs(targets))
        return loss

    def _tensors(self) -> tuple[torch.Tensor, ...]:
        return (*super()._tensors(), self.columns)

    def _as_rows(self, tensors: tuple[torch.Tensor, ...], start: int, stop: int) -> torch.Tensor:
        return self._dense(tensors[0][start:stop], tensors[-1][start:stop])

    def _true_scores(
        self, tensors: tuple[torch.Tensor, ...], scaled: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
    ) -> torch.Tensor:
        return (scaled[rows].gather(1, tensors[-1][columns]) * tensors[0][columns]).sum(1)

    def _move(self, moved: tuple[torch.Tensor, ...], gradient: torch.Tensor, scaled: torch.Tensor, lr: float) -> None:
        weights, steps, first, second, columns = moved
        moves = self._taken // self.rewire
        if self._taken % self.rewire == 0 and 0 < moves <= _MOVES:
            step = torch.mm(gradient.T, scaled)
            share = _SHARE / 2 * (1 + math.cos(math.pi * (moves - 1) / _MOVES))
            _rewire(moved, step, round(share * self.fan_in))
            step = step.gather(1, columns)
        elif weights.device.type == "cpu":
            step = torch.from_numpy(_gradient(gradient.numpy(), scaled.T.contiguous().numpy(), columns.numpy()))
        else:
            step = torch.mm(gradient.T, scaled).gather(1, columns)
        self._optimiser.step(weights, (first, second), steps, step, lr)

    def _dense(self, weights: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        return self._buffer("part", len(weights), self.dim).zero_().scatter_(1, columns, weights)


def _rewire(moved: tuple[torch.Tensor, ...], gradient: torch.Tensor, count: int) -> None:
    """Exchange the ``count`` smallest weights of each row for those places whose gradient is largest; in place."""
    weights, _, first, second, columns = moved
    if not count or weights.shape[1] == gradient.shape[1]:
        return
    touched = gradient.abs().amax(1) > 0  # a label that nothing pulls at keeps what it has
    lost = weights.abs().topk(count, dim=1, largest=False).indices
    gained = gradient.abs().scatter(1, columns, -1.0).topk(min(count, gradient.shape[1] - weights.shape[1]), dim=1)
    lost = lost[:, : gained.indices.shape[1]]
    columns.copy_(torch.where(touched[:, None], columns.scatter(1, lost, gained.indices), columns))
    for tensor in (weights, first, second):
        tensor.copy_(torch.where(touched[:, None], tensor.scatter(1, lost, 0.0), tensor))
    order = columns.argsort(1)
    for tensor in (columns, weights, first, second):
        tensor.copy_(tensor.gather(1, order))


@numba.njit(cache=True, parallel=True, fastmath=_FAST)
def _gradient(pulls: np.ndarray, queries: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Σ over the batch of pulls (B, L) times queries (d, B), at the columns (L, k) alone."""
    out = np.empty(columns.shape, dtype=np.float32)
    for label in numba.prange(len(columns)):
        pull = pulls[:, label].copy()
        for at in range(columns.shape[1]):
            query = queries[columns[label, at]]
            total = np.float32(0.0)
            for point in range(len(pull)):
                total += pull[point] * query[point]
            out[label, at] = total
    return out
