"""Connections on a real socket, with a tiny application: what attackers hold open never keeps others out."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest

uvicorn = pytest.importorskip("uvicorn")

from ramen.serve.connections import Server, bind, limited_protocol  # noqa: E402

ASKED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    body = scope["path"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def listening(most=20, header_timeout=0.5, idle=1):
    """A server of the application in a thread; gives its address."""
    with bind("127.0.0.1", 0) as sock:
        config = uvicorn.Config(
            app, http=limited_protocol(most, header_timeout), log_level="error", lifespan="off",
            timeout_keep_alive=idle, timeout_graceful_shutdown=5,
        )  # fmt: skip
        server = Server(config)
        address = sock.getsockname()
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield address, server
        finally:
            server.should_exit = True
            thread.join(10)


def ask(link, request=ASKED):
    link.sendall(request)
    return answer(link)


def answer(link):
    """The whole answer, whose body is the path."""
    told = b""
    while not told.endswith(b"\r\n\r\n/"):
        part = link.recv(4096)
        assert part, told
        told += part
    return told


def is_closed(link, seconds):
    link.settimeout(seconds)
    try:
        return link.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_answers_do_not_wait_for_acknowledgements():
    with listening() as (address, _), socket.create_connection(address, timeout=5) as link:
        ask(link)
        seconds = []
        for _ in range(10):
            began = time.perf_counter()
            assert b" 200 " in ask(link)
            seconds.append(time.perf_counter() - began)
        assert sorted(seconds)[5] < 0.02  # 0.04 with Nagle's algorithm


def test_half_open_connections_give_way():
    with listening(most=20, header_timeout=60) as (address, server):
        kept = socket.create_connection(address, timeout=5)
        ask(kept)
        held = [socket.create_connection(address) for _ in range(100)]
        for number, link in enumerate(held):
            if number % 3:
                with contextlib.suppress(OSError):  # some are closed by now
                    link.sendall((b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")[number % 2])
        assert b" 200 " in ask(kept)  # it had an answer, so others went first
        for _ in range(3):
            began = time.perf_counter()
            with socket.create_connection(address, timeout=5) as link:
                assert b" 200 " in ask(link) and time.perf_counter() - began < 1
        assert len(server.server_state.connections) <= 20
        for link in (kept, *held):
            link.close()


def test_a_request_that_is_answered_keeps_its_connection():
    release = threading.Event()

    async def slow(scope, receive, send):
        while not release.is_set():
            await asyncio.sleep(0.01)
        await app(scope, receive, send)

    with listening(most=3, header_timeout=60) as (address, server):
        server.config.loaded_app = slow
        with socket.create_connection(address, timeout=10) as link:
            link.sendall(ASKED)
            time.sleep(0.1)
            others = [socket.create_connection(address) for _ in range(10)]
            time.sleep(0.1)
            release.set()
            assert b" 200 " in answer(link)
            for other in others:
                other.close()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost", ASKED + b"GET / HTTP/1.1\r\n"], ids=len)
def test_headers_that_do_not_come_end_the_connection(sent):
    with listening(header_timeout=0.3, idle=30) as (address, _), socket.create_connection(address) as link:
        if sent.startswith(ASKED):
            ask(link)
            sent = sent.removeprefix(ASKED)
        link.sendall(sent)
        assert is_closed(link, 3)


def test_slow_letters_do_not_extend_the_time_for_headers():
    with listening(header_timeout=0.3) as (address, _), socket.create_connection(address) as link:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            for letter in b"GET / HTTP/1.1\r\nX: " + b"y" * 100:
                link.sendall(bytes([letter]))
                time.sleep(0.05)
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 200_000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 50_000,
    ],
    ids=["path", "header", "headers"],
)  # fmt: skip
def test_endless_headers_are_refused(sent):
    with listening(header_timeout=30) as (address, _), socket.create_connection(address, timeout=5) as link:
        told = b""
        with contextlib.suppress(ConnectionError):
            link.sendall(sent)
        with contextlib.suppress(ConnectionError):
            while part := link.recv(4096):
                told += part
        assert not told or told.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))
        with socket.create_connection(address, timeout=5) as other:
            assert b" 200 " in ask(other)


def test_an_idle_connection_is_closed_and_a_used_one_is_not():
    with listening(header_timeout=0.3, idle=1) as (address, _), socket.create_connection(address) as link:
        for _ in range(4):
            assert b" 200 " in ask(link)
            time.sleep(0.4)  # longer than the time for headers
        assert is_closed(link, 3)


def test_the_end_does_not_wait_for_a_stuck_body():
    with listening(header_timeout=60) as (address, server), socket.create_connection(address) as link:
        link.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        time.sleep(0.1)
        began = time.monotonic()
        server.should_exit = True
        assert is_closed(link, 3) and time.monotonic() - began < 2


def test_a_client_that_reads_nothing_is_cut_off():
    with listening() as (address, server), socket.socket() as link:
        server.config.http_protocol_class.write_timeout = 0.3
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.settimeout(5)
        link.connect(address)
        link.sendall(b"GET /" + b"x" * 60_000 + b"/ HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.1)
        threading.Thread(target=flood, args=(link,), daemon=True).start()
        until = time.monotonic() + 10
        while not server.server_state.connections and time.monotonic() < until:
            time.sleep(0.01)
        while server.server_state.connections and time.monotonic() < until:
            time.sleep(0.05)
        assert not server.server_state.connections


def flood(link):
    with contextlib.suppress(OSError):
        while True:
            link.sendall(b"GET /" + b"x" * 60_000 + b"/ HTTP/1.1\r\nHost: x\r\n\r\n")


def test_a_taken_port_is_an_error():
    with bind("127.0.0.1", 0) as sock:
        sock.listen()
        with pytest.raises(OSError, match="in use"):
            bind(*sock.getsockname()).close()


def test_thousands_of_requests_at_once_are_answered_in_order_beside_others():
    count = 3_000
    with listening() as (address, server), socket.create_connection(address, timeout=20) as many:
        sent = b"".join(b"GET /%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(count))
        threading.Thread(target=many.sendall, args=(sent,), daemon=True).start()
        told, worst = b"", 0
        with many.makefile("rb") as lines:
            for number in range(count):
                while lines.readline().strip():
                    pass
                told = lines.read(len(f"/{number}/"))
                assert told == b"/%d/" % number
                worst = max([worst, *(len(getattr(one, "pipeline", ())) for one in server.server_state.connections)])
        assert worst < 500  # the others are not parsed yet


def test_a_wrong_request_after_others_ends_the_connection():
    with listening() as (address, _), socket.create_connection(address, timeout=5) as link:
        assert b" 200 " in ask(link)
        link.sendall(b"nonsense\r\n\r\n" + ASKED * 1_000)
        told = b""
        with contextlib.suppress(ConnectionError):
            while part := link.recv(65536):
                told += part
        assert told.count(b"HTTP/1.1") == 1 and b" 400 " in told


def test_clients_that_do_not_read_give_way():
    async def long(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/long":
            await send({"type": "http.response.body", "body": b"x" * 30_000_000, "more_body": True})
        await send({"type": "http.response.body", "body": b"/"})

    with listening(most=10, header_timeout=60) as (address, server):
        server.config.loaded_app = long
        held = [socket.create_connection(address) for _ in range(20)]
        for link in held:
            with contextlib.suppress(OSError):
                link.sendall(ASKED.replace(b"/", b"/long", 1))
        until, told = time.monotonic() + 10, b""  # clients are cut off after 30 s only
        while b" 200 " not in told:
            assert time.monotonic() < until
            with contextlib.suppress(OSError), socket.create_connection(address, timeout=5) as link:
                link.sendall(ASKED)
                told = link.recv(4096)
        for link in held:
            link.close()
