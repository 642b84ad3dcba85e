"""The supervisor: starts workers, restarts those that end, and replaces the run of all of them at once."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from ramen.errors import InputError
from ramen.serve.control import WorkerSettings
from ramen.serve.log_lines import shorten
from ramen.serve.metrics import SupervisorMetrics
from ramen.serve.worker_process import WorkerProcess

_log = logging.getLogger("ramen.serve")
_PATIENCE = 5.0  # seconds beyond the grace until a worker is killed
_LOADING = 120.0  # seconds for a worker to load a run
_PING, _PONG = 10.0, 30.0  # seconds between questions whether a worker answers, and for the answer
_LONGEST_PAUSE = 10.0  # seconds between restarts of a worker that ends at once


class Copy(Protocol):
    """A copy of a run, or the run itself."""

    source: Path
    path: Path
    id: str

    def remove(self) -> None:
        """Remove the copy."""


class Supervisor:
    """Runs the workers of one server.

    Args:
        run: folder, or a link to one, which is followed at each load.
        copy: makes the copy of a run that workers load.
        settings: of workers, whose run is set here.
        listening: bound socket that all workers share.
        n_workers: at least 1.
        metrics: of the server.
    """

    def __init__(
        self,
        run: Path,
        copy: Callable[[Path], Copy],
        settings: WorkerSettings,
        listening: socket.socket,
        n_workers: int,
        metrics: SupervisorMetrics,
    ) -> None:
        self.run, self.copy, self.settings, self.listening = run, copy, settings, listening
        self.n_workers, self.metrics = n_workers, metrics
        self.workers: dict[int, WorkerProcess] = {}  # by slot
        self.is_stopping = False
        self._current: Copy | None = None
        self._loading = asyncio.Lock()
        self._n_reloads = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Load the run and start the workers; returns when all are ready.

        Raises:
            InputError: there is no finished run, or a worker cannot load it.
        """
        async with self._loading:  # a reload meanwhile comes after
            self._use(self.run, await asyncio.to_thread(self.copy, self.run))
            self._add(await self._started(0))  # it compiles the kernels, if that is needed
            for worker in await asyncio.gather(*(self._started(slot) for slot in range(1, self.n_workers))):
                self._add(worker)

    async def stop(self) -> None:
        """Let the workers answer what was asked, then end them."""
        self.is_stopping = True
        workers = list(self.workers.values())
        for worker in workers:
            worker.signal(signal.SIGTERM)
        ends = [asyncio.ensure_future(worker.process.wait()) for worker in workers]
        if ends:
            await asyncio.wait(ends, timeout=self.settings.grace + _PATIENCE)
        for worker in workers:
            worker.signal(signal.SIGKILL)
            await worker.process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._current is not None:
            self._current.remove()

    async def reload(self, run: Path | None = None) -> None:
        """Load another run, or the folder anew, in all workers, then switch them; after an error the current run stays.

        Raises:
            InputError: the run cannot be loaded.
        """
        if self._n_reloads > 1:
            raise InputError("a reload is in progress and another one waits; try again")
        self._n_reloads += 1
        try:
            async with self._loading:
                await self._reload(run or self.run)
        finally:
            self._n_reloads -= 1

    async def _reload(self, run: Path) -> None:
        try:
            fresh = await asyncio.to_thread(self.copy, run)
            try:
                await self._load(run, fresh)
            except BaseException:
                fresh.remove()
                raise
        except Exception as error:
            self.metrics.loads.labels("failed").inc()
            _log.warning("reload failed, the current run stays active: %s", shorten(str(error)))
            raise
        self.metrics.loads.labels("done").inc()
        _log.warning("loaded %s", run)

    async def _load(self, run: Path, fresh: Copy) -> None:
        """Let all workers load a copy; they switch only if all of them can."""
        message = {
            "do": "load", "run": str(fresh.path), "name": fresh.source.name, "run_id": fresh.id,
            "checked": self.settings.checked,
        }  # fmt: skip
        workers = list(self.workers.values())
        if not workers:
            await self._start_from(run, fresh)
            return
        answers = await asyncio.gather(*(worker.ask(message, _LOADING) for worker in workers), return_exceptions=True)
        loaded = [worker for worker, answer in zip(workers, answers, strict=True) if _is_fine(answer)]
        errors = [answer["error"] for answer in answers if isinstance(answer, dict) and "error" in answer]
        if errors or not loaded:
            drops = [worker.ask({"do": "drop"}, _PONG) for worker in loaded]
            await asyncio.gather(*drops, return_exceptions=True)
            raise InputError(errors[0] if errors else "no worker answers; try again")
        old = self._current
        self._use(run, fresh)
        switches = [worker.ask({"do": "switch"}, _PONG) for worker in loaded]
        answers = await asyncio.gather(*switches, return_exceptions=True)
        switched = {worker: answer for worker, answer in zip(loaded, answers, strict=True) if isinstance(answer, dict)}
        for worker in workers:
            if worker in switched:
                worker.run_id, worker.n_labels = fresh.id, switched[worker]["labels"]
            else:
                worker.signal(signal.SIGKILL)  # it would go on with the old run; another one starts with the new
        if old is not None:
            old.remove()

    async def _start_from(self, run: Path, fresh: Copy) -> None:
        """Start a worker from another run when none is left; after an error the old run stays."""
        before = self.run, self._current, self.settings
        self._use(run, fresh)
        try:
            self._add(await self._started(0))
        except BaseException:
            self.run, self._current, self.settings = before
            raise
        if before[1] is not None:
            before[1].remove()

    def health(self) -> dict[str, Any]:
        """Return the current run and the state of the workers."""
        workers = sorted(self.workers.values(), key=lambda worker: worker.slot)
        return {
            "status": "ready" if len(workers) == self.n_workers else "starting",
            "run": self.settings.name,
            "run_id": self.settings.run_id,
            "labels": workers[0].n_labels if workers else 0,
            "workers": [{"process": worker.process.pid, "run_id": worker.run_id} for worker in workers],
        }

    def _use(self, run: Path, copy: Copy) -> None:
        self.run, self._current = run, copy
        self.settings = replace(self.settings, run=str(copy.path), name=copy.source.name, run_id=copy.id)

    async def _started(self, slot: int) -> WorkerProcess:
        return await WorkerProcess.start(self.settings, self.listening, slot, self.metrics.folder, _LOADING)

    def _add(self, worker: WorkerProcess) -> None:
        self.workers[worker.slot] = worker
        self.metrics.workers.set(len(self.workers))
        for task in (asyncio.create_task(self._watch(worker)), asyncio.create_task(self._ping(worker))):
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ping(self, worker: WorkerProcess) -> None:
        """Kill a worker that no longer answers."""
        try:
            while True:
                await asyncio.sleep(_PING)
                await worker.ask({"do": "ping"}, _PONG)
        except (ConnectionError, TimeoutError):
            pass

    async def _watch(self, worker: WorkerProcess) -> None:
        """Start another worker when this one ends."""
        status = await worker.process.wait()
        worker.channel.close()
        self.metrics.forget(worker.slot)
        if self.is_stopping:
            return
        del self.workers[worker.slot]
        self.metrics.workers.set(len(self.workers))
        _log.warning("worker %d ended with %d; starting another", worker.process.pid, status)
        pause = 0.1
        while not self.is_stopping:
            self.metrics.restarts.inc()
            try:
                async with self._loading:
                    if worker.slot not in self.workers:  # else a reload has started it
                        self._add(await self._started(worker.slot))
                return
            except (InputError, OSError) as error:
                _log.warning("a worker did not start: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)


def _is_fine(answer: object) -> bool:
    return isinstance(answer, dict) and "error" not in answer
