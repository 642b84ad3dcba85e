"""Static encoder: token vectors x learned token weights, summed, a residual projection, unit norm.

Every part is linear up to the norm, so it folds into one vector per token id when saved: the folder has a
sentence-transformers ``StaticEmbedding`` and a ``Normalize``, no custom code.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ramen.config import EncoderConfig
from ramen.encoders.base import Encoder, Tokens
from ramen.encoders.product import product
from ramen.encoders.token_cache import tokens_of
from ramen.encoders.token_sums import TokenSums
from ramen.encoders.vocabulary import Vocabulary, build_vocabulary
from ramen.errors import InputError
from ramen.files import open_to_readers
from ramen.transfer import pinned, to_device

TITLE_WEIGHT = 2.0  # of a word in the title relative to one in the content, before training


class StaticEncoder(Encoder):
    """v(text) = norm((I + P) Σ_t f(field of t) w(t) E(t)) over the text's tokens t.

    Args:
        vocabulary: tokenizer and entries.
        vectors: float32 (entries, d), initial E.
        weights: float32 (entries,), initial w; above 0.
        title_weight: initial f(title) / f(content).
        max_tokens: texts are truncated to this length.
    """

    def __init__(
        self, vocabulary: Vocabulary, vectors: np.ndarray, weights: np.ndarray, title_weight: float, max_tokens: int
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.plain_of: torch.Tensor
        self.dim = vectors.shape[1]
        self.max_tokens = max_tokens
        vocabulary.tokenizer.no_padding()
        vocabulary.tokenizer.enable_truncation(max_tokens)
        self.vectors = nn.Parameter(torch.tensor(vectors, dtype=torch.float32))
        # softplus keeps weights above 0
        self.raw_weights = nn.Parameter(torch.from_numpy(np.log(np.expm1(weights)).astype(np.float32)))
        self.raw_field = nn.Parameter(torch.tensor([0.0, float(np.log(title_weight))]))
        self.projection = nn.Linear(self.dim, self.dim, bias=False)
        nn.init.zeros_(self.projection.weight)
        self.add_label_map()
        self.register_buffer("plain_of", torch.from_numpy(vocabulary.plain_of), persistent=False)

    def tokenize(self, texts: list[str]) -> Tokens:
        """See :class:`Encoder`."""
        return tokenize(self.vocabulary, texts, self.max_tokens)

    def prepare(self, tokens: Tokens, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Encoder`."""
        return tokens.take(rows)

    def embed(self, prepared: tuple[np.ndarray, np.ndarray]) -> torch.Tensor:
        """See :class:`Encoder`. A text without tokens gets the zero vector."""
        ids, starts = prepared
        sums = self._sums(ids, starts) if self.device.type == "cpu" else self._sums_by_torch(ids, starts)
        projected = product(sums, self.projection.weight) if self.training else self.projection(sums)
        return F.normalize(sums + projected, dim=1)

    def _sums(self, ids: np.ndarray, starts: np.ndarray) -> torch.Tensor:
        weights, field = F.softplus(self.raw_weights), torch.exp(self.raw_field)
        entries, titles = self.plain_of.numpy()[ids], ids >= self.vocabulary.size
        tokens = entries, titles, np.append(starts, len(ids))
        return cast(torch.Tensor, TokenSums.apply(self.vectors, weights, field, *tokens))

    def _sums_by_torch(self, ids: np.ndarray, starts: np.ndarray) -> torch.Tensor:
        # Embed only the rows in use: a gradient of the whole table would dominate the cost.
        used, at = np.unique(self.vocabulary.plain_of[ids], return_inverse=True)
        entries, places, in_title, of_texts = (
            to_device(pinned(part), self.device)
            for part in (used, at, ids >= self.vocabulary.size, starts.astype(np.int64))
        )
        # Not by indexing: a GPU adds up the gradients of one entry, of which a text has many, one after the other.
        content, title = torch.exp(self.raw_field)
        weights = F.embedding(places, F.softplus(self.raw_weights[entries])[:, None])[:, 0]
        weights = weights * torch.where(in_title, title, content)
        rows_used = F.embedding(entries, self.vectors, sparse=True)
        return F.embedding_bag(places, rows_used, of_texts, mode="sum", per_sample_weights=weights)

    def parameter_groups(self, lr: float, label_map_lr: float = 0.0) -> list[dict]:
        """See :class:`Encoder`; the few weights learn ten times faster than the vectors, the maps half as fast."""
        return [
            {"params": [self.vectors], "lr": lr},
            {"params": [self.raw_weights, self.raw_field], "lr": 10 * lr},
            {"params": [self.projection.weight], "lr": lr / 2},
            {"params": [self.label_map.weight], "lr": label_map_lr or lr / 2},
        ]

    def folded(self) -> torch.Tensor:
        """Return one vector per token id, float32 (ids, d); their sum gives the direction of the text."""
        with torch.no_grad():
            table = self.vectors + self.projection(self.vectors)
            table = table * F.softplus(self.raw_weights)[:, None]
            plain_of = self.plain_of
            field = torch.exp(self.raw_field)[(torch.arange(len(plain_of)) >= self.vocabulary.size).long()]
            return (table[plain_of] * field[:, None]).cpu().contiguous()

    def export(self, folder: Path) -> None:
        """See :class:`Encoder`.

        The table stays fp32. In fp16 stock ``Normalize`` gives NaN for a text without tokens, as its 1e-12 rounds to 0.
        Precision would do: sums of 1 to 2,000 tokens are off by 1.7e-7 in cosine and 2.1e-4 in an entry.
        """
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

        module = StaticEmbedding(self.vocabulary.tokenizer, embedding_weights=self.folded())
        model = SentenceTransformer(modules=[module, Normalize()], device="cpu")
        model.save(str(folder), create_model_card=False)
        open_to_readers(folder)


