"""Token vectors from a transformer: what it makes of each token between its start and end marks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer, logging

from ramen.encoders.backbone import find_backbone
from ramen.errors import InputError


def word_pieces(tokenizer: Any) -> list[str]:
    """The entries of a BERT-like tokenizer in id order; an empty list for another kind of tokenizer."""
    vocabulary = tokenizer.get_vocab()
    if sum(word.startswith("##") for word in vocabulary) < len(vocabulary) // 100:
        return []
    return sorted(vocabulary, key=vocabulary.__getitem__)


def load_backbone(name: str) -> tuple[Any, Any]:
    """The transformer and its tokenizer.

    Raises:
        InputError: it cannot be found or loaded; the message gives the reason.
    """
    path = find_backbone(name)
    logging.disable_progress_bar()
    try:
        return AutoModel.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"encoder.backbone={name!r}: {path} does not load as a transformer: {reason}") from error


def contextual_vectors(model: Any, tokenizer: Any, words: list[str]) -> np.ndarray:
    """A vector for each vocabulary entry, float32 (len(words), d), centred and of unit length.

    A piece of the backbone gets the mean of the outputs for [start, piece, end]; any other word the mean over its
    pieces; an entry without pieces a zero vector. Source: model2vec's recipe for static embeddings.
    """
    ids = _pieces(tokenizer, words)
    pieces = np.unique(np.concatenate([*map(np.asarray, ids), [0]]).astype(np.int64))
    frame = tokenizer("a")["input_ids"]
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    at = next(i for i in range(len(frame)) if frame[i : i + len(plain)] == plain)
    before, after = frame[:at], frame[at + len(plain) :]
    vectors = np.zeros((int(pieces.max()) + 1, model.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for start in tqdm(range(0, len(pieces), 512), desc="token vectors", unit="batch", disable=None, leave=False):
            block = pieces[start : start + 512]
            batch = torch.tensor([[*before, int(piece), *after] for piece in block])
            vectors[block] = model(input_ids=batch).last_hidden_state.float().mean(1).numpy()
    table = np.zeros((len(words), vectors.shape[1]), dtype=np.float32)
    for row, word_ids in enumerate(ids):
        if word_ids:
            table[row] = vectors[word_ids].mean(0)
    filled = np.array([bool(word_ids) for word_ids in ids])
    table[filled] -= table[filled].mean(0)
    return table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-6)


def _pieces(tokenizer: Any, words: list[str]) -> list[list[int]]:
    """Ids of the backbone's pieces of each word; none for the two marks that open our vocabulary."""
    vocabulary = tokenizer.get_vocab()
    unknown = tokenizer.unk_token_id
    bare = [word.removeprefix("##") for word in words]
    split = tokenizer(bare, add_special_tokens=False)["input_ids"]
    ids = [
        [vocabulary[word]] if word in vocabulary else [i for i in pieces if i != unknown]
        for word, pieces in zip(words, split, strict=True)
    ]
    ids[:2] = [[], []]
    return ids
