"""Any Hugging Face encoder or decoder, pooled to a unit vector."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ramen.encoders.base import Encoder, Tokens
from ramen.encoders.contextual import load_backbone
from ramen.encoders.precision import computes_bfloat16
from ramen.encoders.token_cache import tokens_of
from ramen.files import open_to_readers

_WORTH = 256  # padding tokens that a split into two batches must save to pay off


class TransformerEncoder(Encoder):
    """Token states of a transformer, pooled and normalised.

    It trains in bfloat16 where the device computes it natively. Without training (``eval()``) all is float32: a run's
    vectors are those that its exported folder gives.

    Args:
        backbone: see :func:`ramen.encoders.backbone.find_backbone`.
        pooling: ``mean``, ``cls`` or ``last`` (the last token, for decoders).
        max_tokens: a text is cut there.
        dim: of the vectors: where it is not the model's own, a linear map leads from one to the other.

    Attributes:
        native_eval: use bfloat16 in ``eval()`` mode too, for vectors that need not be exact.

    Raises:
        InputError: the backbone cannot be found or loaded.
    """

    def __init__(self, backbone: str, pooling: str, max_tokens: int, dim: int | None = None) -> None:
        super().__init__()
        model, tokenizer = load_backbone(backbone)
        self.model: Any = model
        self.tokenizer: Any = tokenizer
        self.pooling, self.native_eval = pooling, False
        hidden = int(model.config.hidden_size)
        self.dim = dim or hidden
        self.dense = None if self.dim == hidden else nn.Linear(hidden, self.dim, bias=False)
        self.add_label_map()
        longest = getattr(model.config, "max_position_embeddings", max_tokens)
        self.max_tokens = min(max_tokens, longest)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        # As forward pads: padding on the left shifts positions, and the exported folder would give other vectors.
        tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = "right"  # save_pretrained writes the latter

    def __deepcopy__(self, memo: dict) -> TransformerEncoder:
        """A copy of the weights; the tokenizer, which holds no state, is shared."""
        memo[id(self.tokenizer)] = self.tokenizer
        copied = self.__class__.__new__(self.__class__)
        memo[id(self)] = copied
        copied.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
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

    def embed(self, tokens: Tokens, rows: np.ndarray) -> torch.Tensor:
        """See :class:`Encoder`; texts of similar length are batched to save padding."""
        if not len(rows):  # a batch without labels; backbones reject it
            return torch.zeros(0, self.dim, device=self.device)
        counts = tokens.offsets[rows + 1] - tokens.offsets[rows]
        order = np.argsort(counts, kind="stable")
        native = (self.training or self.native_eval) and computes_bfloat16(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=native):
            vectors = torch.cat([self._pooled(tokens, rows[order[part]]) for part in buckets(counts[order])])
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        if self.dense is not None:
            vectors = self.dense(vectors)
        return F.normalize(vectors[torch.from_numpy(back).to(self.device)], dim=1)

    def _pooled(self, tokens: Tokens, rows: np.ndarray) -> torch.Tensor:
        """Return pooled states of texts padded to one length, float32 (len(rows), dim)."""
        counts = tokens.offsets[rows + 1] - tokens.offsets[rows]
        ids, _ = tokens.take(rows)
        width = max(1, int(counts.max()))
        mask = np.arange(width) < counts[:, None]
        batch = np.full(mask.shape, self.tokenizer.pad_token_id, dtype=np.int64)
        batch[mask] = ids
        attention = torch.from_numpy(mask.astype(np.int64)).to(self.device)
        states = self.model(
            input_ids=torch.from_numpy(batch).to(self.device), attention_mask=attention
        ).last_hidden_state
        return self._pool(states.float(), attention)

    def _pool(self, states: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        if self.pooling == "cls":
            return states[:, 0]
        if self.pooling == "last":
            return states[torch.arange(len(states), device=states.device), attention.sum(1).clamp(min=1) - 1]
        weights = attention[:, :, None].to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1).clamp(min=1)

    def encode(self, tokens: Tokens, batch_size: int = 64) -> torch.Tensor:
        """See :class:`Encoder`; texts of similar length are batched to save padding."""
        was_training = self.training
        self.eval()
        out = torch.empty(len(tokens), self.dim)
        order = np.argsort(np.diff(tokens.offsets), kind="stable")
        with torch.no_grad():
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                out[torch.from_numpy(rows)] = self(tokens, rows).cpu()
        self.train(was_training)
        return out

    def parameter_groups(self, lr: float) -> list[dict]:
        """See :class:`Encoder`."""
        return [
            {"params": [p for p in self.model.parameters() if p.requires_grad], "lr": lr},
            {
                "params": list(self.label_map.parameters()) + list(self.dense.parameters() if self.dense else ()),
                "lr": 10 * lr,
            },
        ]

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


def buckets(counts: np.ndarray) -> list[slice]:
    """Cut texts of ascending lengths into parts, each padded to its longest, wherever a cut saves enough padding.

    Args:
        counts: int64 (n,), ascending lengths of at least one text.

    Returns:
        Parts that together are all rows in order.

    Example:
        >>> buckets(np.array([3] * 100 + [50] * 2))
        [slice(0, 100, None), slice(100, 102, None)]
    """
    cuts = np.arange(1, len(counts))
    saved = cuts * (counts[-1] - counts[:-1])
    if saved.max(initial=0) <= _WORTH:
        return [slice(0, len(counts))]
    cut = int(cuts[saved.argmax()])
    after = [slice(part.start + cut, part.stop + cut) for part in buckets(counts[cut:])]
    return buckets(counts[:cut]) + after
