"""Threads of our own, each with a one-thread BLAS: block products of a skinny shape leave BLAS's own threads waiting.

256 rows by 2,048 by 384 is half a millisecond of work: to wake and to join a second thread takes as long again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numba
from threadpoolctl import ThreadpoolController

_LOCK = threading.Lock()  # BLAS's number of threads is one for the process: a second caller waits


def on_threads(work: Callable[[int, int], None]) -> None:
    """Call ``work(thread, threads)`` once a thread, numba's number of threads at a time; an exception is raised here.

    Args:
        work: releases the GIL (matrix products, numba kernels with ``nogil``); its result must not depend on
            ``threads``.
    """
    threads = numba.get_num_threads()
    with _LOCK, _controller().limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, thread, threads) for thread in range(threads)]:
            done.result()


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all loaded libraries: a millisecond
