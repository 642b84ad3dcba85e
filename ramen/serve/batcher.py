"""Dynamic batching of concurrent requests: while one batch is processed, the next one collects.

No request waits for a batch to fill up. Batches are processed one at a time, each with all of the server's threads.
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
    """Too many texts are waiting."""


@dataclass(eq=False)
class BatchRequest:
    """The texts of one request.

    Attributes:
        texts: valid texts.
        k: labels per text.
        lowest: probability below which labels are dropped.
        why: whether to explain the labels.
        response: set by the batcher.
    """

    texts: list[str]
    k: int
    lowest: float
    why: bool
    response: asyncio.Future[BatchResponse] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """Collects requests into batches and processes them in a thread.

    Args:
        work: returns the responses to a batch of requests.
        limits: of the batch, the queue and the time.
    """

    def __init__(self, work: Callable[[list[BatchRequest]], list[BatchResponse]], limits: Limits) -> None:
        self.work, self.limits = work, limits
        self.thread = ThreadPoolExecutor(1, "tagging")
        self.waiting = 0
        self._queue: deque[BatchRequest] = deque()
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start processing; call inside a running event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Process the waiting requests, then stop."""
        while self._queue:
            await asyncio.sleep(0.01)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.thread.shutdown()

    async def submit(self, request: BatchRequest) -> BatchResponse:
        """Queue a request and return its response.

        Raises:
            Busy: too many texts are waiting.
            TimeoutError: there was no response in time; the request is dropped.
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
        """Take the requests of the next batch from the queue, without those that timed out."""
        batch: list[BatchRequest] = []
        count = 0
        while self._queue and (not batch or count + len(self._queue[0].texts) <= self.limits.batch):
            request = self._queue.popleft()
            self.waiting -= len(request.texts)
            if not request.response.done():
                batch.append(request)
                count += len(request.texts)
        return batch
