"""Drop unused entries of a transformer's vocabulary: most of a small model is its embedding table."""

from __future__ import annotations

import json
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from ramen.encoders.plain_tokenizer import rebuilt
from ramen.errors import InputError

_BATCH = 8192


def cut_vocabulary(model: Any, tokenizer: Any, texts: list[str]) -> tuple[Any, Any]:
    """Keep the entries that the texts use, and those needed to tokenize any other text.

    WordPiece keeps its single characters. Byte-level BPE keeps its bytes and the parts of every remaining token.

    Args:
        model: modified in place.
        tokenizer: a fast one.
        texts: their tokens and the model's outputs for them do not change.

    Returns:
        The model and its new tokenizer.

    Raises:
        InputError: the tokenizer is neither WordPiece nor BPE.
    """
    tree = json.loads(tokenizer.backend_tokenizer.to_str())
    kind, vocabulary = tree["model"]["type"], tree["model"].get("vocab")
    if kind not in ("WordPiece", "BPE") or not isinstance(vocabulary, dict):
        raise InputError(
            f"prune.ladder: vocabulary: cannot cut a tokenizer of the kind {kind}, expected WordPiece or BPE"
        )
    used = set()
    for first in range(0, len(texts), _BATCH):
        for ids in tokenizer(texts[first : first + _BATCH])["input_ids"]:
            used.update(ids)
    name_of = {number: name for name, number in vocabulary.items()}
    special = {entry["content"] for entry in tree["added_tokens"]}
    keep = {name_of[number] for number in used if number in name_of}
    keep |= special | {name for name in vocabulary if len(name.removeprefix("##")) == 1}
    for name in (tree["model"].get("unk_token"), tokenizer.pad_token, tokenizer.eos_token):
        keep |= {name} if name is not None else set()
    if kind == "BPE":
        tree["model"]["merges"] = _closed(tree["model"]["merges"], keep)
    old = sorted({*(vocabulary[name] for name in keep if name in vocabulary), *(e["id"] for e in tree["added_tokens"])})
    new_of = {number: row for row, number in enumerate(old)}
    tree["model"]["vocab"] = {name: new_of[vocabulary[name]] for name in sorted(keep & set(vocabulary))}
    for entry in tree["added_tokens"]:
        entry["id"] = new_of[entry["id"]]
    _renumber(tree.get("post_processor"), new_of)
    if isinstance(tree.get("padding"), dict):
        tree["padding"]["pad_id"] = new_of[tree["padding"]["pad_id"]]
    _cut_rows(model, old, new_of)
    return model, rebuilt(tokenizer, Tokenizer.from_str(json.dumps(tree)))


def _closed(merges: list[Any], keep: set[str]) -> list[Any]:
    """Return the merges that build the tokens in ``keep``, and add the parts of these tokens to ``keep``."""
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]
    needed = [False] * len(merges)
    # Later merges build longer tokens, so going backwards visits a token before its parts.
    for number in range(len(merges) - 1, -1, -1):
        left, right = pairs[number]
        if left + right in keep:
            needed[number] = True
            keep.update((left, right))
    return [merge for merge, is_needed in zip(merges, needed, strict=True) if is_needed]


def _renumber(part: Any, new_of: dict[int, int]) -> None:
    """Renumber the ids in a post-processor: ``ids`` of special tokens, or (token, id) pairs."""
    if isinstance(part, list):
        for item in part:
            _renumber(item, new_of)
    if not isinstance(part, dict):
        return
    for key, value in part.items():
        if key == "ids" and isinstance(value, list):
            part[key] = [new_of[number] for number in value]
        elif key in ("sep", "cls") and isinstance(value, list):
            part[key] = [value[0], new_of[value[1]]]
        else:
            _renumber(value, new_of)


def _cut_rows(model: Any, old: list[int], new_of: dict[int, int]) -> None:
    table = model.get_input_embeddings()
    rows = table.weight.detach()[torch.tensor(old, device=table.weight.device)].clone()
    padding = table.padding_idx
    small = nn.Embedding(len(old), rows.shape[1], padding_idx=None if padding is None else new_of.get(padding))
    small.weight = nn.Parameter(rows)
    model.set_input_embeddings(small)
    config = model.config
    config.vocab_size = len(old)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        number = getattr(config, name, None)
        if isinstance(number, int):
            setattr(config, name, new_of.get(number))
