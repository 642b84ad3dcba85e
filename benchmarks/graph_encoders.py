"""What RAMEN argues against: the same static encoder with a graph convolution of torch-geometric on top.

A node's vector is mixed with those of its anchors, so the graph must be there, and read, whenever a text is tagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GCNConv, SAGEConv

from ramen.encoders.base import Batch, Encoder, Tokens

MOST = 10  # anchors a node


class GraphEncoder(Encoder):
    """norm(conv(E(x), {E(a) : a linked to x})), with the label map of the encoder below.

    Args:
        below: the static encoder, trained along.
        kind: ``sage`` or ``gcn``.
        anchors: token ids of the anchors of all graphs.
    """

    def __init__(self, below: Encoder, kind: str, anchors: Tokens) -> None:
        super().__init__()
        self.below, self.kind, self.anchors = below, kind, anchors
        self.dim, self.max_tokens = below.dim, below.max_tokens
        self.label_map = nn.Linear(self.dim, self.dim, bias=False)
        nn.init.zeros_(self.label_map.weight)
        # Both start as the encoder itself: what the graph adds has to be learnt.
        if kind == "sage":
            self.conv: nn.Module = SAGEConv((self.dim, self.dim), self.dim, bias=False)
            nn.init.eye_(self.conv.lin_r.weight)
            nn.init.zeros_(self.conv.lin_l.weight)
        else:
            self.conv = GCNConv(self.dim, self.dim, bias=False)
            nn.init.eye_(self.conv.lin.weight)
        self.links: dict[int, sp.csr_matrix] = {}

    def link(self, tokens: Tokens, matrix: sp.csr_matrix | None) -> None:
        """The anchors of the texts of ``tokens``, CSR (texts, anchors); None for none."""
        self.links.pop(id(tokens), None)
        if matrix is not None:
            self.links[id(tokens)] = matrix

    def batch(self, sets: Sequence[tuple[Tokens, np.ndarray]], budget: int = 0) -> Batch:
        """See :class:`Encoder`; the sets stay apart, as their anchors are found by set."""
        count = sum(len(rows) for _, rows in sets)
        return Batch(count, count, [[part for tokens, rows in sets for part in self.prepare(tokens, rows)]], None)

    def prepare(self, tokens: Tokens, rows: np.ndarray) -> list[tuple[Tokens, np.ndarray]]:
        """See :class:`Encoder`."""
        return [(tokens, rows)]

    def embed(self, prepared: list[tuple[Tokens, np.ndarray]]) -> torch.Tensor:
        """See :class:`Encoder`. At most ten anchors a row, others each time while it trains."""
        return torch.cat([self._mixed(tokens, rows) for tokens, rows in prepared])

    def _mixed(self, tokens: Tokens, rows: np.ndarray) -> torch.Tensor:
        own = self.below(tokens, rows)
        matrix = self.links.get(id(tokens))
        targets, anchors = self._edges(matrix, rows) if matrix is not None else (np.empty(0, np.int64),) * 2
        unique, at = np.unique(anchors, return_inverse=True)
        others = self.below(self.anchors, unique) if len(unique) else own[:0]
        sources, ends = torch.from_numpy(at), torch.from_numpy(targets)
        if self.kind == "sage":
            mixed = self.conv((others, own), torch.stack([sources, ends]))
        else:
            sources = sources + len(own)
            edges = torch.stack([torch.cat([sources, ends]), torch.cat([ends, sources])])
            mixed = self.conv(torch.cat([own, others]), edges)[: len(own)]
        return F.normalize(mixed, dim=1)

    def _edges(self, matrix: sp.csr_matrix, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        part = matrix[rows]
        counts = np.diff(part.indptr)
        targets = np.repeat(np.arange(len(rows)), counts)
        rng = np.random.default_rng(int(torch.randint(1 << 30, ())) if self.training else 0)
        order = np.lexsort((rng.random(part.nnz), targets))
        place = np.arange(part.nnz) - np.repeat(part.indptr[:-1], counts)
        kept = order[place < MOST]
        return targets[kept], part.indices[kept].astype(np.int64)

    def tokenize(self, texts: list[str]) -> Tokens:
        """See :class:`Encoder`."""
        return self.below.tokenize(texts)

    def parameter_groups(self, lr: float, label_map_lr: float = 0.0) -> list[dict]:
        """See :class:`Encoder`."""
        mine = [*self.conv.parameters(), self.label_map.weight]
        return [*self.below.parameter_groups(lr), {"params": mine, "lr": lr / 2}]

    def export(self, folder: Path) -> None:
        """No stock folder holds a graph."""
        raise NotImplementedError
