"""Files beside an encoder to start from: a teacher's label vectors, and the points that it has seen and has not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ramen.errors import InputError
from ramen.files import replacing

TEACHER_LABELS = "labels.safetensors"  # in the encoder's folder
HELD_OUT = "held_out.json"  # likewise: training points whose pairs the encoder has never seen
SEEN = "seen.safetensors"  # likewise: digests of those that it was trained on


def write_teacher_labels(folder: Path, uids: list[str], vectors: np.ndarray) -> None:
    """Write the label vectors of the teacher next to a distilled encoder, in fp16.

    Args:
        folder: of the encoder.
        uids: of the labels.
        vectors: (L, d), unit vectors.
    """
    names = np.frombuffer(json.dumps(uids).encode(), dtype=np.uint8)
    with replacing(folder / TEACHER_LABELS) as part:
        save_file({"uids": names, "vectors": np.ascontiguousarray(vectors, dtype=np.float16)}, part)


def read_teacher_labels(folder: Path, uids: list[str]) -> torch.Tensor | None:
    """Return the teacher vector of each label, float32 (L, d) of unit length; None if the folder has no file of them.

    Raises:
        InputError: a label has no vector, or the file is damaged.
    """
    path = folder / TEACHER_LABELS
    if not path.exists():
        return None
    try:
        stored = load_file(path)
        row_of = {uid: row for row, uid in enumerate(json.loads(stored["uids"].tobytes()))}
        vectors = torch.from_numpy(stored["vectors"].astype(np.float32))
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a teacher's label vectors: {error}") from error
    missing = next((uid for uid in uids if uid not in row_of), None)
    if missing is not None:
        raise InputError(
            f"{path}: has {len(row_of):,} labels and no vector of {missing!r}; for a data set "
            "with other labels add encoder.labels=own"
        )
    return F.normalize(vectors[[row_of[uid] for uid in uids]], dim=1)


def write_held_out(folder: Path, uids: list[str]) -> None:
    """Write next to an encoder the uids of the training points whose pairs it has never seen."""
    with replacing(folder / HELD_OUT) as part:
        part.write_text(json.dumps(uids), encoding="utf-8")


def read_held_out(folder: Path, uids: list[str]) -> np.ndarray | None:
    """Return the rows of the points whose pairs the encoder has never seen; None if the folder has no such file.

    Model selection on points that the encoder was trained on would be biased towards it.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / HELD_OUT
    if not path.exists():
        return None
    try:
        held_out = set(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a list of names: {error}") from error
    return np.array([row for row, uid in enumerate(uids) if uid in held_out], dtype=np.int64)


def point_digests(names: Sequence[str]) -> np.ndarray:
    """Return a digest of each uid or text, uint64 (n,); 0 for an empty one.

    Example:
        >>> point_digests(["a", ""]).tolist()
        [3405396810240292928, 0]
    """
    digests = [hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in names]
    values = np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
    return np.where([bool(name) for name in names], values, np.uint64(0))


def write_seen(folder: Path, digests: np.ndarray) -> None:
    """Write next to an encoder the digests of the uids and texts that it was trained on, uint64, ascending."""
    with replacing(folder / SEEN) as part:
        save_file({"digests": digests}, part)


def read_seen(folder: Path) -> np.ndarray | None:
    """Return the digests of the uids and texts that the encoder was trained on; None if the folder has no such file.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / SEEN
    if not path.exists():
        return None
    try:
        digests = load_file(path)["digests"]
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not digests of points: {error}") from error
    if digests.dtype != np.uint64 or digests.ndim != 1:
        raise InputError(f"{path}: digests: found {digests.dtype} {digests.shape}, expected a row of uint64")
    return digests
