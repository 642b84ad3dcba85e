"""Any Hugging Face encoder or decoder, pooled to a unit vector."""

from __future__ import annotations

import copy
import json
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ramen.encoders.attention import as_attention, avoid_cudnn, mask_form
from ramen.encoders.base import Encoder, Tokens
from ramen.encoders.contextual import load_backbone
from ramen.encoders.precision import computes_bfloat16
from ramen.encoders.token_cache import tokens_of
from ramen.files import open_to_readers
from ramen.transfer import pinned, to_device

# Padding tokens that another call of the model must save to pay off, and calls at most: on two cores a call costs
# little, a GPU waits for each of them.
_WORTH = {True: (256, 1_000), False: (4_096, 4)}
_MULTIPLE = 8  # of padded lengths on a GPU: products of such shapes are faster, and fewer shapes are compiled
_WAYS = 64  # of calling a compiled model
_BULK = 4_096  # tokens embedded at once on a CPU without gradients


@dataclass(frozen=True)
class Padded:
    """Texts padded to one length, on the host.

    Attributes:
        ids: int32 (n, width).
        counts: int32 (n,), tokens of each.
        is_full: whether there is no padding.
    """

    ids: torch.Tensor
    counts: torch.Tensor
    is_full: bool


class TransformerEncoder(Encoder):
    """Token states of a transformer, pooled and normalised.

    It trains in bfloat16 where the device computes it natively. Without training (``eval()``) all is float32: a run's
    vectors are those that its exported folder gives.

    Args:
        backbone: see :func:`ramen.encoders.backbone.find_backbone`.
        pooling: ``mean``, ``cls`` or ``last`` (the last token, for decoders).
        max_tokens: a text is cut there.
        dim: of the vectors: where it is not the model's own, a linear map leads from one to the other.

        dropout: of hidden states and attention in training; below 0 the backbone's own.
        compiles: compile the model with ``torch.compile``.

    Raises:
        InputError: the backbone cannot be found or loaded, or has no dropout to set.
    """

    sorts_by_length = True

    def __init__(
        self, backbone: str, pooling: str, max_tokens: int, dim: int | None = None, dropout: float = -1.0,
        compiles: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        avoid_cudnn()
        model, tokenizer = load_backbone(backbone, dropout)
        self.model: Any = model
        self.tokenizer: Any = tokenizer
        self.pooling = pooling
        self._mask_form = mask_form(model)
        self._compiled = [_compile(model)] if compiles else []  # in a list: no module of its own
        hidden = int(model.config.hidden_size)
        self.dim = dim or hidden
        self.dense = None if self.dim == hidden else nn.Linear(hidden, self.dim, bias=False)
        self.add_label_map()
        self._most_positions = int(getattr(model.config, "max_position_embeddings", max_tokens + _MULTIPLE))
        # RoBERTa and MPNet count two positions that no text can take; the tokenizer's length leaves them out.
        self.max_tokens = min(max_tokens, self._most_positions, tokenizer.model_max_length)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        # As forward pads: padding on the left shifts positions, and the exported folder would give other vectors.
        tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = "right"  # save_pretrained writes the latter

    def __deepcopy__(self, memo: dict) -> TransformerEncoder:
        """A copy of the weights; the tokenizer, which holds no state, is shared."""
        memo[id(self.tokenizer)] = self.tokenizer
        copied = self.__class__.__new__(self.__class__)
        memo[id(self)] = copied
        parts = {name: value for name, value in self.__dict__.items() if name != "_compiled"}
        copied.__dict__.update({name: copy.deepcopy(value, memo) for name, value in parts.items()})
        copied._compiled = [_compile(copied.model)] if self._compiled else []
        return copied

    def tokenize(self, texts: list[str]) -> Tokens:
        """See :class:`Encoder`."""

        def cut(block: list[str]) -> list[list[int]]:
            return self.tokenizer(block, truncation=True, max_length=self.max_tokens)["input_ids"]

        return tokens_of(texts, cut, self._cut_by)

    def _cut_by(self) -> str:
        """Return everything that the ids of a text depend on."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:  # a tokenizer in Python
            tree = {"class": type(self.tokenizer).__name__, "vocabulary": self.tokenizer.get_vocab()}
        else:
            tree = json.loads(backend.to_str())
            for call in ("truncation", "padding"):  # as the last call left them
                tree.pop(call, None)
        return json.dumps([tree, self.max_tokens], sort_keys=True)

    @property
    def bulk_tokens(self) -> int:
        """See :class:`Encoder`: few on a CPU, whose caches they should fit."""
        return _BULK if self.device.type == "cpu" else super().bulk_tokens

    def prepare(self, tokens: Tokens, rows: np.ndarray) -> list[Padded]:
        """See :class:`Encoder`: texts padded to a few lengths, so that padding costs little."""
        counts = tokens.offsets[rows + 1] - tokens.offsets[rows]
        worth, most = _WORTH[self.device.type == "cpu"]
        return [self._padded(tokens, rows[part]) for part in buckets(counts, worth, most)]

    def _padded(self, tokens: Tokens, rows: np.ndarray) -> Padded:
        counts = tokens.offsets[rows + 1] - tokens.offsets[rows]
        ids, _ = tokens.take(rows)
        width = max(1, int(counts.max()))
        if self.device.type != "cpu":
            width = max(width, min(width + -width % _MULTIPLE, self._most_positions))
        mask = np.arange(width) < counts[:, None]
        batch = np.full(mask.shape, self.tokenizer.pad_token_id, dtype=np.int32)
        batch[mask] = ids
        return Padded(pinned(batch), pinned(counts.astype(np.int32)), bool(mask.all()))

    def embed(self, prepared: list[Padded]) -> torch.Tensor:
        """See :class:`Encoder`."""
        if not prepared:  # a batch without labels; backbones reject it
            return torch.zeros(0, self.dim, device=self.device)
        native = (self.training or self.native_eval) and computes_bfloat16(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16) if native else nullcontext():
            vectors = torch.cat([self._pooled(part) for part in prepared])
        if self.dense is not None:
            vectors = self.dense(vectors)
        return F.normalize(vectors, dim=1)

    def _pooled(self, part: Padded) -> torch.Tensor:
        """Return pooled states of texts padded to one length, float32 (n, dim)."""
        ids, counts = to_device(part.ids, self.device).long(), to_device(part.counts, self.device)
        mask = torch.arange(ids.shape[1], device=self.device) < counts[:, None]
        is_exact = not (self.training or self.native_eval)  # as the exported folder computes
        model = self.model if is_exact or not self._compiled else self._compiled[0]
        attention = None if part.is_full else as_attention(mask, self._mask_form)
        states = model(input_ids=ids, attention_mask=attention).last_hidden_state
        return self._pool(states.float(), mask, counts)

    def _pool(self, states: torch.Tensor, mask: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        if self.pooling == "cls":
            return states[:, 0]
        if self.pooling == "last":
            return states[torch.arange(len(states), device=states.device), (counts - 1).clamp(min=0)]
        weights = mask[:, :, None].to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1).clamp(min=1)

    def parameter_groups(self, lr: float, label_map_lr: float = 0.0) -> list[dict]:
        """See :class:`Encoder`; the maps learn ten times faster, unless set."""
        groups = [
            {"params": [p for p in self.model.parameters() if p.requires_grad], "lr": lr},
            {"params": list(self.label_map.parameters()), "lr": label_map_lr or 10 * lr},
        ]
        if self.dense is not None:
            groups.append({"params": list(self.dense.parameters()), "lr": 10 * lr})
        return groups

    def export(self, folder: Path) -> None:
        """See :class:`Encoder`."""
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

        with tempfile.TemporaryDirectory(dir=folder.parent) as staging:
            self.model.save_pretrained(staging)
            self.tokenizer.save_pretrained(staging)
            transformer = Transformer(staging, max_seq_length=self.max_tokens)
            mode = {"mean": "mean", "cls": "cls", "last": "lasttoken"}[self.pooling]
            modules = [transformer, Pooling(int(self.model.config.hidden_size), pooling_mode=mode)]
            if self.dense is not None:
                dense = Dense(self.dense.in_features, self.dim, bias=False, activation_function=None)
                dense.linear.weight = nn.Parameter(self.dense.weight.detach().cpu().clone())
                modules.append(dense)
            model = SentenceTransformer(modules=[*modules, Normalize()], device="cpu")
            model.save(str(folder), create_model_card=False)
        open_to_readers(folder)


def _compile(model: Any) -> Any:
    """The model, compiled once for each way of calling it: training, bulk encoding, gradients cached, mask or none.

    From eight on, for all copies of a model together, torch would no longer compile.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _WAYS)
    return torch.compile(model)