def build_static_encoder(texts: list[str], settings: EncoderConfig) -> StaticEncoder:
    """Return a static encoder for a corpus, initialised from token vectors of a transformer and idf.

    Args:
        texts: the corpus, ``title\\ncontent`` each.
        settings: backbone, vocabulary and cut-off.

    Raises:
        InputError: the backbone cannot be found or loaded.
    """
    from ramen.encoders.contextual import Backbone, contextual_vectors, word_pieces

    backbone = Backbone(settings.backbone)
    vocabulary = build_vocabulary(texts, word_pieces(backbone.tokenizer), settings.min_count, settings.max_words)
    vectors = _main_directions(contextual_vectors(backbone, vocabulary.words), settings.dim)
    vocabulary.tokenizer.enable_truncation(settings.max_tokens)
    weights = _idf(vocabulary, tokenize(vocabulary, texts, settings.max_tokens))
    return StaticEncoder(vocabulary, vectors, weights, TITLE_WEIGHT, settings.max_tokens)


def tokenize(vocabulary: Vocabulary, texts: list[str], max_tokens: int) -> Tokens:
    """Return the token ids of texts, the first ``max_tokens`` of each: what the tokenizer truncates to."""

    def cut(block: list[str]) -> Tokens:
        return vocabulary.fast.tokenize(block, max_tokens)

    return tokens_of(texts, cut, vocabulary.tokenizer.to_str)


def _main_directions(vectors: np.ndarray, dim: int) -> np.ndarray:
    """Project onto the ``dim`` principal directions, normalised; no projection if 0."""
    if not dim:
        return vectors
    if dim > vectors.shape[1]:
        raise InputError(
            f"encoder.dim={dim}: the backbone's vectors have {vectors.shape[1]} dimensions, expected fewer"
        )
    projected = vectors @ np.linalg.eigh(vectors.T @ vectors)[1][:, -dim:]
    return np.ascontiguousarray(projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-6))


def _idf(vocabulary: Vocabulary, tokens: Tokens) -> np.ndarray:
    """log(n / (1 + document frequency)), scaled to mean 1; float32 (entries,), at least 0.1 of the mean."""
    rows = np.repeat(np.arange(len(tokens), dtype=np.int64), np.diff(tokens.offsets))
    pairs = np.sort(vocabulary.plain_of[tokens.ids] * len(tokens) + rows)
    first = np.flatnonzero(np.diff(pairs, prepend=-1))
    frequency = np.bincount(pairs[first] // max(len(tokens), 1), minlength=vocabulary.size)
    weights = np.log((2.0 + len(tokens)) / (1.0 + frequency))
    return (np.maximum(weights, 0.1) / weights.mean()).astype(np.float32)
