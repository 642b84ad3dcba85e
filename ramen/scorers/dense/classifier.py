"""Dense one-vs-all classifiers: a vector per label, processed in chunks so that memory stays bounded."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from ramen.losses import MASKED
from ramen.scorers.dense.base import Classifier
from ramen.scorers.dense.label_weights import BFloat16Weights, Float32Weights, LabelWeights
from ramen.scorers.dense.optimisers import ROWS, Adam, BFloat16Adam, Optimiser, State
from ramen.scorers.dense.reduction import LocalReduction
from ramen.transfer import to_device

PRECISIONS, LOSSES = ("fp32", "bf16"), ("softmax", "bce")
TEMPERATURE = 0.05  # of the softmax over labels
CHUNK, GPU_CHUNK, _LEAST_CHUNK = 100_000, 32_768, 1_024  # labels scored at once
_DRAWS = 10_000  # of random bits in a step, at most
_GPU_SHARE = 0.18  # of the memory of weights and state, for a chunk on a GPU


class DenseClassifier(Classifier):
    """Scores q·w_l with a vector w_l per label, started from the label's embedding.

    The loss is the decoupled softmax over all labels (DEXML, ICLR 2024, eq. 4): each true label competes with every
    label that is neither true nor filtered; or binary cross entropy, each label by itself. Gradients are written out
    and the loss's value comes from the true pairs alone (Renee, MLSys 2023), so no L x d gradient and no B x L matrix
    beyond one chunk is ever whole in memory; the optimiser runs chunk by chunk.

    Args:
        start: float32 (L, d), copied; the classifiers stay on its device.
        temperature: of the scores in the loss.
        chunk: labels scored at once.
        precision: ``fp32`` weights with Adam, or ``bf16`` weights and moments.
        loss: ``softmax`` or ``bce``.
        seed: of bfloat16's rounding.
        native: multiply in bfloat16, which hardware that has it does two to three times as fast, whatever the weights
            are kept in; on a GPU bfloat16 weights always are. Else they are widened.
        weight_decay: decoupled, as AdamW does it; of the labels that move.

    Attributes:
        reduction: sums over all labels, where other ranks have some.

    Example:
        >>> model = DenseClassifier(torch.eye(3), temperature=0.1)
        >>> model.scores(torch.tensor([[1.0, 0.0, 0.0]])).argmax().item()
        0
    """

    def __init__(
        self,
        start: torch.Tensor,
        temperature: float = TEMPERATURE,
        chunk: int = CHUNK,
        precision: str = "fp32",
        loss: str = "softmax",
        seed: int = 0,
        native: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.weights = start.clone() if precision == "fp32" else start.to(torch.bfloat16, copy=True)
        self.n_labels, self.dim = start.shape
        self.temperature, self.chunk, self.loss = temperature, chunk, loss
        self.reduction = LocalReduction()
        self.native = native or (precision == "bf16" and start.is_cuda)
        self._optimiser: Optimiser = Adam(weight_decay) if precision == "fp32" else BFloat16Adam(seed, weight_decay)
        self._state: State | None = None
        self._buffers: dict[str, torch.Tensor] = {}
        self._steps = torch.zeros(len(start), 1, device=start.device)  # of each label: with a shortlist they differ

    @staticmethod
    def memory(labels: int, dim: int, batch_size: int, chunk: int, precision: str = "fp32") -> int:
        """Bytes that training takes: weights, state of the optimiser, and a chunk's scores, gradient and copies."""
        copies = dim if precision == "fp32" else 2 * dim  # bfloat16: widened
        widened = 0 if precision == "fp32" else 20 * dim * min(labels, ROWS)  # moments and random bits
        return labels * _label_bytes(dim, precision) + 4 * min(labels, chunk) * (batch_size + copies) + widened

    @staticmethod
    def gpu_chunk(labels: int, dim: int, batch_size: int, precision: str = "fp32") -> int:
        """Labels that a GPU scores at once, so that a chunk takes 18 % of the memory of weights and state.

        At least 1,024, as smaller products leave a GPU idle, and at most 32,768, as larger ones are no faster.

        Example:
            >>> DenseClassifier.gpu_chunk(10**6, 384, 1024), DenseClassifier.gpu_chunk(131_073, 384, 1024, "bf16")
            (32768, 6144)
        """
        allowed = _GPU_SHARE * labels * _label_bytes(dim, precision) / _chunk_bytes(dim, batch_size, precision)
        return int(min(GPU_CHUNK, max(_LEAST_CHUNK, allowed // _LEAST_CHUNK * _LEAST_CHUNK)))

    @staticmethod
    def gpu_memory(labels: int, dim: int, batch_size: int, precision: str = "fp32") -> int:
        """Bytes of a GPU's memory that training takes with chunks of :meth:`gpu_chunk`.

        At most 1.25 times weights and state for a hundred thousand labels and more: beside the chunk there are the
        queries, their gradient and copies, and the vectors of the true pairs, four a point.
        """
        chunk = min(labels, DenseClassifier.gpu_chunk(labels, dim, batch_size, precision))
        in_chunk = chunk * _chunk_bytes(dim, batch_size, precision)
        return labels * _label_bytes(dim, precision) + in_chunk + (20 + 4 * 8) * batch_size * dim

    def scores(self, queries: torch.Tensor) -> torch.Tensor:
        """float32 (B, L)."""
        return queries.to(self.weights.device) @ self.weights.float().T

    def label_weights(self) -> LabelWeights:
        """See :class:`Classifier`."""
        weights = self.weights.cpu()
        if weights.dtype == torch.bfloat16:
            return BFloat16Weights(weights.view(torch.int16).numpy().view(np.uint16))
        return Float32Weights(weights.numpy())

    def fit_step(
        self,
        queries: torch.Tensor,
        targets: sp.csr_matrix,
        filtered: sp.csr_matrix | None,
        lr: float,
        shortlist: np.ndarray | sp.csr_matrix | None = None,
    ) -> torch.Tensor:
        """See :class:`Classifier`; of lists by point the union competes for all."""
        return self._fit(queries, targets, filtered, lr, shortlist, None)

    def fit_step_with_gradient(
        self,
        queries: torch.Tensor,
        targets: sp.csr_matrix,
        filtered: sp.csr_matrix | None,
        lr: float,
        shortlist: np.ndarray | sp.csr_matrix | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`Classifier`."""
        gradient = torch.zeros(len(queries), self.dim, device=self.weights.device)
        loss = self._fit(queries, targets, filtered, lr, shortlist, gradient)
        return loss, self.reduction.total(gradient)

    def _fit(
        self, queries: torch.Tensor, targets: sp.csr_matrix, filtered: sp.csr_matrix | None, lr: float,
        shortlist: np.ndarray | sp.csr_matrix | None, gradient: torch.Tensor | None,
    ) -> torch.Tensor:  # fmt: skip
        """Do a step; add the gradient with respect to the queries to ``gradient``, if given."""
        device = self.weights.device
        if not self.reduction.pairs(targets):
            return torch.zeros((), device=device)
        if isinstance(shortlist, sp.csr_matrix):
            shortlist = np.union1d(shortlist.indices, targets.indices).astype(np.int64)
        queries = to_device(queries.detach().float(), device)
        not_negative = targets if filtered is None else (targets + filtered).tocsr()
        tensors = self.tensors()
        if shortlist is None:
            return self._step(tensors, queries, targets, not_negative, lr, gradient)
        rows = to_device(torch.from_numpy(shortlist), device)
        part = tuple(tensor[rows] for tensor in tensors)
        loss = self._step(part, queries, targets[:, shortlist], not_negative[:, shortlist], lr, gradient)
        for tensor, moved in zip(tensors, part, strict=True):
            tensor[rows] = moved
        return loss

    def bind(self, tensors: State) -> None:
        """Work on these tensors from now on, in the order of :meth:`tensors`."""
        self.weights, self._steps, *state = tensors
        self._state = tuple(state)

    def at_step(self, number: int) -> None:
        """Draw bfloat16's rounding by a step's number, so that a resumed training rounds as one never stopped."""
        if isinstance(self._optimiser, BFloat16Adam):
            self._optimiser.calls = _DRAWS * number

    def tensors(self) -> State:
        """What a step moves in place, a row a label: weights, step counts, state of the optimiser."""
        if self._state is None:
            self._state = self._optimiser.start(self.weights)
        return (self.weights, self._steps, *self._state)

    def _scores(self, tensors: State, scaled: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """float32 (B, labels of that part), to be overwritten."""
        part = tensors[0][start:stop]
        if self.native:
            return _native_product(scaled, part.T)
        if part.dtype == torch.bfloat16:
            part = self._buffer("part", *part.shape).copy_(part)
        return torch.mm(scaled, part.T, out=self._buffer("scores", len(scaled), len(part)))

    def _move(self, moved: State, gradient: torch.Tensor, scaled: torch.Tensor, lr: float) -> None:
        """Step of the labels ``moved`` by the gradient of their scores, (B, labels)."""
        if self.native:
            step = _native_product(gradient.T, scaled)
        else:
            step = torch.mm(gradient.T, scaled, out=self._buffer("step", gradient.shape[1], scaled.shape[1]))
        self._optimiser.step(moved[0], moved[2:], moved[1], step, lr)

    def _query_gradient(self, weights: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """float32 (B, d), the gradient of some labels' scores times their weights."""
        if self.native:
            return _native_product(gradient, weights)
        return gradient @ weights.float()

    def _step(
        self, tensors: State, queries: torch.Tensor, targets: sp.csr_matrix, not_negative: sp.csr_matrix, lr: float,
        query_gradient: torch.Tensor | None,
    ) -> torch.Tensor:  # fmt: skip
        """Move weights, step counts and state of some labels in place."""
        weights, steps, *_ = tensors
        true, excluded = (_Pairs(matrix, self.chunk, weights.device) for matrix in (targets, not_negative))
        scaled, n = queries / self.temperature, len(queries)
        true_scores = scaled[true.rows].mul_(weights[true.columns]).sum(1)
        if self.loss == "bce":
            margins, pull = -true_scores, torch.sigmoid(-true_scores)
            push, logsum, shares = torch.ones(n, device=weights.device), None, None
        else:
            logsum, shares = self._logsum(tensors, scaled, excluded)
            margins = logsum[true.rows] - true_scores
            pull = torch.sigmoid(margins)  # -d loss / d score of each true pair
            push = self.reduction.total(torch.zeros(n, device=weights.device).index_add_(0, true.rows, pull))
        steps += 1
        mean = scaled / n
        for start in range(0, len(weights), self.chunk):
            gradient = shares  # if None, gives back the last chunk's memory first
            if gradient is None:
                gradient = self._masked_scores(tensors, scaled, excluded, start)
                gradient = gradient.sigmoid_() if logsum is None else gradient.sub_(logsum[:, None]).exp_()
            gradient.mul_(push[:, None])
            inside = true.inside(start)
            gradient.index_put_((true.rows[inside], true.columns[inside] - start), -pull[inside])
            moved = tuple(tensor[start : start + self.chunk] for tensor in tensors)
            if query_gradient is not None:
                query_gradient.add_(self._query_gradient(moved[0], gradient), alpha=1 / (n * self.temperature))
            self._move(moved, gradient, mean, lr)
        return self.reduction.total(F.softplus(margins).sum()) / self.reduction.pairs(targets)

    def _logsum(
        self, tensors: State, scaled: torch.Tensor, excluded: _Pairs
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Log of the sum over the wrong labels; and where one chunk holds all, their shares of it."""
        local_logsum, shares = torch.full((len(scaled),), -torch.inf, device=scaled.device), None
        for start in range(0, len(tensors[0]), self.chunk):
            shares = None  # gives back the last chunk's memory first
            shares = self._masked_scores(tensors, scaled, excluded, start)
            highest = shares.amax(1)
            total = shares.sub_(highest[:, None]).exp_().sum(1)
            local_logsum = torch.logaddexp(local_logsum, highest + total.log())
        logsum = self.reduction.logsum(local_logsum)
        if shares is None or len(tensors[0]) > self.chunk:
            return logsum, None
        if logsum is not local_logsum:
            total = total * torch.exp(logsum - local_logsum)
        return logsum, shares.div_(total[:, None])

    def _masked_scores(self, tensors: State, scaled: torch.Tensor, excluded: _Pairs, start: int) -> torch.Tensor:
        scores = self._scores(tensors, scaled, start, start + self.chunk)
        inside = excluded.inside(start)
        return scores.index_put_(
            (excluded.rows[inside], excluded.columns[inside] - start), torch.full((), MASKED, device=scores.device)
        )

    def _buffer(self, name: str, rows: int, columns: int) -> torch.Tensor:
        """Memory reused from step to step: allocating hundreds of megabytes costs as much as filling them."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < rows * columns:
            buffer = self._buffers[name] = torch.empty(rows * columns, device=self.weights.device)
        return buffer[: rows * columns].view(rows, columns)


class _Pairs:
    """Rows and columns of a CSR matrix's pairs on a device, ordered by chunk of columns.

    The host knows which pairs a chunk has, so that a GPU is never asked, and waited for.

    Attributes:
        rows: int64 (pairs,).
        columns: int64 (pairs,).
    """

    def __init__(self, matrix: sp.csr_matrix, chunk: int, device: torch.device) -> None:
        places = np.empty((2, matrix.nnz), np.int64)
        places[0], places[1] = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices
        if matrix.shape[1] > chunk:
            chunks = places[1] // chunk
            order = np.argsort(chunks, kind="stable")
            places = np.ascontiguousarray(places[:, order])
            self._bounds = np.searchsorted(chunks[order], np.arange(-(-matrix.shape[1] // chunk) + 1)).tolist()
        else:
            self._bounds = [0, matrix.nnz]
        self._chunk = chunk
        self.rows, self.columns = to_device(torch.from_numpy(places), device).unbind()

    def inside(self, start: int) -> slice:
        """The pairs of the chunk that starts with this column."""
        number = start // self._chunk
        return slice(self._bounds[number], self._bounds[number + 1])


def _label_bytes(dim: int, precision: str) -> int:
    """Weights, both moments and the number of steps."""
    return 12 * dim + 4 if precision == "fp32" else 6 * dim + 4


def _chunk_bytes(dim: int, batch_size: int, precision: str) -> int:
    """Of each label in a chunk on a GPU: scores, with bfloat16 also as such, and the weights' gradient."""
    return (4 if precision == "fp32" else 6) * batch_size + 4 * dim


def _native_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """float32 product of two matrices in bfloat16."""
    a, b = a.to(torch.bfloat16), b.to(torch.bfloat16)
    return torch.mm(a, b, out_dtype=torch.float32) if a.is_cuda else torch.mm(a, b).float()
