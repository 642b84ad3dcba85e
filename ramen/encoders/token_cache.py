"""Token ids of many texts: cut in blocks, so that memory stays bounded, and kept on disk for the next run.

A file in the user's cache folder is keyed by the texts, the tokenizer and the cut-off, and is mapped, not read, into
memory. As all of that cache it only saves time: a damaged file is made anew, a folder that cannot be written leaves the
ids in memory.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ramen.encoders.base import Tokens
from ramen.encoders.cache import cache_folder, trim
from ramen.errors import InputError, WorkError
from ramen.files import replacing

WORTH = 50_000  # texts below which cutting them anew takes less than a second or two
_BLOCK = 8192  # texts
_FORMAT = b"1"
_DIGEST = 16  # bytes at the end of a file

logger = logging.getLogger("ramen")

Cut = Callable[[list[str]], list[list[int]]]


def tokens_of(texts: Sequence[str], cut: Cut, tokenizer: Callable[[], str]) -> Tokens:
    """Token ids of texts; of ``WORTH`` texts or more, through the cache.

    Processes may build one file at once: each writes its own and renames it, and both hold the same.

    Args:
        texts: ``title\\ncontent`` each.
        cut: ids of the texts of a block.
        tokenizer: says all that ``cut`` depends on.
    """
    if len(texts) < WORTH:
        return _gathered(_blocks(texts, cut))
    try:
        path = cache_folder() / f"tokens-{_key(texts, tokenizer())}.i32"
        if path.exists():
            if tokens := _read(path, len(texts)):
                return tokens
            logger.warning("%s: damaged; its texts are cut anew", path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            _write(part, _blocks(texts, cut))
        tokens = _read(path, len(texts))
        trim()
        if tokens:
            return tokens
    except (OSError, InputError, WorkError) as error:
        logger.warning("token ids are not kept for the next run: %s; RAMEN_CACHE moves the cache", error)
    return _gathered(_blocks(texts, cut))


def _blocks(texts: Sequence[str], cut: Cut) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Lengths and ids, int32, of block after block."""
    starts = range(0, len(texts), _BLOCK)
    quiet = len(texts) < WORTH
    for start in tqdm(starts, desc="cut texts", unit="block", disable=quiet or None, leave=False):
        lists = cut(list(texts[start : start + _BLOCK]))
        lengths = np.fromiter(map(len, lists), dtype=np.int32, count=len(lists))
        yield lengths, np.fromiter((i for ids in lists for i in ids), dtype=np.int32, count=int(lengths.sum()))


def _gathered(blocks: Iterator[tuple[np.ndarray, np.ndarray]]) -> Tokens:
    none = np.empty(0, dtype=np.int32)
    parts = [(none, none), *blocks]
    return _tokens(np.concatenate([lengths for lengths, _ in parts]), np.concatenate([ids for _, ids in parts]))


def _tokens(lengths: np.ndarray, ids: np.ndarray) -> Tokens:
    return Tokens(ids, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64))


def _write(path: Path, blocks: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
    """All ids, then all lengths, then a digest of both."""
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
    """What a file holds, its ids mapped; None where it is damaged."""
    size = path.stat().st_size - _DIGEST
    if size < 4 * n_texts or size % 4:
        return None
    stored = np.memmap(path, dtype=np.int32, mode="r", shape=(size // 4,))
    with path.open("rb") as stream:
        stream.seek(size)
        if hashlib.blake2b(stored.data, digest_size=_DIGEST).digest() != stream.read():
            return None
    with suppress(OSError):  # a cache that may only be read
        os.utime(path)  # "recently used"
    n_ids = len(stored) - n_texts
    return _tokens(np.array(stored[n_ids:]), stored[:n_ids])


def _key(texts: Sequence[str], tokenizer: str) -> str:
    digest = hashlib.blake2b(_FORMAT, digest_size=16)
    for text in (tokenizer, *texts):
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()
