"""A worker process as the supervisor sees it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ramen.errors import InputError
from ramen.serve.control import Channel, WorkerSettings

_log = logging.getLogger("ramen.serve")
_KEYS = "RAMEN_API_KEY", "RAMEN_ADMIN_KEY"  # a worker gets its key over the channel


@dataclass(eq=False)
class WorkerProcess:
    """A worker.

    Attributes:
        slot: its place among the workers of a server, from 0.
        process: of it.
        channel: to it.
        run_id: of the run that it serves.
        n_labels: of that run.
    """

    slot: int
    process: asyncio.subprocess.Process
    channel: Channel
    run_id: str = ""
    n_labels: int = 0

    @classmethod
    async def start(
        cls, settings: WorkerSettings, listening: socket.socket, slot: int, metrics: Path, seconds: float
    ) -> WorkerProcess:
        """Start a worker; returns when it answers requests.

        Args:
            settings: of it.
            listening: bound socket that all workers share.
            slot: its place.
            metrics: folder of all workers' metrics.
            seconds: to wait for it.

        Raises:
            InputError: it cannot load the run, ended, or did not answer in time.
        """
        ours, theirs = socket.socketpair()
        descriptors = (theirs.fileno(), listening.fileno())
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_KEYS)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ramen.serve.worker", *map(str, descriptors), str(slot),
            pass_fds=descriptors, stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal reaches the supervisor only
            env={**environment, "PROMETHEUS_MULTIPROC_DIR": str(metrics)},
        )  # fmt: skip
        theirs.close()
        worker = cls(slot, process, await Channel.open(ours))
        try:
            answer = await worker.ask(settings.to_json(), seconds)
        except ConnectionError:
            answer = {"error": f"a worker ended with {await process.wait()} before it was ready"}
        except TimeoutError:
            answer = {"error": f"a worker was not ready after {seconds:g} s"}
        except BaseException:
            worker.signal(signal.SIGKILL)
            raise
        if "error" in answer:
            await process.wait()
            worker.channel.close()
            raise InputError(answer["error"])
        worker.run_id, worker.n_labels = settings.run_id, answer["labels"]
        return worker

    async def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a message and return the answer; kills a worker that does not answer in time.

        Raises:
            ConnectionError: it has ended.
            TimeoutError: it did not answer.
        """
        try:
            return await self.channel.ask(message, seconds)
        except TimeoutError:
            _log.warning("worker %d did not answer within %g s", self.process.pid, seconds)
            self.signal(signal.SIGKILL)
            raise

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        try:
            self.process.send_signal(number)
        except ProcessLookupError:
            pass
