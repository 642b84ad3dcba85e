"""Dynamic batching of concurrent requests: while one batch is processed, the next one collects.

A request alone does not wait for others. Clients that got their answers from one batch ask again at the same moment,
so the next batch waits for as many requests, but not longer than two milliseconds. Batches are processed one at a
time, each with all of the server's threads. A batch holds light requests in their order, or a part of one heavy
request; where both wait, the two kinds alternate. Of heavy requests, the one with the least work left goes first, so
that some are answered in time. A light request waits for two batches at most, however heavy the others are.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from ramen.inference.tagger import Tagger
from ramen.serve.limits import Limits, work_of


@dataclass(frozen=True)
class TextAnswer:
    """The labels of one text.

    They become JSON in the thread that ranks, text by text: an answer may have megabytes, and objects by the million
    would make the garbage collector stop the process.

    Attributes:
        json: ``{"labels": [...]}``.
        n_labels: number of labels.
        probability: of the first label; None if there is none.
    """

    json: bytes
    n_labels: int
    probability: float | None


BatchResponse = list[TextAnswer]
_GATHER = 0.002  # seconds
_HEAVY = 0.9  # of the queue may be heavy requests: light ones never find it full of them


class Busy(Exception):
    """Too many texts are waiting."""


@dataclass(eq=False)
class BatchRequest:
    """The texts of one request.

    Attributes:
        tagger: answers the whole request, even if the run is replaced meanwhile.
        texts: valid texts.
        k: labels per text.
        lowest: probability below which labels are dropped; one for all, or one for each label.
        why: whether to explain the labels.
        response: set by the batcher; a cancelled one ends the work.
        done: answers to the first texts.
        queued, began, ranking: when it was queued and first processed, by a monotonic clock, and the seconds of its
            batches.
        work: of all texts; see :func:`work_of`.
    """

    tagger: Tagger
    texts: list[str]
    k: int = 5
    lowest: float | np.ndarray = 0.0
    why: bool = False
    response: asyncio.Future[BatchResponse] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    done: BatchResponse = field(default_factory=list)
    queued: float = 0.0
    began: float = 0.0
    ranking: float = 0.0
    work: float = field(init=False)

    def __post_init__(self) -> None:
        self.work = sum(work_of(text, self.k, self.why) for text in self.texts)

    @property
    def left(self) -> float:
        """Work that is left, as if all texts had the same."""
        return self.work * (1 - len(self.done) / len(self.texts))

    def part(self, most: float) -> BatchPart:
        """Return the next texts up to some work, at least one."""
        first = len(self.done)
        last = first + 1
        most -= work_of(self.texts[first], self.k, self.why)
        while last < len(self.texts) and (most := most - work_of(self.texts[last], self.k, self.why)) >= 0:
            last += 1
        return BatchPart(self, self.texts[first:last])


@dataclass(frozen=True)
class BatchPart:
    """Texts of a request that are in one batch."""

    request: BatchRequest
    texts: list[str]


class Batcher:
    """Collects requests into batches and processes them in a thread.

    Args:
        rank: returns the answers to each part of a batch.
        limits: of the batch, the queue and the time.
    """

    def __init__(self, rank: Callable[[list[BatchPart]], list[BatchResponse]], limits: Limits) -> None:
        self.rank, self.limits = rank, limits
        self.thread = ThreadPoolExecutor(1, "tagging")
        self.waiting = 0.0
        self.batch_began: float | None = None
        self._light: deque[BatchRequest] = deque()
        self._heavy: list[BatchRequest] = []
        self._was_heavy = False
        self._n_last = 0
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._process = 0

    def start(self) -> None:
        """Start processing; call inside a running event loop."""
        self._process = os.getpid()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Process the waiting requests, then stop."""
        while self._light or self._heavy:
            await asyncio.sleep(0.01)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.thread.shutdown()

    @property
    def is_stuck(self) -> bool:
        """Whether the batch in progress takes longer than requests wait for an answer."""
        began = self.batch_began
        return began is not None and time.monotonic() - began > self.limits.timeout

    @property
    def is_full(self) -> bool:
        """Whether light requests are refused."""
        return self.waiting + self.limits.batch > self.limits.waiting

    async def submit(self, request: BatchRequest) -> BatchResponse:
        """Queue a request and return its response; if this is cancelled, so is the rest of the work.

        Raises:
            Busy: too many texts are waiting.
            TimeoutError: there was no response in time; the request is dropped.
            RuntimeError: the process was forked after the start, so it lacks the thread that answers.
        """
        if os.getpid() != self._process:
            raise RuntimeError("this process was forked from a started server: fork before the application starts")
        work = request.work
        is_light = work <= self.limits.batch
        if self.waiting + work > self.limits.waiting * (1 if is_light else _HEAVY):
            raise Busy
        self.waiting += work
        request.queued = time.monotonic()
        (self._light if is_light else self._heavy).append(request)
        self._more.set()
        try:
            return await asyncio.wait_for(request.response, self.limits.timeout)
        finally:
            self.waiting -= work

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not (self._light or self._heavy):
                self._more.clear()
                await self._more.wait()
            await self._gather()
            batch = self._next()
            if not batch:
                continue
            self.batch_began = began = time.monotonic()
            try:
                responses = await loop.run_in_executor(self.thread, self.rank, batch)
            except Exception as error:
                for part in batch:
                    if not part.request.response.done():
                        part.request.response.set_exception(error)
                continue
            finally:
                self.batch_began = None
            taken = time.monotonic() - began
            for part, response in zip(batch, responses, strict=True):
                self._add(part.request, response, began, taken)

    async def _gather(self) -> None:
        """Let as many light requests arrive as the last batch had."""
        until = time.monotonic() + _GATHER
        while not self._heavy and len(self._light) < self._n_last and time.monotonic() < until:
            await asyncio.sleep(0)

    def _add(self, request: BatchRequest, answers: BatchResponse, began: float, taken: float) -> None:
        """Add the answers of a part; the last one answers the request, others queue it again."""
        request.began = request.began or began
        request.ranking += taken
        request.done += answers
        if request.response.done():
            return
        if len(request.done) == len(request.texts):
            request.response.set_result(request.done)
        else:
            self._heavy.append(request)

    def _next(self) -> list[BatchPart]:
        """Take the parts of the next batch from the queues, without requests that timed out or were cancelled."""
        if self._light and (self._was_heavy or not self._heavy):
            self._was_heavy = False
            return self._light_batch()
        self._was_heavy = True
        self._heavy = [request for request in self._heavy if not request.response.done()]
        if not self._heavy:
            return []
        request = min(self._heavy, key=lambda request: request.left)
        self._heavy.remove(request)
        return [request.part(self.limits.part)]

    def _light_batch(self) -> list[BatchPart]:
        batch: list[BatchPart] = []
        room = float(self.limits.batch)
        while self._light and (not batch or self._light[0].work <= room):
            request = self._light.popleft()
            if not request.response.done():
                room -= request.work
                batch.append(BatchPart(request, request.texts))
        self._n_last = len(batch) if len(batch) > 1 else 0
        return batch
