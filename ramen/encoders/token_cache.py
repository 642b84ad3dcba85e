"""Tokenizes texts in blocks, to bound memory, and caches the ids on disk.

A file in the user's cache folder is keyed by texts, tokenizer and maximum length, and memory-mapped. The cache only
saves time: a damaged file is rebuilt; if the folder is not writable, the ids stay in memory.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ramen.encoders.base import Tokens
from ramen.encoders.cache import cache_folder, trim
from ramen.errors import InputError, WorkError
from ramen.files import replacing
from ramen.progress import progress

WORTH = 50_000  # number of texts from which caching saves more than a second or two
_BLOCK = 8192  # texts
_FORMAT = b"1"
_DIGEST = 16  # bytes at the end of a file

logger = logging.getLogger("ramen")

Cut = Callable[[list[str]], "list[list[int]] | Tokens"]


def tokens_of(texts: Sequence[str], cut: Cut, tokenizer: Callable[[], str]) -> Tokens:
    """Return token ids of texts, cached if there are at least ``WORTH`` texts.

    Concurrent processes may build the same file: each writes a temporary file and renames it.

    Args:
        texts: ``title\\ncontent`` each.
        cut: tokenizes a block of texts.
        tokenizer: returns a description of everything that ``cut`` depends on.
    """
    if len(texts) < WORTH:
        return _gathered(_blocks(texts, cut))
    try:
        path = cache_folder() / f"tokens-{_key(texts, tokenizer())}.i32"
        if path.exists():
            if tokens := _read(path, len(texts)):
                return tokens
            logger.warning("%s: damaged; its texts are tokenized again", path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            _write(part, _blocks(texts, cut))
        tokens = _read(path, len(texts))
        trim()
        if tokens:
            return tokens
    except (OSError, InputError, WorkError) as error:
        logger.warning("token ids are not cached: %s; RAMEN_CACHE moves the cache", error)
    return _gathered(_blocks(texts, cut))


def _blocks(texts: Sequence[str], cut: Cut) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield lengths and ids, int32, of each block."""
    starts = range(0, len(texts), _BLOCK)
    quiet = len(texts) < WORTH
    for start in progress(starts, desc="tokenize", unit="block", disable=quiet or None):
        block = cut(list(texts[start : start + _BLOCK]))
        tokens = block if isinstance(block, Tokens) else Tokens.from_lists(block)
        yield np.diff(tokens.offsets).astype(np.int32), tokens.ids


def _gathered(blocks: Iterator[tuple[np.ndarray, np.ndarray]]) -> Tokens:
    none = np.empty(0, dtype=np.int32)
    parts = [(none, none), *blocks]
    return _tokens(np.concatenate([lengths for lengths, _ in parts]), np.concatenate([ids for _, ids in parts]))


def _tokens(lengths: np.ndarray, ids: np.ndarray) -> Tokens:
    return Tokens(ids, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64))


def _write(path: Path, blocks: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
    """Write all ids, then all lengths, then a digest of both."""
    digest = hashlib.blake2b(digest_size=_DIGEST)
    lengths = []
    with path.open("wb") as out:
        for some, ids in blocks:
            lengths.append(some)
            out.write(ids.tobytes())
            digest.update(ids.data)
        last = np.concatenate(lengths)
        digest.update(last.data)
        out.write(last.tobytes() + digest.digest())


def _read(path: Path, n_texts: int) -> Tokens | None:
    """Read a file, memory-mapping its ids; None if it is damaged."""
    size = path.stat().st_size - _DIGEST
    if size < 4 * n_texts or size % 4:
        return None
    stored = np.memmap(path, dtype=np.int32, mode="r", shape=(size // 4,))
    with path.open("rb") as stream:
        stream.seek(size)
        if hashlib.blake2b(stored.data, digest_size=_DIGEST).digest() != stream.read():
            return None
    with suppress(OSError):  # a read-only cache
        os.utime(path)  # "recently used"
    n_ids = len(stored) - n_texts
    return _tokens(np.array(stored[n_ids:]), stored[:n_ids])


def _key(texts: Sequence[str], tokenizer: str) -> str:
    digest = hashlib.blake2b(_FORMAT, digest_size=16)
    for text in (tokenizer, *texts):
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()
