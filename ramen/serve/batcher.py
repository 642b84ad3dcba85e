"""Concurrent requests tagged together: while one batch is worked on, the next one gathers.

No request waits for others to come. One batch is worked on at a time: it has all threads that the server may use.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ramen.serve.limits import Limits

BatchResponse = list[list[dict[str, Any]]]


class Busy(Exception):
    """Too much waits already."""


@dataclass(eq=False)
class BatchRequest:
    """One request's texts.

    Attributes:
        texts: valid ones.
        k: labels each.
        lowest: probability below which labels are left out.
        why: whether reasons are wanted.
        response: set by the batcher.
    """

    texts: list[str]
    k: int
    lowest: float
    why: bool
    response: asyncio.Future[BatchResponse] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """Args: ``work``, which responses requests in a thread, and the limits."""

    def __init__(self, work: Callable[[list[BatchRequest]], list[BatchResponse]], limits: Limits) -> None:
        self.work, self.limits = work, limits
        self.thread = ThreadPoolExecutor(1, "tagging")
        self.waiting = 0
        self._queue: deque[BatchRequest] = deque()
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work; inside a running loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Answer what waits, then end."""
        while self._queue:
            await asyncio.sleep(0.01)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.thread.shutdown()

    async def submit(self, request: BatchRequest) -> BatchResponse:
        """Responses to a request's texts.

        Raises:
            Busy: too many texts wait.
            TimeoutError: no answer in time; the request is forgotten.
        """
        if self.waiting + len(request.texts) > self.limits.waiting:
            raise Busy
        self._queue.append(request)
        self.waiting += len(request.texts)
        self._more.set()
        return await asyncio.wait_for(request.response, self.limits.timeout)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._queue:
                self._more.clear()
                await self._more.wait()
            batch = self._next()
            if not batch:
                continue
            try:
                responses = await loop.run_in_executor(self.thread, self.work, batch)
            except Exception as error:
                for request in batch:
                    if not request.response.done():
                        request.response.set_exception(error)
                continue
            for request, response in zip(batch, responses, strict=True):
                if not request.response.done():
                    request.response.set_result(response)

    def _next(self) -> list[BatchRequest]:
        """The requests of the next batch, in order; those given up are dropped."""
        batch: list[BatchRequest] = []
        count = 0
        while self._queue and (not batch or count + len(self._queue[0].texts) <= self.limits.batch):
            request = self._queue.popleft()
            self.waiting -= len(request.texts)
            if not request.response.done():
                batch.append(request)
                count += len(request.texts)
        return batch