def buckets(counts: np.ndarray, worth: int, most: int) -> list[slice]:
    """Cut texts of ascending lengths into parts, each padded to its longest, where that saves most padding.

    Args:
        counts: int64 (n,), ascending lengths.
        worth: padding tokens that a cut must save to pay off.
        most: parts, at most.

    Returns:
        Parts that together are all rows in order; none of no texts.

    Example:
        >>> buckets(np.array([3] * 100 + [50] * 2), worth=256, most=4)
        [slice(0, 100, None), slice(100, 102, None)]
    """
    if not len(counts):
        return []
    parts = [slice(0, len(counts))]
    cuts = [_best_cut(counts, parts[0])]
    while len(parts) < most:
        at = max(range(len(parts)), key=lambda part: cuts[part][0])
        saved, cut = cuts[at]
        if saved <= worth:
            break
        parts[at : at + 1] = [slice(parts[at].start, cut), slice(cut, parts[at].stop)]
        cuts[at : at + 1] = [_best_cut(counts, part) for part in parts[at : at + 2]]
    return parts


def _best_cut(counts: np.ndarray, part: slice) -> tuple[int, int]:
    """The padding tokens that the best cut of a part saves, and where it is."""
    some = counts[part]
    saved = np.arange(1, len(some)) * (some[-1] - some[:-1])
    return (0, part.stop) if not len(saved) else (int(saved.max()), part.start + 1 + int(saved.argmax()))
