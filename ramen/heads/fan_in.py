"""Fixed fan-in head: a label's vector is a sum of k atoms, of those that all labels share.

Source: heads of many labels with k weights each (Ullah et al., "Navigating Extremes", NeurIPS 2024), whose weights may
move while they are trained (RigL, Evci et al., ICML 2020): every some steps the smallest weights of a label give way to
those atoms where the gradient is largest. There a layer in the middle is trained to be worth reading; here the atoms
stay as they are (:mod:`ramen.heads.atoms`), so that all else is the dense head.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp
import torch

from ramen.compiled import FAST, kernel
from ramen.errors import InputError
from ramen.heads.atoms import BLOCK, make_atoms, most_atoms, sparse_codes
from ramen.heads.dense import DenseHead, State
from ramen.heads.fan_in_rows import FanInRows
from ramen.threads import parallel_for

_SHARE = 0.15  # of a label's weights that move at first; it falls to none
_MOVES = 40  # times that weights move, in all


class FanInHead(DenseHead):
    """A :class:`DenseHead` over the queries' products with M atoms, of which a label reads k.

    Args:
        start: float32 (L, d); a label starts with the k atoms whose sum is nearest to its vector.
        fan_in: k.
        rewire: steps between two moves of weights; 0 for none.
        temperature, chunk, loss: see :class:`DenseHead`.
        atoms: float32 (M, d), in place of those of ``start``.

    Raises:
        InputError: k is above d.

    Example:
        >>> head = FanInHead(torch.tensor([[3.0, 1.0, -2.0]]), fan_in=1)
        >>> head.rows().dense().round(2).tolist()
        [[3.0, 1.0, -2.0]]
    """

    def __init__(
        self,
        start: torch.Tensor,
        fan_in: int = 32,
        rewire: int = 0,
        temperature: float = 0.05,
        chunk: int = 100_000,
        loss: str = "softmax",
        atoms: np.ndarray | None = None,
    ) -> None:
        if fan_in > start.shape[1]:
            raise InputError(f"head.fan_in={fan_in}: the encoder's vectors have {start.shape[1]} dimensions")
        vectors = start.cpu().numpy()
        atoms = make_atoms(vectors) if atoms is None else atoms
        weights, columns = (torch.from_numpy(found).to(start.device) for found in sparse_codes(vectors, atoms, fan_in))
        super().__init__(weights, temperature, chunk, "fp32", loss)
        self.atoms, self.columns = torch.from_numpy(atoms).to(start.device), columns
        self.dim, self.fan_in, self.rewire = start.shape[1], fan_in, rewire
        self._taken = 0  # steps

    @staticmethod
    def memory(labels: int, dim: int, batch_size: int, chunk: int, precision: str = "fp32", fan_in: int = 32) -> int:
        """Bytes that training takes: values, columns, two moments; a chunk's scores; products while codes are found."""
        found = 4 * min(labels, BLOCK) * most_atoms(labels, dim)
        return labels * (20 * fan_in + 4) + max(8 * min(labels, chunk) * batch_size, found)

    def scores(self, queries: torch.Tensor) -> torch.Tensor:
        """float32 (B, L)."""
        met = queries.to(self.weights.device) @ self.atoms.T
        return self._scores(self._tensors(), met, 0, self.n_labels).clone()

    def rows(self) -> FanInRows:
        """See :class:`Head`."""
        return FanInRows(*(tensor.cpu().numpy() for tensor in (self.weights, self.columns, self.atoms)))

    def state(self) -> dict[str, torch.Tensor]:
        """See :class:`Head`."""
        return {
            **super().state(),
            "columns": self.columns,
            "atoms": self.atoms,
            "taken": torch.tensor(self._taken),
        }

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """See :class:`Head`."""
        super().restore(state)
        self.columns, self.atoms = state["columns"].clone(), state["atoms"].clone()
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
        queries = queries.to(self.weights.device) @ self.atoms.T
        loss = super().fit_step(queries, targets, filtered, lr, shortlist)
        self._taken += bool(self.across.pairs(targets))
        return loss

    def _tensors(self) -> State:
        return (*super()._tensors(), self.columns)

    def _scores(self, tensors: State, scaled: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        weights, columns = tensors[0][start:stop], tensors[-1][start:stop]
        if weights.device.type != "cpu":
            rows = self._buffer("rows", len(weights), len(self.atoms)).zero_().scatter_(1, columns, weights)
            return torch.mm(scaled, rows.T, out=self._buffer("scores", len(scaled), len(rows)))
        out = self._buffer("scores", len(weights), len(scaled))
        parts = _by_atom(scaled), weights.numpy(), columns.numpy(), out.numpy()
        parallel_for(len(out), _sums, *parts, work=1.0 + self.fan_in * len(scaled))
        return out.T

    def _true_scores(
        self, tensors: State, scaled: torch.Tensor, rows: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        return (scaled[rows[:, None], tensors[-1][labels]] * tensors[0][labels]).sum(1)

    def _move(self, moved: State, gradient: torch.Tensor, scaled: torch.Tensor, lr: float) -> None:
        weights, steps, first, second, columns = moved
        moves = self._taken // self.rewire if self.rewire else 0
        if 0 < moves <= _MOVES and self._taken % self.rewire == 0:
            step = torch.mm(gradient.T, scaled)
            share = _SHARE / 2 * (1 + math.cos(math.pi * (moves - 1) / _MOVES))
            _rewire(moved, step, round(share * self.fan_in))
            step = step.gather(1, columns)
        elif weights.device.type == "cpu":
            step = torch.empty(columns.shape)
            parts = gradient.T.contiguous().numpy(), _by_atom(scaled), columns.numpy(), step.numpy()
            parallel_for(len(step), _gradient, *parts, work=1.0 + self.fan_in * len(scaled))
        else:
            step = torch.mm(gradient.T, scaled).gather(1, columns)
        self._optimiser.step(weights, (first, second), steps, step, lr)


def _by_atom(scaled: torch.Tensor) -> np.ndarray:
    return scaled.T.contiguous().numpy()


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


@kernel(fastmath=FAST)
def _sums(
    first: int, last: int, queries: np.ndarray, weights: np.ndarray, columns: np.ndarray, out: np.ndarray
) -> None:
    """Scores (L, B) of queries by atom (M, B), as sums of the label's k rows."""
    for label in range(first, last):
        total = out[label]
        total[:] = np.float32(0.0)
        for at in range(weights.shape[1]):
            weight, query = weights[label, at], queries[columns[label, at]]
            for point in range(len(total)):
                total[point] += weight * query[point]


@kernel(fastmath=FAST)
def _gradient(
    first: int, last: int, pulls: np.ndarray, queries: np.ndarray, columns: np.ndarray, out: np.ndarray
) -> None:
    """Σ over the batch of pulls (L, B) times queries by atom (M, B), at the columns (L, k) alone."""
    for label in range(first, last):
        pull = pulls[label]
        for at in range(columns.shape[1]):
            query = queries[columns[label, at]]
            total = np.float32(0.0)
            for point in range(len(pull)):
                total += pull[point] * query[point]
            out[label, at] = total
