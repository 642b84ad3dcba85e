"""``ramen serve``: a run as an HTTP service."""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ramen.cli.console import say, set_threads
from ramen.extras import needing

EXAMPLES = """\b
Examples:
  ramen serve runs/planted
  ramen serve runs/planted --host 0.0.0.0 --port 80
"""


def serve(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or a link to one.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8000,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request.")] = 4_000_000,
    max_texts: Annotated[int, typer.Option(min=1, help="Texts of a request.")] = 1_000,
    max_characters: Annotated[int, typer.Option(min=1, help="Characters of a text.")] = 100_000,
    threads: Annotated[
        int, typer.Option(min=1, help="Of the kernels; more make one text faster, replicas make more of many.")
    ] = 1,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds until a request is given up with 503.")] = 30.0,
) -> None:
    """Serve a run over HTTP: POST /tag, GET /labels, /healthz, /metrics, /docs, and a page for people at /.

    With RAMEN_API_KEY in the environment, requests must have the header Authorization: Bearer KEY. SIGTERM and Ctrl-C
    answer what was asked, then stop. SIGHUP, or POST /reload from this machine, loads the folder anew, as after ramen
    labels or where a link leads to another run now; requests are answered meanwhile.
    """
    set_threads(threads)
    with needing("serve", "a service"):
        import uvicorn

        from ramen.serve.app import make_app
    from ramen.serve.limits import Limits
    from ramen.serve.model_holder import ModelHolder

    logging.basicConfig(stream=sys.stderr, format="ramen: %(message)s")
    limits = Limits(body=max_body, texts=max_texts, characters=max_characters, timeout=timeout)
    app = make_app(ModelHolder(run), limits, os.environ.get("RAMEN_API_KEY", ""))
    config = uvicorn.Config(
        app, host, port, log_level="warning", access_log=False, timeout_graceful_shutdown=int(timeout) + 1
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=2048)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[Any] | None = None) -> None:
            await super().startup(sockets)
            say(f"serving {run} on http://{host}:{sock.getsockname()[1]}")

    server = Server(config)
    server.run(sockets=[sock])
    if not server.started:
        raise typer.Exit(1)
