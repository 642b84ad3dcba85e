"""``ramen serve``: a run as an HTTP service."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ramen.cli.console import say, set_threads
from ramen.errors import InputError, nearest
from ramen.extras import needing

EXAMPLES = """\b
Examples:
  ramen serve runs/planted
  ramen serve runs/planted --host 0.0.0.0 --port 80 --workers 2 --allow-host tags.example.org
"""
PREFIX = "RAMEN_SERVE"


def serve(
    context: typer.Context,
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder, a link to one, or USER/NAME on the Hugging Face hub.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8000,
    admin: Annotated[
        str, typer.Option(help="HOST:PORT or unix:PATH for reloads and metrics, or none. [default: 127.0.0.1:PORT+1]")
    ] = "",
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer; they share the run's memory.")] = 1,
    threads: Annotated[
        int, typer.Option(min=1, help="Of a worker's kernels; more make one text faster, workers make more of many.")
    ] = 1,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Name of this server in URLs; * for any. Repeatable.")
    ] = None,
    forwarded_allow_ips: Annotated[
        str, typer.Option(help="Proxies whose X-Forwarded-For is believed, with commas.", show_default="none")
    ] = "",
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request.")] = 4_000_000,
    max_texts: Annotated[int, typer.Option(min=1, help="Texts of a request.")] = 1_000,
    max_characters: Annotated[int, typer.Option(min=1, help="Characters of a text.")] = 100_000,
    max_work: Annotated[int, typer.Option(min=1, help="Work of a request, in short texts.")] = 4_000,
    max_connections: Annotated[int, typer.Option(min=1, help="Connections of a worker.")] = 1_000,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds until a request is given up with 503.")] = 30.0,
    header_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for the headers of a request.")] = 10.0,
    idle_timeout: Annotated[float, typer.Option(min=1, help="Seconds that a connection may wait.")] = 60.0,
    grace: Annotated[float, typer.Option(min=1, help="Seconds to answer what was asked at the end.")] = 20.0,
    log: Annotated[bool, typer.Option(help="Log requests as JSON lines to stdout.")] = True,
    snapshot: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For the private copy of the run. [default: the cache folder]")
    ] = None,
    no_snapshot: Annotated[
        bool, typer.Option("--no-snapshot", help="Map the run's own files: nothing may write into them.")
    ] = False,
) -> None:
    """Serve a run over HTTP: POST /v1/tag, GET /v1/labels, /healthz, /readyz, /docs, and a page for people at /.

    Every option can be set by the environment, as RAMEN_SERVE_PORT for --port. With RAMEN_API_KEY, or a file that
    RAMEN_API_KEY_FILE names, requests must have the header Authorization: Bearer KEY; RAMEN_ADMIN_KEY is that of the
    admin address. SIGTERM and Ctrl-C answer what was asked, then stop. SIGHUP, or POST /reload on the admin address,
    loads the folder anew, as after ramen labels or where a link leads to another run now.
    """
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the server takes it
    _check_environment(context)
    set_threads(threads)
    from ramen.inference.open import local_folder

    with needing("serve", "a service"):
        from ramen.serve.access import is_loopback, read_key
        from ramen.serve.control import WorkerSettings
        from ramen.serve.log_lines import print_messages
        from ramen.serve.run_server import ServerSettings, run_server
        from ramen.serve.snapshot import serve_in_place, take_snapshot
    from ramen.serve.limits import Limits

    if snapshot is not None and no_snapshot:
        raise InputError("--snapshot and --no-snapshot: found both, expected one of the two")

    key, admin_key = read_key("RAMEN_API_KEY"), read_key("RAMEN_ADMIN_KEY")
    limits = Limits(
        body=max_body, texts=max_texts, characters=max_characters, work=max_work, waiting=2 * max_work, timeout=timeout
    )
    worker = WorkerSettings(
        checked=not no_snapshot, limits=limits, key=key, hosts=tuple(allow_host or ()),
        forwarded_allow_ips=forwarded_allow_ips, connections=max_connections, header_timeout=header_timeout,
        idle_timeout=idle_timeout, grace=grace, log=log,
    )  # fmt: skip
    admin = {"": f"127.0.0.1:{_beside(port)}", "none": ""}.get(admin, admin)
    if not key and not is_loopback(host):
        say(f"warning: anyone who reaches {host} may ask: set RAMEN_API_KEY or RAMEN_API_KEY_FILE")
    copy = serve_in_place if no_snapshot else partial(take_snapshot, folder=snapshot)
    settings = ServerSettings(local_folder(run), copy, host, port, admin, admin_key, workers, worker)
    messages = print_messages()
    try:
        asyncio.run(run_server(settings, say))
    finally:
        messages.stop()
        signal.signal(signal.SIGHUP, before)


def _beside(port: int) -> int:
    """Return the default port of the admin address."""
    return port and (port + 1 if port < 65535 else port - 1)


def _check_environment(context: typer.Context) -> None:
    """Refuse misspelt variables."""
    known = {f"{PREFIX}_{parameter.name}".upper() for parameter in context.command.params}
    for name in os.environ:
        if name.startswith(PREFIX + "_") and name not in known:
            raise InputError(f"{name}: unknown setting: {nearest(name, sorted(known))}")
