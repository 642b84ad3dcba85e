"""The supervisor: starts workers, restarts those that end, and replaces the run of all of them at once."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ramen.errors import InputError
from ramen.serve.control import Channel, WorkerSettings
from ramen.serve.metrics import SupervisorMetrics

_log = logging.getLogger("ramen.serve")
_PATIENCE = 5.0  # seconds beyond the grace until a worker is killed
_LOADING = 600.0  # seconds for a worker to load a run
_LONGEST_PAUSE = 10.0  # seconds between restarts of a worker that ends at once


class Copy(Protocol):
    """A copy of a run, or the run itself."""

    path: Path
    id: str

    def remove(self) -> None:
        """Remove the copy."""


@dataclass(eq=False)
class Worker:
    """A worker process.

    Attributes:
        process: of it.
        channel: to it.
        run_id: of the run that it serves; "" until it is ready.
    """

    process: asyncio.subprocess.Process
    channel: Channel
    run_id: str = ""


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
        self.workers: list[Worker] = []
        self.n_labels = 0
        self.is_stopping = False
        self._current: Copy | None = None
        self._loading = asyncio.Lock()
        self._watchers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Load the run and start the workers; returns when all are ready.

        Raises:
            InputError: there is no finished run, or a worker cannot load it.
        """
        async with self._loading:  # a reload meanwhile comes after
            self._use(self.run, await asyncio.to_thread(self.copy, self.run))
            self._add(await self._started())  # it compiles the kernels, if that is needed
            for worker in await asyncio.gather(*(self._started() for _ in range(self.n_workers - 1))):
                self._add(worker)

    async def stop(self) -> None:
        """Let the workers answer what was asked, then end them."""
        self.is_stopping = True
        for worker in self.workers:
            _signal(worker, signal.SIGTERM)
        ends = [asyncio.ensure_future(worker.process.wait()) for worker in self.workers]
        if ends:
            await asyncio.wait(ends, timeout=self.settings.grace + _PATIENCE)
        for worker in self.workers:
            _signal(worker, signal.SIGKILL)
            await worker.process.wait()
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        if self._current is not None:
            self._current.remove()

    async def reload(self, run: Path | None = None) -> None:
        """Load another run, or the folder anew, in all workers, then switch them; after an error the current run stays.

        Raises:
            InputError: the run cannot be loaded.
        """
        async with self._loading:
            run = run or self.run
            try:
                fresh = await asyncio.to_thread(self.copy, run)
                try:
                    await self._load(run, fresh)
                except BaseException:
                    fresh.remove()
                    raise
            except Exception:
                self.metrics.loads.labels("failed").inc()
                raise
            self.metrics.loads.labels("done").inc()

    async def _load(self, run: Path, fresh: Copy) -> None:
        """Let all workers load a copy; they switch only if all of them can."""
        message = {
            "do": "load", "run": str(fresh.path), "name": run.name, "run_id": fresh.id,
            "checked": self.settings.checked,
        }  # fmt: skip
        workers = list(self.workers)
        answers = await asyncio.gather(*(_ask(worker, message) for worker in workers), return_exceptions=True)
        loaded = [worker for worker, answer in zip(workers, answers, strict=True) if _is_fine(answer)]
        errors = [answer["error"] for answer in answers if isinstance(answer, dict) and "error" in answer]
        if errors or not loaded:
            await asyncio.gather(*(_ask(worker, {"do": "drop"}) for worker in loaded), return_exceptions=True)
            raise InputError(errors[0] if errors else "no worker answers; try again")
        old = self._current
        self._use(run, fresh)
        switches = [_ask(worker, {"do": "switch"}) for worker in loaded]
        for worker, answer in zip(loaded, await asyncio.gather(*switches, return_exceptions=True), strict=True):
            if isinstance(answer, dict):
                worker.run_id, self.n_labels = fresh.id, answer["labels"]
        for worker in workers:
            if worker.run_id != fresh.id:
                _signal(worker, signal.SIGKILL)  # it would go on with the old run; another one starts with the new
        if old is not None:
            old.remove()

    def health(self) -> dict[str, Any]:
        """Return the current run and the state of the workers."""
        workers = [
            {"process": worker.process.pid, "ready": bool(worker.run_id), "run_id": worker.run_id}
            for worker in self.workers
        ]
        return {
            "run": self.settings.name, "run_id": self.settings.run_id, "labels": self.n_labels, "workers": workers,
        }  # fmt: skip

    def _use(self, run: Path, copy: Copy) -> None:
        self.run, self._current = run, copy
        self.settings = replace(self.settings, run=str(copy.path), name=run.name, run_id=copy.id)

    async def _started(self) -> Worker:
        """Start a worker; returns when it is ready.

        Raises:
            InputError: it cannot load the run, or it ended.
        """
        ours, theirs = socket.socketpair()
        descriptors = (theirs.fileno(), self.listening.fileno())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ramen.serve.worker", *map(str, descriptors),
            pass_fds=descriptors, stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal reaches the supervisor only
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self.metrics.folder)},
        )  # fmt: skip
        theirs.close()
        worker = Worker(process, await Channel.open(ours))
        settings = self.settings
        try:
            answer = await worker.channel.ask(settings.to_json())
        except ConnectionError:
            answer = {"error": f"a worker ended with {await process.wait()} before it was ready"}
        except BaseException:
            _signal(worker, signal.SIGKILL)
            raise
        if "error" in answer:
            await process.wait()
            worker.channel.close()
            raise InputError(answer["error"])
        worker.run_id, self.n_labels = settings.run_id, answer["labels"]
        return worker

    def _add(self, worker: Worker) -> None:
        self.workers.append(worker)
        self.metrics.workers.set(len(self.workers))
        watcher = asyncio.create_task(self._watch(worker))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _watch(self, worker: Worker) -> None:
        """Start another worker when this one ends."""
        status = await worker.process.wait()
        worker.channel.close()
        self.metrics.forget(worker.process.pid)
        if self.is_stopping:
            return
        self.workers.remove(worker)
        self.metrics.workers.set(len(self.workers))
        _log.warning("worker %d ended with %d; starting another", worker.process.pid, status)
        pause = 0.1
        while not self.is_stopping:
            self.metrics.restarts.inc()
            try:
                async with self._loading:
                    self._add(await self._started())
                return
            except (InputError, OSError) as error:
                _log.warning("a worker did not start: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)


async def _ask(worker: Worker, message: dict[str, Any]) -> dict[str, Any]:
    """Ask a worker; one that does not answer is killed, and another one starts."""
    try:
        async with asyncio.timeout(_LOADING):
            return await worker.channel.ask(message)
    except TimeoutError:
        _log.warning("worker %d did not answer within %d s", worker.process.pid, _LOADING)
        _signal(worker, signal.SIGKILL)
        raise


def _is_fine(answer: object) -> bool:
    return isinstance(answer, dict) and "error" not in answer


def _signal(worker: Worker, number: signal.Signals) -> None:
    try:
        worker.process.send_signal(number)
    except ProcessLookupError:
        pass
