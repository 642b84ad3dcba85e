"""Compiles numba kernels without the GIL and caches them on disk if possible."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numba

logger = logging.getLogger(__name__)

FAST = {"reassoc", "contract", "nsz"}  # of floats: sums may be vectorised; NaN and infinities keep their meaning


def kernel(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a function on its first call; cache the machine code on disk.

    numba caches it next to the source or in the user's cache folder. If neither is writable, ``RAMEN_CACHE`` or a
    temporary folder is used, with a single warning.

    Kernels are serial and take a range of rows: :func:`ramen.threads.parallel_for` distributes the rows.

    Args:
        function: to compile.
        options: of ``numba.njit``, such as ``fastmath`` or ``inline``.

    Example:
        >>> @kernel
        ... def total(first, last, values):
        ...     return values[first:last].sum()
        >>> import numpy as np
        >>> total(1, 3, np.array([1.0, 2.0, 4.0]))
        6.0
    """
    if function is None:
        return partial(kernel, **options)
    compiled = partial(numba.njit, nogil=True, **options)
    try:
        return _forgiving(compiled(cache=True)(function))
    except RuntimeError:  # numba found no folder
        has_file = os.path.exists(function.__code__.co_filename)
        folder = _other_folder() if has_file else None  # interactive code has no file and is not cached
    if folder is None:
        return compiled()(function)
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)  # read only while the function is wrapped
    try:
        return _forgiving(compiled(cache=True)(function))
    finally:
        config.CACHE_DIR = before


def _forgiving(dispatcher: Any) -> Any:
    """Ignore errors of the cache, such as a full disk, so that they never fail a call."""
    save = dispatcher._cache.save_overload

    def try_to_save(*args: Any) -> None:
        try:
            save(*args)
        except OSError as error:
            _say_once(f"compiled kernels are not kept: {error}; set RAMEN_CACHE to another folder")

    dispatcher._cache.save_overload = try_to_save
    return dispatcher


@cache
def _say_once(line: str) -> None:
    logger.warning(line)


@cache
def _other_folder() -> Path | None:
    """Return an alternative folder for compiled kernels; None if there is none."""
    named = os.environ.get("RAMEN_CACHE")
    candidates = [Path(named).expanduser() / "kernels"] if named else []
    candidates.append(Path(tempfile.gettempdir()) / f"ramen-kernels-{os.getuid()}")
    for folder in candidates:
        if is_ours(folder):
            logger.warning(
                "compiled kernels are kept in %s: the package's folder cannot be written, nor ~/.cache", folder
            )
            return folder
    logger.warning("kernels are compiled anew by each process: no folder for them can be written; set RAMEN_CACHE")
    return None


def is_ours(folder: Path) -> bool:
    """Return whether only we can write the folder, as its files are executed; create it if missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = folder.stat()
        with tempfile.TemporaryFile(dir=folder):
            return info.st_uid == os.getuid() and not info.st_mode & 0o022
    except OSError:
        return False
