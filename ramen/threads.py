"""A thread pool for kernels: threads wait passively, survive a fork and may serve several callers.

The pools of OpenMP and of numba do none of the three: a forked child waits for threads it does not have, a second
caller aborts the process, and threads that wait actively slow down whatever else runs on the machine.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from threadpoolctl import ThreadpoolController

from ramen.errors import InputError

_LEAST = 100_000  # operations of a block, about 0.1 ms: below it a second thread takes longer to wake than to work
_BLOCKS = 8  # a thread at most: one that other work holds up leaves the rest to the others
_ROOT = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Return the number of usable cores: affinity mask, and CPU quota of the cgroup rounded up."""
    return max(1, min(len(os.sched_getaffinity(0)), _quota()))


def thread_count() -> int:
    """Return the threads of kernels: ``RAMEN_THREADS``, else ``OMP_NUM_THREADS``, else :func:`available_cores`.

    Raises:
        InputError: ``RAMEN_THREADS`` is no whole number of at least 1.
    """
    if _pool.limit:
        return _pool.limit
    wanted = os.environ.get("RAMEN_THREADS")
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise InputError(f"RAMEN_THREADS={wanted!r}: expected a whole number of at least 1")
        return int(wanted)
    of_openmp = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(of_openmp) if of_openmp.isdecimal() and int(of_openmp) else available_cores()


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Limit the number of kernel threads of the process within the block."""
    before, _pool.limit = _pool.limit, threads
    try:
        yield
    finally:
        _pool.limit = before


def parallel_for(
    n: int, kernel: Callable[..., object], *args: Any, work: float = 1000.0, scratch: Callable[[], tuple] | None = None
) -> None:  # fmt: skip
    """Call ``kernel(first, last, *args)`` on blocks that cover 0 to n, distributed over threads.

    Blocks go to whoever is free next, in ascending order. The caller works too, so that it never waits for a thread
    that has not begun; calls may be nested and may come from any number of threads.

    Args:
        n: items, rows as a rule.
        kernel: releases the GIL; its result must not depend on where the blocks end.
        args: what it gets besides.
        work: operations an item costs; little work is not shared out.
        scratch: makes what each thread has to itself; goes behind ``args``.

    Raises:
        Exception: what a kernel raised, once all threads have stopped.

    Example:
        >>> import numpy as np
        >>> squares = np.zeros(4)
        >>> def square(first, last, out):
        ...     out[first:last] = np.arange(first, last) ** 2
        >>> parallel_for(4, square, squares)
        >>> squares.tolist()
        [0.0, 1.0, 4.0, 9.0]
    """
    if n <= 0:
        return
    least = max(1, math.ceil(_LEAST / work))
    threads = 1 if n <= least else min(thread_count(), -(-n // least))
    if threads == 1:
        kernel(0, n, *args, *(scratch() if scratch else ()))
        return
    size = max(least, -(-n // (threads * _BLOCKS)))
    starts = iter(range(0, n, size))  # handed out one by one: next() on it is atomic

    def run() -> None:
        all_args = args + scratch() if scratch else args
        for first in starts:
            kernel(first, min(first + size, n), *all_args)

    helpers = _Helpers(run)
    _pool.start(helpers.help, threads - 1)
    try:
        run()
    finally:
        for _ in starts:  # after an error or Ctrl-C no further block starts
            pass
        helpers.end()
    for error in helpers.errors:
        raise error


class _Helpers:
    """Those who help with a call: whoever has begun is waited for, whoever comes later has nothing to do."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._run, self._changed = run, threading.Condition()
        self._working, self._ended = 0, False
        self.errors: list[BaseException] = []

    def help(self) -> None:
        with self._changed:
            if self._ended:
                return
            self._working += 1
        try:
            self._run()
        except BaseException as error:  # the caller raises it
            self.errors.append(error)
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.wait_for(lambda: not self._working)


class _Pool:
    """Threads that wait for work in a queue; a forked child starts with none."""

    def __init__(self) -> None:
        self.limit = 0  # of a block of :func:`limited`; 0 for none
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self._lock, self._executor, self._size = threading.Lock(), None, 0
        self.blas_lock, self.blas_users, self.blas_before = threading.Lock(), 0, list[tuple[Any, int]]()

    def start(self, help: Callable[[], None], count: int) -> None:
        with self._lock:
            if self._size < count:
                before, self._size = self._executor, count
                self._executor = ThreadPoolExecutor(count, thread_name_prefix="ramen")
                if before:
                    before.shutdown(wait=False)
            assert self._executor is not None
            try:
                for _ in range(count):
                    self._executor.submit(help)
            except RuntimeError:  # no more threads are to be had, or Python ends: those who came are enough
                self._executor.shutdown(wait=False)  # or what nobody comes for would stay in its queue
                self._executor, self._size = None, 0

    _executor: ThreadPoolExecutor | None


_pool = _Pool()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS of numpy and scipy to one thread, process-wide, within the block.

    Our products are skinny: 256 rows by 2,048 by 384 is half a millisecond of work, and to wake and to join BLAS's
    second thread takes as long again. Beside other work it takes far longer, as those threads wait actively.
    Blocks may overlap and be nested; also a decorator.
    """
    with _pool.blas_lock:
        if not _pool.blas_users:
            _pool.blas_before = [
                (library, library.get_num_threads()) for library in _blas("scipy.linalg" in sys.modules)
            ]
            _set_blas([(library, 1) for library, _ in _pool.blas_before])
        _pool.blas_users += 1
    try:
        yield
    finally:
        with _pool.blas_lock:
            _pool.blas_users -= 1
            if not _pool.blas_users:
                _set_blas(_pool.blas_before)


@cache
def one_torch_thread_in_children() -> None:
    """Call before using torch: a forked child lacks the OpenMP threads and would wait for them forever."""
    import torch

    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def _set_blas(counts: list[tuple[Any, int]]) -> None:
    for library, count in counts:
        # The first thread that asks is the only one that is heard, for ever, unless it is let go. Our lock has us take
        # turns, and whoever else sets limits is heard afterwards.
        let_go = getattr(library, "clear_controlling_thread", lambda force: None)
        let_go(force=True)
        library.set_num_threads(count)
        let_go(force=True)


@cache
def _blas(with_scipy: bool) -> list[Any]:
    """Of numpy, and of scipy once that has loaded its own; looks through all libraries, which takes a millisecond."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


@cache
def _quota() -> int:
    """Return the CPU quota of the cgroups of this process, rounded up; all cores if there is no limit."""
    return min([os.cpu_count() or 1, *map(math.ceil, _quotas())])


def _quotas() -> Iterator[float]:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            root, names = _ROOT, ["cpu.max"]
        elif "cpu" in controllers.split(","):
            root, names = _ROOT / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            try:
                quota, period = " ".join((folder / name).read_text() for name in names).split()
            except (OSError, ValueError):  # the root group has no such file; inside a container the path is not ours
                continue
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)
