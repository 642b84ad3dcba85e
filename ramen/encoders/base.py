"""The interface of trainable encoders: texts to token ids once, then rows of ids to unit vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ramen import distributed
from ramen.encoders.product import product


@dataclass
class Tokens:
    """Token ids of many texts, concatenated.

    Attributes:
        ids: int32, all texts' ids.
        offsets: int64 (n + 1); text i has ``ids[offsets[i]:offsets[i + 1]]``.
    """

    ids: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def from_lists(cls, lists: list[list[int]]) -> Tokens:
        """Build tokens from one list of ids per text."""
        offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in lists])]).astype(np.int64)
        ids = np.fromiter((i for ids in lists for i in ids), dtype=np.int32, count=int(offsets[-1]))
        return cls(ids, offsets)

    def some(self, rows: np.ndarray) -> Tokens:
        """Return the tokens of some texts."""
        ids, starts = self.take(rows)
        return Tokens(ids.astype(np.int32), np.append(starts, len(ids)))

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the concatenated ids of some texts (int64), and the start of each text (int64)."""
        counts = self.offsets[rows + 1] - self.offsets[rows]
        starts = np.cumsum(counts) - counts
        at = np.arange(int(counts.sum())) + np.repeat(self.offsets[rows] - starts, counts)
        return self.ids[at].astype(np.int64), starts


class Encoder(nn.Module, ABC):
    """Texts to unit vectors; trained by :mod:`ramen.training`, saved as a sentence-transformers folder."""

    dim: int
    max_tokens: int
    label_map: nn.Linear

    def add_label_map(self) -> None:
        """Add a map from the vector of a text to that of the label with that text, initially the identity.

        Points and labels share the encoder, so without the map the best label of a point is one with similar words.
        The map makes the score bilinear: related texts need not be similar. It applies only to label vectors, which
        are computed once, so it costs nothing at inference.
        """
        self.label_map = nn.Linear(self.dim, self.dim, bias=False)
        nn.init.zeros_(self.label_map.weight)

    def as_labels(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return label vectors for the vectors of label texts, both float32 (n, dim) of unit length."""
        mapped = product(vectors, self.label_map.weight) if self.training else self.label_map(vectors)
        return F.normalize(vectors + mapped, dim=1)

    def encode_labels(self, tokens: Tokens) -> torch.Tensor:
        """Return label vectors of label texts without gradients, float32 (n, dim), on the CPU."""
        with torch.no_grad():
            return self.as_labels(self.encode(tokens).to(self.device)).cpu()

    @abstractmethod
    def tokenize(self, texts: list[str]) -> Tokens:
        """Return token ids of texts (``title\\ncontent``), at most ``max_tokens`` each."""

    @abstractmethod
    def embed(self, tokens: Tokens, rows: np.ndarray) -> torch.Tensor:
        """Return unit vectors of some rows, float32 (len(rows), dim), on the device of the encoder."""

    def forward(self, tokens: Tokens, rows: np.ndarray) -> torch.Tensor:
        """Return the result of :meth:`embed`; in distributed runs each rank embeds a share of the rows."""
        if distributed.world_size() == 1 or not len(rows):
            return self.embed(tokens, rows)
        part = rows[distributed.shard(len(rows))]
        vectors = self.embed(tokens, part if len(part) else rows[:1])[: len(part)]
        return distributed.all_gather_rows(vectors, len(rows))

    @abstractmethod
    def parameter_groups(self, lr: float) -> list[dict]:
        """Return optimiser groups, each with ``params`` and ``lr``."""

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write a folder of stock modules that ``SentenceTransformer(folder)`` loads without ramen."""

    @property
    def device(self) -> torch.device:
        """Return the device of the parameters."""
        return next(self.parameters()).device

    def encode(self, tokens: Tokens, batch_size: int = 2048) -> torch.Tensor:
        """Return unit vectors of all texts without gradients, float32 (n, dim), on the CPU."""
        was_training = self.training
        self.eval()
        out = torch.empty(len(tokens), self.dim)
        with torch.no_grad():
            for start in range(0, len(tokens), batch_size):
                rows = np.arange(start, min(start + batch_size, len(tokens)))
                out[start : start + len(rows)] = self(tokens, rows).cpu()
        self.train(was_training)
        return out
