"""Makes the next items of a loop in a thread while the loop works on the present one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
_AHEAD = 2  # items


def prefetched(makers: Iterable[Callable[[], T]], ahead: int) -> Iterator[T]:
    """What each call returns, in order; errors are raised where the item would have come.

    Args:
        makers: called one after the other.
        ahead: items made ahead of time in a thread; 0 makes each when it is asked for.

    Example:
        >>> list(prefetched([lambda: 1, lambda: 2], ahead=1))
        [1, 2]
    """
    if not ahead:
        yield from (make() for make in makers)
        return
    waiting: deque[Future[T]] = deque()
    if torch.cuda.is_available():  # a new thread would pin memory through the first GPU, whichever is this process's
        pool = ThreadPoolExecutor(1, initializer=torch.cuda.set_device, initargs=(torch.cuda.current_device(),))
    else:
        pool = ThreadPoolExecutor(1)
    try:
        for make in makers:
            waiting.append(pool.submit(make))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def items_ahead(device: torch.device) -> int:
    """Two beside a GPU, whose host has nothing else to do; none where the CPU does the work itself."""
    return _AHEAD if device.type == "cuda" else 0
