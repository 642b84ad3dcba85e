"""Run a server: its sockets, the supervisor, the admin address and signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from ramen.errors import InputError
from ramen.serve.access import Access, is_loopback
from ramen.serve.admin import make_admin_app
from ramen.serve.connections import Server, bind, limited_protocol
from ramen.serve.control import WorkerSettings
from ramen.serve.metrics import SupervisorMetrics
from ramen.serve.supervisor import Copy, Supervisor

_UNIX = "unix:"
_ADMIN_CONNECTIONS, _ADMIN_GRACE = 100, 2


@dataclass(frozen=True)
class ServerSettings:
    """Settings of a server.

    Attributes:
        run: folder, or a link to one.
        copy: makes the copy of a run that workers load.
        host, port: public address; port 0 for a free one.
        admin: ``HOST:PORT``, ``unix:PATH``, or "" for no admin address.
        admin_key: that the admin address needs; "" for none.
        n_workers: at least 1.
        worker: settings of workers, whose run is set later.
    """

    run: Path
    copy: Callable[[Path], Copy]
    host: str
    port: int
    admin: str
    admin_key: str
    n_workers: int
    worker: WorkerSettings


async def run_server(settings: ServerSettings, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads the run.

    Args:
        settings: of the server.
        say: called with a line when the server answers.

    Raises:
        InputError: the run, or the admin address, is not as expected.
        OSError: an address is taken.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    folder = _metrics_folder()
    try:
        with bind(settings.host, settings.port) as listening, bound_admin(settings) as admin:
            supervisor = Supervisor(
                settings.run, settings.copy, settings.worker, listening, settings.n_workers, SupervisorMetrics(folder)
            )
            await _serve(supervisor, settings, listening, admin, say, stopped)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _metrics_folder() -> Path:
    """Make a folder for the metrics of workers; removes what killed servers left."""
    for left in Path(tempfile.gettempdir()).glob("ramen-serve-*-*"):
        process = left.name.split("-")[2]
        with contextlib.suppress(OSError):
            if process.isdigit() and left.lstat().st_uid == os.getuid() and not Path("/proc", process).exists():
                shutil.rmtree(left)
    return Path(tempfile.mkdtemp(prefix=f"ramen-serve-{os.getpid()}-"))


async def _serve(
    supervisor: Supervisor,
    settings: ServerSettings,
    listening: socket.socket,
    admin: socket.socket,
    say: Callable[[str], None],
    stopped: asyncio.Event,
) -> None:
    starting, end = asyncio.create_task(supervisor.start()), asyncio.create_task(stopped.wait())
    admin_server = _admin_server(supervisor, settings)
    serving: asyncio.Task[None] | None = None
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload_later(supervisor))
    try:
        if settings.admin:
            serving = asyncio.create_task(admin_server.serve(sockets=[admin]))
        await asyncio.wait((starting, end), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return
        starting.result()
        if serving is not None:
            while not (admin_server.started or serving.done()):
                await asyncio.sleep(0.005)
            say(f"admin on {address_of(admin)}")
        say(f"serving {settings.run} on {address_of(listening)}")
        await end
    finally:
        starting.cancel()
        end.cancel()
        await asyncio.gather(starting, end, return_exceptions=True)
        listening.close()  # else the system goes on queueing connections
        await supervisor.stop()
        admin_server.should_exit = True
        if serving is not None:
            await serving
        if settings.admin.startswith(_UNIX):
            Path(settings.admin.removeprefix(_UNIX)).unlink(missing_ok=True)


def _reload_later(supervisor: Supervisor) -> Callable[[], None]:
    """Return a handler of SIGHUP."""
    tasks: set[asyncio.Task[None]] = set()  # asyncio holds tasks by weak references only

    async def reload() -> None:
        with contextlib.suppress(Exception):  # logged there
            await supervisor.reload()

    def on_hangup() -> None:
        task = asyncio.get_running_loop().create_task(reload())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return on_hangup


def _admin_server(supervisor: Supervisor, settings: ServerSettings) -> Server:
    hosts = [name for name in settings.worker.hosts if name != "*"]
    app = make_admin_app(supervisor, Access(settings.admin_key, hosts))
    config = uvicorn.Config(
        app,
        http=limited_protocol(_ADMIN_CONNECTIONS, settings.worker.header_timeout),
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_ADMIN_GRACE,
    )
    return Server(config)


def bound_admin(settings: ServerSettings) -> socket.socket:
    """Return the bound socket of the admin address; an unbound one if there is none.

    Raises:
        InputError: it is no address, or reached from other machines without a key.
        OSError: it is taken.
    """
    admin = settings.admin
    if not admin:
        return socket.socket()
    if admin.startswith(_UNIX):
        return _bind_unix(Path(admin.removeprefix(_UNIX)))
    host, _, port = admin.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise InputError(f"--admin {admin}: expected HOST:PORT, unix:PATH or none")
    if not is_loopback(host) and not settings.admin_key:
        raise InputError(f"--admin {admin}: other machines reach it: set RAMEN_ADMIN_KEY or RAMEN_ADMIN_KEY_FILE")
    return bind(host, int(port))


def _bind_unix(path: Path) -> socket.socket:
    """Return a Unix socket that only the user may open; replaces one that nobody listens on."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            try:
                sock.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise OSError(errno.EADDRINUSE, f"--admin unix:{path}: in use by another server")
            sock.close()
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        path.chmod(0o600)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"--admin unix:{path}: {error.strerror or error}") from error
    return sock


def address_of(sock: socket.socket) -> str:
    """Return the address of a bound socket for people."""
    if sock.family == socket.AF_UNIX:
        return f"{_UNIX}{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
