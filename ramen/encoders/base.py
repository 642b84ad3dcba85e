"""The interface of trainable encoders: texts to token ids once, then rows of ids to unit vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ramen import distributed
from ramen.encoders.product import product
from ramen.prefetch import items_ahead, prefetched
from ramen.transfer import on_the_way, pinned, to_device

_BULK = 131_072  # tokens embedded at once without gradients
_ROWS = 65_536  # label vectors computed at once without gradients


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

    @classmethod
    def joined(cls, parts: list[Tokens]) -> Tokens:
        """Return the tokens of several sets of texts, one set after the other."""
        counts = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.offsets) for part in parts)])
        return cls(np.concatenate([np.zeros(0, np.int32), *(part.ids for part in parts)]), np.cumsum(counts))

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


@dataclass
class Batch:
    """Texts that an encoder has prepared.

    Attributes:
        count: texts of all ranks.
        share: of these this rank's, the first that are embedded.
        parts: what :meth:`Encoder.prepare` made, embedded one after the other.
        back: int64 (n,), which of the embedded texts is the first of this rank's, the second and so on; None: in order.
    """

    count: int
    share: int
    parts: list[Any]
    back: torch.Tensor | None


class Encoder(nn.Module, ABC):
    """Texts to unit vectors; trained by :mod:`ramen.training`, saved as a sentence-transformers folder.

    Attributes:
        dim: d.
        max_tokens: texts are cut there.
        label_map: from the vector of a text to that of the label with that text.
        sorts_by_length: whether texts of similar length are embedded together.
        classifiers: trained together with the encoder, and kept and copied with it; None for none.
        native_eval: use bfloat16 in ``eval()`` mode too, for vectors that need not be exact.
    """

    dim: int
    max_tokens: int
    label_map: nn.Linear
    classifiers: nn.Module | None
    sorts_by_length = False
    native_eval = False

    @property
    def bulk_tokens(self) -> int:
        """Tokens, padding included, that are embedded at once without gradients."""
        return _BULK

    def add_label_map(self) -> None:
        """Add a map from the vector of a text to that of the label with that text, initially the identity.

        Points and labels share the encoder, so without the map the best label of a point is one with similar words.
        The map makes the score bilinear: related texts need not be similar. It applies only to label vectors, which
        are computed once, so it costs nothing at inference.
        """
        self.label_map = nn.Linear(self.dim, self.dim, bias=False)
        nn.init.zeros_(self.label_map.weight)
        self.register_module("classifiers", None)

    def as_labels(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return label vectors for the vectors of label texts, both float32 (n, dim) of unit length."""
        mapped = product(vectors, self.label_map.weight) if self.training else self.label_map(vectors)
        return F.normalize(vectors + mapped, dim=1)

    def encode_labels(self, tokens: Tokens) -> torch.Tensor:
        """Return label vectors of label texts without gradients, float32 (n, dim), on the CPU."""
        return self.labels_of(self.encode(tokens))

    def labels_of(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the label vectors of vectors of label texts, as of :meth:`encode_labels`."""
        out = torch.empty(len(vectors), self.dim)
        with torch.no_grad():
            for start in range(0, len(vectors), _ROWS):  # on a GPU a million take 12 GB
                part = slice(start, start + _ROWS)
                out[part] = self.as_labels(vectors[part].to(self.device))
        return out

    @abstractmethod
    def tokenize(self, texts: list[str]) -> Tokens:
        """Return token ids of texts (``title\\ncontent``), at most ``max_tokens`` each."""

    @abstractmethod
    def prepare(self, tokens: Tokens, rows: np.ndarray) -> Any:
        """Return what :meth:`embed` takes of some rows, made on the host: a thread may do it ahead of time.

        Args:
            tokens: of many texts.
            rows: int64 (n,), with ``sorts_by_length`` from short texts to long ones.
        """

    @abstractmethod
    def embed(self, prepared: Any) -> torch.Tensor:
        """Return unit vectors of what :meth:`prepare` made, float32 (n, dim), on the device of the encoder."""

    def batch(self, sets: Sequence[tuple[Tokens, np.ndarray]], budget: int = 0) -> Batch:
        """Prepare rows of several sets of texts; in distributed runs each rank prepares, and embeds, a share of them.

        Args:
            sets: tokens of many texts, and which of these, int64.
            budget: tokens, padding included, embedded at once, or the longest text if that is more; 0 for any number.
        """
        tokens, rows = sets[0]
        if len(sets) > 1:
            tokens = Tokens.joined([of_set.some(some) for of_set, some in sets])
            rows = np.arange(len(tokens))
        own = rows[distributed.shard(len(rows))]
        share, back = len(own), None
        if not share:  # every rank takes part in the exchange
            own = rows[:1]
        counts = tokens.offsets[own + 1] - tokens.offsets[own]
        if self.sorts_by_length:
            order = np.argsort(counts, kind="stable")
            own, counts, inverse = own[order], counts[order], np.empty_like(order)
            inverse[order] = np.arange(len(order))
            back = pinned(inverse)
        parts = [own[piece] for piece in pieces(counts, budget)] if budget else [own]
        return Batch(len(rows), share, [self.prepare(tokens, some) for some in parts], back)

    def forward(self, tokens: Tokens, rows: np.ndarray) -> torch.Tensor:
        """Return unit vectors of some rows, float32 (len(rows), dim), on the device of the encoder."""
        return self.embed_batch(self.batch([(tokens, rows)]))

    def embed_batch(self, batch: Batch) -> torch.Tensor:
        """Return unit vectors of the rows of a :meth:`batch`, float32 (n, dim), on the device of the encoder."""
        return self.gathered(batch, [self.embed(part) for part in batch.parts])

    def gathered(self, batch: Batch, vectors: list[torch.Tensor]) -> torch.Tensor:
        """Return the rows of all ranks in the order of the batch, given the vectors of its parts."""
        own = torch.cat(vectors) if len(vectors) != 1 else vectors[0]
        if batch.back is not None:
            own = own[to_device(batch.back, own.device)]
        if distributed.world_size() == 1 or not batch.count:
            return own
        return distributed.all_gather_rows(own[: batch.share], batch.count)

    @abstractmethod
    def parameter_groups(self, lr: float, label_map_lr: float = 0.0) -> list[dict]:
        """Return optimiser groups, each with ``params`` and ``lr``.

        Args:
            lr: learning rate of most of them.
            label_map_lr: of the label map; 0 for the encoder's usual share of ``lr``.
        """

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write a folder of stock modules that ``SentenceTransformer(folder)`` loads without ramen."""

    @property
    def device(self) -> torch.device:
        """Return the device of the parameters."""
        return next(self.parameters()).device

    def encode(self, tokens: Tokens, exact: bool = True) -> torch.Tensor:
        """Return unit vectors of all texts without gradients, float32 (n, dim), on the CPU.

        Args:
            tokens: of the texts.
            exact: in float32, as the exported folder gives them. Without it a transformer computes in bfloat16 where
                the device has it, for vectors by which is only mined, pruned or split.
        """
        was_training, before = self.training, self.native_eval
        self.eval()
        self.native_eval = before or not exact
        out, counts = torch.empty(len(tokens), self.dim), np.diff(tokens.offsets)
        order = np.argsort(counts, kind="stable") if self.sorts_by_length else np.arange(len(counts))
        budget = self.bulk_tokens * distributed.world_size()
        parts = [order[piece] for piece in pieces(counts[order], budget)]
        batches = prefetched((partial(self.batch, [(tokens, rows)]) for rows in parts), items_ahead(self.device))
        waiting: list[tuple[np.ndarray, Callable[[], torch.Tensor]]] = []  # one is read while the next is computed
        with torch.no_grad():
            for rows, batch in zip(parts, batches, strict=True):
                waiting.append((rows, on_the_way(self.embed_batch(batch))))
                if len(waiting) > 1:
                    _put(out, *waiting.pop(0))
            for rows, arriving in waiting:
                _put(out, rows, arriving)
        self.native_eval = before
        self.train(was_training)
        return out


def _put(out: torch.Tensor, rows: np.ndarray, arriving: Callable[[], torch.Tensor]) -> None:
    out[torch.from_numpy(rows)] = arriving()


def pieces(counts: np.ndarray, budget: int) -> list[slice]:
    """Cut texts into runs whose tokens, padded to the longest of the run, are at most ``budget``, or of one text.

    Args:
        counts: int64 (n,), tokens of each text.
        budget: tokens.

    Example:
        >>> pieces(np.array([1, 2, 4, 9]), 8)
        [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    parts, start = [], 0
    while start < len(counts):
        longest = np.maximum.accumulate(np.maximum(counts[start : start + budget], 1))
        padded = longest * np.arange(1, len(longest) + 1)
        stop = start + max(1, int(np.searchsorted(padded, budget, side="right")))
        parts.append(slice(start, stop))
        start = stop
    return parts
