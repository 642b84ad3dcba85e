"""Writing files so that a reader sees the old one or the new one, never a part."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ramen.errors import InputError, WorkError

_BLOCK = 1 << 24  # bytes hashed at once: a thread that hashes waits for the interpreter's lock after each block
_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write; renamed to it when the block ends well, removed when it does not.

    Raises:
        WorkError: the disk is full, and what was at ``path`` is still there.
        InputError: writing is not permitted.
    """
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    try:
        yield part
        part.chmod(0o666 & ~_UMASK)  # safetensors makes files that only their owner may read
        os.replace(part, path)
    except Exception as error:
        part.unlink(missing_ok=True)
        raise_clearly(error, path)
        raise
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def open_to_readers(folder: Path) -> None:
    """Give a folder and all in it the mode that the umask says: what safetensors writes, only its owner may read."""
    for path in (folder, *folder.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~_UMASK)


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Let a full disk or a missing permission at ``path`` end a block as :func:`raise_clearly` says it."""
    try:
        yield
    except OSError as error:
        raise_clearly(error, path)
        raise


def raise_clearly(error: Exception, path: Path) -> None:
    """Turn a full disk or a missing permission into one clear error; do nothing for any other."""
    code = getattr(error, "errno", None)
    text = str(error)
    if code in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
        raise WorkError(f"{path}: no space left on the disk; what was saved before is untouched") from error
    if isinstance(error, PermissionError) or code == errno.EROFS or "Permission denied" in text:
        raise InputError(f"{path}: no permission to write there") from error


def digest(path: Path) -> str:
    """What manifests say of a file's content."""
    hasher = hashlib.blake2b(digest_size=16)
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()
