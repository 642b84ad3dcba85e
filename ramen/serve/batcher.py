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

Answers = list[list[dict[str, Any]]]


class Busy(Exception):
    """Too much waits already."""


@dataclass(eq=False)
class Asked:
    """One request's texts.

    Attributes:
        texts: valid ones.
        k: labels each.
        lowest: probability below which labels are left out.
        why: whether reasons are wanted.
        answer: set by the batcher.
    """

    texts: list[str]
    k: int
    lowest: float
    why: bool
    answer: asyncio.Future[Answers] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """Args: ``work``, which answers requests in a thread, and the limits."""

    def __init__(self, work: Callable[[list[Asked]], list[Answers]], limits: Limits) -> None:
        self.work, self.limits = work, limits
        self.thread = ThreadPoolExecutor(1, "tagging")
        self.waiting = 0
        self._queue: deque[Asked] = deque()
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

    async def ask(self, asked: Asked) -> Answers:
        """The answers to a request's texts.

        Raises:
            Busy: too many texts wait.
            TimeoutError: no answer in time; the request is forgotten.
        """
        if self.waiting + len(asked.texts) > self.limits.waiting:
            raise Busy
        self._queue.append(asked)
        self.waiting += len(asked.texts)
        self._more.set()
        return await asyncio.wait_for(asked.answer, self.limits.timeout)

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
                answers = await loop.run_in_executor(self.thread, self.work, batch)
            except Exception as error:
                for asked in batch:
                    if not asked.answer.done():
                        asked.answer.set_exception(error)
                continue
            for asked, answer in zip(batch, answers, strict=True):
                if not asked.answer.done():
                    asked.answer.set_result(answer)

    def _next(self) -> list[Asked]:
        """The requests of the next batch, in order; those given up are dropped."""
        batch: list[Asked] = []
        count = 0
        while self._queue and (not batch or count + len(self._queue[0].texts) <= self.limits.batch):
            asked = self._queue.popleft()
            self.waiting -= len(asked.texts)
            if not asked.answer.done():
                batch.append(asked)
                count += len(asked.texts)
        return batch
