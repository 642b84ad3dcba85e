"""The cache folder of the user, with the word piece vectors of earlier runs, one file per backbone.

The cache only saves time: a damaged or missing file or a read-only folder never fails a run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ramen.errors import InputError, WorkError
from ramen.files import replacing

MAX_BYTES = 1 << 30  # all files together; the least recently used ones go first
_FORMAT = b"1"  # of the file and of how a vector is computed: a new number invalidates all older files
CHECKED = "checked-runs.txt"  # hashes of runs whose arrays were checked
# RAMEN_CACHE may contain other files.
_FILE_NAME = re.compile(
    rf"(vectors-[0-9a-f]{{32}}\.safetensors|tokens-[0-9a-f]{{32}}\.i32)(\.part-\d+)?|{re.escape(CHECKED)}"
)
_PARTS_OF_A_BACKBONE = {".safetensors", ".bin", ".json", ".txt", ".model"}

logger = logging.getLogger("ramen")

Piece = tuple[int, str]
_Stored = tuple[list[Piece], np.ndarray]


def cache_folder() -> Path:
    """``$RAMEN_CACHE``, else ``$XDG_CACHE_HOME/ramen``, else ``~/.cache/ramen``; it may not exist.

    Raises:
        InputError: neither variable is set and there is no home folder.
    """
    named, shared = os.environ.get("RAMEN_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(named).expanduser() if named else Path(shared or "~/.cache").expanduser() / "ramen"
    except RuntimeError as error:
        raise InputError("no home folder for the cache: set RAMEN_CACHE to a folder") from error


def cache_files() -> list[tuple[Path, int]]:
    """Return path and size of ramen's files in the cache folder, least recently used first.

    Raises:
        InputError: see :func:`cache_folder`.
        OSError: the folder cannot be read.
    """
    files = []
    with suppress(FileNotFoundError):
        for entry in os.scandir(cache_folder()):
            with suppress(FileNotFoundError):  # another process removed it
                if _FILE_NAME.fullmatch(entry.name) and entry.is_file():
                    files.append((entry.stat().st_mtime_ns, Path(entry.path), entry.stat().st_size))
    return [(path, size) for _, path, size in sorted(files)]


def key_of_folder(folder: str) -> str | None:
    """Return a hash of the weights, configuration and tokenizer of a backbone; None if there are no known weights.

    Args:
        folder: what :func:`ramen.encoders.backbone.find_backbone` gives; None for a hub id, too.
    """
    digest = hashlib.blake2b(_FORMAT, digest_size=16)
    try:
        files = sorted(path for path in Path(folder).iterdir() if path.suffix in _PARTS_OF_A_BACKBONE)
        for path in files:
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "blake2b").digest()
            digest.update(json.dumps(path.name).encode() + content)
    except OSError:
        return None  # loading reports the error
    return digest.hexdigest() if any(path.suffix in (".safetensors", ".bin") for path in files) else None


def key_of_model(model: Any, tokenizer: Any) -> str:
    """Return a key like :func:`key_of_folder` for a loaded transformer without local files."""
    import torch

    digest = hashlib.blake2b(_FORMAT, digest_size=16)
    digest.update(model.config.to_json_string().encode())
    digest.update(json.dumps(sorted(tokenizer.get_vocab().items())).encode())
    digest.update(json.dumps(tokenizer("a")["input_ids"]).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def is_cached(key: str) -> bool:
    """Return whether there is a file for a backbone; it may be incomplete or damaged."""
    try:
        return os.path.isfile(_path(key))
    except InputError:
        return False


def cached_vectors(key: str, pieces: list[Piece], compute: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the vector of each piece; compute and store those that are missing.

    Processes may share a cache: files are replaced atomically. If two processes write at once, the pieces of one may be
    lost and are computed again later.

    Args:
        key: which backbone.
        pieces: id and text of each piece, without repeats.
        compute: vectors float32 (n, d) of the n missing pieces, given their places in ``pieces`` (int64); not called
            when none is missing.

    Returns:
        float32 (len(pieces), d), bit-identical to the result of later calls.
    """
    stored = _read(key)
    stored_pieces = set(stored[0])
    missing = np.array([i for i, piece in enumerate(pieces) if piece not in stored_pieces], dtype=np.int64)
    if len(missing):
        fresh = np.asarray(compute(missing), dtype=np.float32)
        # Read again: another process may have written meanwhile; its vectors take precedence.
        stored = _merge(_read(key, quiet=True), ([pieces[i] for i in missing], fresh), stored)
        _write(key, stored)
    row_of = {piece: row for row, piece in enumerate(stored[0])}
    return stored[1][[row_of[piece] for piece in pieces]]


def _path(key: str) -> Path:
    return cache_folder() / f"vectors-{key}.safetensors"


def _read(key: str, quiet: bool = False) -> _Stored:
    """Read the stored pieces; none if the file is missing or damaged."""
    try:
        path = _path(key)
        tensors = load(path.read_bytes())
    except (OSError, InputError):
        return [], np.zeros((0, 0), np.float32)  # writing reports the error of the folder
    except (SafetensorError, KeyError, ValueError):
        tensors = {}
    if set(tensors) != {"ids", "texts", "vectors", "digest"} or tensors.pop("digest").tobytes() != _digest(tensors):
        if not quiet:
            logger.warning("%s: damaged; its token vectors are computed again", path)
        return [], np.zeros((0, 0), np.float32)
    with suppress(OSError):  # a read-only cache
        os.utime(path)  # "recently used"
    texts = json.loads(tensors["texts"].tobytes())
    return list(zip(tensors["ids"].tolist(), texts, strict=True)), tensors["vectors"]


def _merge(*parts: _Stored) -> _Stored:
    """Return all pieces, each with its vector from the first part that has it."""
    parts = tuple(part for part in parts if part[0])
    pieces = [piece for part in parts for piece in part[0]]
    first: dict[Piece, int] = {}
    for row, piece in enumerate(pieces):
        first.setdefault(piece, row)
    return list(first), np.concatenate([part[1] for part in parts])[list(first.values())]


def _write(key: str, stored: _Stored) -> None:
    tensors: dict[str, np.ndarray] = {
        "ids": np.array([number for number, _ in stored[0]], dtype=np.int64),
        "texts": np.frombuffer(json.dumps([text for _, text in stored[0]]).encode(), dtype=np.uint8),
        "vectors": stored[1],
    }
    tensors["digest"] = np.frombuffer(_digest(tensors), dtype=np.uint8)
    try:
        path = _path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(save(tensors))
        trim()
    except (OSError, InputError, WorkError) as error:
        logger.warning("token vectors are not cached: %s; RAMEN_CACHE moves the cache", error)


def _digest(tensors: dict[str, np.ndarray]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name in ("ids", "texts", "vectors"):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(tensors[name].tobytes())
    return digest.digest()


def trim() -> None:
    """Remove the least recently used files until the total is at most ``MAX_BYTES``."""
    files = cache_files()
    total = sum(size for _, size in files)
    for path, size in files:
        if total <= MAX_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= size
