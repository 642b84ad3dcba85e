"""Atomic file writes: a reader sees the old file or the new one, never a partial one."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ramen.errors import InputError, WorkError

_BLOCK = 1 << 24  # bytes hashed at once: a hashing thread waits for the GIL after each block
_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; rename it on success, remove it on failure.

    Raises:
        WorkError: the disk is full; the file at ``path`` is unchanged.
        InputError: no permission to write.
    """
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    try:
        yield part
        part.chmod(0o666 & ~_UMASK)  # safetensors creates files that only the owner may read
        os.replace(part, path)
    except Exception as error:
        part.unlink(missing_ok=True)
        raise_clearly(error, path)
        raise
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def locked(folder: Path, exclusive: bool, busy: str = "") -> Iterator[None]:
    """Hold a lock on a folder; the system frees it when the process ends, however it ends.

    A file system without locks, as some network mounts, locks nothing: the block runs all the same.

    Args:
        folder: one that exists; nothing is written there.
        exclusive: nobody else may hold a lock; else others may hold shared ones.
        busy: message of the error; "" to wait for the lock.

    Raises:
        InputError: another process, or another block of this one, holds the lock.

    Example:
        ``with locked(run, exclusive=True, busy=f"{run}: in use"): ...``
    """
    mode = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (fcntl.LOCK_NB if busy else 0)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, mode)
        except BlockingIOError:
            raise InputError(busy) from None
        except OSError:  # EBADF, ENOLCK, EOPNOTSUPP: of network mounts
            pass
        yield
    finally:
        os.close(handle)


def open_to_readers(folder: Path) -> None:
    """Open a folder by the umask, as safetensors creates files that only the owner may read; other bits stay."""
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)  # perhaps with the group bit that a shared folder hands on
        path.chmod(mode | (0o777 if path.is_dir() else 0o666) & ~_UMASK)


def check_utf8(path: Path) -> None:
    """Raise InputError for a path that is not Unicode text: the libraries that write models take no other."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        shown = str(path).encode("utf-8", "backslashreplace").decode()
        raise InputError(f"{shown}: expected a path in UTF-8; name it otherwise, or set LC_ALL=C.UTF-8") from error


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Apply :func:`raise_clearly` to an OSError within the block."""
    try:
        yield
    except OSError as error:
        raise_clearly(error, path)
        raise


def raise_clearly(error: Exception, path: Path) -> None:
    """Raise a clear error for a full disk or a missing permission; do nothing for other errors."""
    code = getattr(error, "errno", None)
    text = str(error)
    if code in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
        raise WorkError(f"{path}: no space left on the disk; what was saved before is untouched") from error
    if isinstance(error, PermissionError) or code == errno.EROFS or "Permission denied" in text:
        raise InputError(f"{path}: no permission to write there") from error


def digest(path: Path) -> str:
    """Return the hash of a file, as recorded in manifests."""
    hasher = hashlib.blake2b(digest_size=16)
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()
