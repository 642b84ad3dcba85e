"""A worker process: it answers requests on a socket that it shares with the others, as the supervisor tells it.

``python -m ramen.serve.worker CONTROL LISTENING SLOT`` gets the numbers of two inherited sockets and its place among
the workers, by which a worker that replaces another one counts on in its metrics.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client import values

from ramen.errors import InputError
from ramen.serve.access import Access
from ramen.serve.app import make_app
from ramen.serve.connections import Server, limited_protocol
from ramen.serve.control import Channel, WorkerSettings
from ramen.serve.log_lines import LogLines, print_messages
from ramen.serve.metrics import ServerMetrics
from ramen.serve.model_holder import ModelHolder

_QUEUED = 2048  # connections that wait to be taken
_SWITCH = 0.001  # seconds until the thread that ranks lets the one that answers go on


def main() -> None:
    """Serve until told to stop, or until the supervisor has ended."""
    for number in (signal.SIGHUP, signal.SIGINT):  # to all processes of a group or terminal; the supervisor acts
        signal.signal(number, signal.SIG_IGN)
    messages = print_messages()
    control, listening = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    values.ValueClass = values.MultiProcessValue(lambda: int(sys.argv[3]))
    with asyncio.Runner(loop_factory=uvicorn.Config("").get_loop_factory()) as runner:
        runner.run(_serve(control, listening))
    messages.stop()


async def _serve(control: socket.socket, listening: socket.socket) -> None:
    channel = await Channel.open(control)
    settings = WorkerSettings.of_json(await channel.receive())
    try:
        holder = await asyncio.to_thread(
            ModelHolder, Path(settings.run), settings.name, settings.run_id, settings.checked
        )
    except (InputError, OSError) as error:
        await channel.send({"error": str(error)})
        return
    gc.collect()
    gc.freeze()  # a collection that looks at the run takes a tenth of a second
    sys.setswitchinterval(_SWITCH)
    metrics = ServerMetrics()
    log = LogLines(sys.stdout.fileno(), metrics.lost_lines) if settings.log else None
    server = _server(settings, holder, metrics, log)
    metrics.show_run(holder.name, holder.run_id, holder.n_labels)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, setattr, server, "should_exit", True)
    commands = asyncio.create_task(_obey(channel, holder, metrics, server, listening))
    await server.serve(sockets=[listening])
    commands.cancel()
    if log is not None:
        log.close()


def _server(
    settings: WorkerSettings, holder: ModelHolder, metrics: ServerMetrics, log: Callable[[dict[str, Any]], None] | None
) -> Server:
    app = make_app(holder, settings.limits, Access(settings.key, settings.hosts), metrics, log)
    config = uvicorn.Config(
        app,
        http=limited_protocol(settings.connections, settings.header_timeout),
        log_config=None,
        ws="none",
        log_level="error",  # no line for each wrong request
        access_log=False,
        server_header=False,
        backlog=1,  # accept one at a time: else the first worker that wakes takes all
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_keep_alive=max(1, round(settings.idle_timeout)),
        timeout_graceful_shutdown=max(1, round(settings.grace)),
    )
    return Server(config)


async def _obey(
    channel: Channel, holder: ModelHolder, metrics: ServerMetrics, server: Server, listening: socket.socket
) -> None:
    """Tell that the server is ready, then do what the supervisor says; its end stops the server."""
    while not server.started:
        await asyncio.sleep(0.005)
    listening.listen(_QUEUED)
    try:
        await channel.send({"labels": holder.n_labels})
        while True:
            message = await channel.receive()
            await channel.send(await _done(message, holder, metrics))
    except ConnectionError:
        pass
    finally:
        server.should_exit = True


async def _done(message: dict[str, Any], holder: ModelHolder, metrics: ServerMetrics) -> dict[str, Any]:
    match message["do"]:  # "ping" does nothing
        case "load":
            try:
                run = Path(message["run"])
                await asyncio.to_thread(holder.prepare, run, message["name"], message["run_id"], message["checked"])
            except Exception as error:  # whatever is wrong with it, the current run stays
                return {
                    "error": f"{type(error).__name__}: {error}" if not isinstance(error, InputError) else str(error)
                }
        case "switch":
            holder.switch()
            gc.unfreeze()
            gc.collect()  # what is left of the old run
            gc.freeze()
            metrics.show_run(holder.name, holder.run_id, holder.n_labels)
        case "drop":
            holder.drop()
    return {"labels": holder.n_labels}


if __name__ == "__main__":
    main()
