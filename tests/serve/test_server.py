"""A server of processes: workers, reloads, ends, its log and its metrics, on real sockets."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hub_stand_in import TOKEN, hub

from ramen.inference.labels import add_labels

TEXTS = ["lead acid battery\nwith a charger", "电池", "x " * 500]


@pytest.fixture
def run(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "run")


def is_same(answer, expected):
    """Whether the labels are the same, with scores but for the last digits, which depend on the batch."""
    labels, others = ([one for result in each["results"] for one in result["labels"]] for each in (answer, expected))
    uids = [label["uid"] for label in labels] == [label["uid"] for label in others]
    return uids and [one["score"] for one in labels] == pytest.approx([one["score"] for one in others], abs=1e-4)


def ended(run, *options):
    """The outcome of ``ramen serve`` in a process that ends by itself."""
    command = [sys.executable, "-m", "ramen.cli.main", "serve", str(run), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def wait_for(is_true, seconds=30):
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_command_serves_with_its_options(serve, run):
    key = {"Authorization": "Bearer secret"}
    options = {"RAMEN_SERVE_MAX_TEXTS": "2", "RAMEN_SERVE_WORKERS": "2", "RAMEN_API_KEY": "secret"}
    with serve(run, "--max-characters", 50, "--max-body", 1000, "--max-work", 6, **options) as server:
        assert server.ask("/v1/tag", {"texts": ["x"]})[0] == 401
        for body in ({"texts": ["x"] * 3}, {"texts": ["x" * 51]}, {"texts": ["x"] * 2, "k": 100, "why": True}):
            assert server.ask("/v1/tag", body, **key)[0] == 413
        assert server.ask("/v1/tag", raw=b" " * 1001, **key)[0] == 413
        assert len(server.ask("/v1/tag", {"texts": ["x"]}, **key)[1]["results"]) == 1
        assert len(set(server.workers())) == 2 and server.admin.ask("/readyz")[0] == 200
        assert server.ask("/metrics", **key)[0] == 404  # on the admin address only

        add_labels(run, [{"uid": "new", "text": TEXTS[0]}])
        assert server.ask("/healthz")[1]["labels"] == 120
        status, told = server.admin.ask("/reload", {})
        assert status == 200 and told["labels"] == 121
        for _ in range(10):  # of both workers
            assert server.ask("/healthz")[1]["labels"] == 121
        metrics = server.admin.ask("/metrics")[1]
        assert 'ramen_requests_total{path="/v1/tag",status="413"} 4.0' in metrics
        assert f'run_id="{told["run_id"]}"}} 2.0' in metrics and 'ramen_loads_total{result="done"} 1.0' in metrics
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        wait_for(lambda: len(server.requests) >= 16)
        assert all(json.loads(line)["id"] for line in server.requests) and "secret" not in "".join(server.requests)
    assert not any("Traceback" in line for line in server.log)


@pytest.mark.slow
def test_a_run_on_the_hub_is_served(serve, run, tmp_path):
    with hub() as stand_in:
        mine = {"HF_ENDPOINT": stand_in.address, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": TOKEN}
        push = [sys.executable, "-m", "ramen", "push", str(run), "me/first"]
        subprocess.run(push, check=True, capture_output=True, env={**os.environ, **mine}, timeout=120)
        with serve("me/first", **mine) as server, serve(run) as local:
            assert is_same(server.ask("/v1/tag", {"texts": TEXTS})[1], local.ask("/v1/tag", {"texts": TEXTS})[1])
            assert server.admin.ask("/reload", {})[0] == 200


@pytest.mark.parametrize(
    ("options", "environment", "error"),
    [
        (("--timeout", 0), {}, "--timeout"),
        (("--port", 65536), {}, "--port"),
        (("--max-body", 0), {}, "--max-body"),
        (("--workers", 0), {}, "--workers"),
        (("--admin", "nowhere"), {}, "--admin nowhere: expected HOST:PORT, unix:PATH or none"),
        (("--admin", "0.0.0.0:0"), {}, "--admin 0.0.0.0:0: other machines reach it: set RAMEN_ADMIN_KEY"),
        ((), {"RAMEN_SERVE_WORKER": "2"}, "RAMEN_SERVE_WORKER: unknown setting: did you mean"),
        ((), {"RAMEN_SERVE_THREADS": "two"}, "threads"),
        ((), {"RAMEN_API_KEY": ""}, "RAMEN_API_KEY: found an empty key"),
        ((), {"RAMEN_ADMIN_KEY_FILE": "/none"}, "RAMEN_ADMIN_KEY_FILE /none: expected a file with the key"),
    ],
    ids=str,
)
def test_wrong_options_are_one_line(ramen_here, finished_run, monkeypatch, options, environment, error):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = ramen_here("serve", finished_run, "--port", 0, *options)
    assert done.returncode == 2 and error in done.stderr and done.stderr.count("\n") == 1


def test_no_run_and_a_taken_port_are_one_line(ramen_here, finished_run):
    done = ramen_here("serve", "nowhere", "--port", 0)
    assert done.returncode == 2 and done.stderr == "ramen: nowhere: expected a run folder, found nothing\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for options in (("--port", port), ("--port", 0, "--admin", f"127.0.0.1:{port}")):
            done = ramen_here("serve", finished_run, *options)
            assert done.returncode == 1 and "in use" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_taken_port_ends_the_process(finished_run, live):
    done = ended(finished_run, "--port", live.url.rpartition(":")[2])
    assert done.returncode == 1 and "in use" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_another_run_comes_by_reload_and_a_broken_one_does_not(serve, run, tmp_path):
    link = tmp_path / "current"
    link.symlink_to(run)
    other = shutil.copytree(run, tmp_path / "other")
    add_labels(other, [{"uid": "new", "text": TEXTS[0]}])
    with serve(link, "--workers", 2) as server:
        before = server.ask("/tag", {"texts": TEXTS})
        (tmp_path / "next").symlink_to(other)
        (tmp_path / "next").rename(link)
        assert server.ask("/tag", {"texts": TEXTS}) == before and server.ask("/healthz")[1]["labels"] == 120
        server.process.send_signal(signal.SIGHUP)  # the link is followed anew
        wait_for(lambda: server.ask("/healthz")[1]["labels"] == 121)
        assert server.ask("/healthz")[1]["run"] == "other"  # not the link's name
        assert server.admin.ask("/reload", {"run": str(run)})[1]["labels"] == 120
        run.rename(tmp_path / "away")  # the folder is gone under the server
        for asked, status in (({}, 409), ({"run": "nowhere"}, 409), ({"rum": "x"}, 422), ({"run": ""}, 422)):
            assert server.admin.ask("/reload", asked)[0] == status
        assert server.admin.ask("/reload", raw=b'{"run": "\\ud800"}')[0] in (409, 422)
        assert server.admin.ask("/reload", {}, Origin="http://evil.example")[0] == 403
        shutil.copytree(tmp_path / "away", run)
        (run / "ranking" / "ranking.json").write_text("{")
        status, answer = server.admin.ask("/reload", {})
        assert status == 409 and answer["error"].startswith("reload failed, the current run stays active: ")
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: any("reload failed, the current run stays" in line for line in server.log))
        assert server.ask("/tag", {"texts": TEXTS}) == before


@pytest.mark.slow
def test_requests_are_answered_while_runs_are_loaded_and_workers_killed(serve, run):
    with serve(run, "--workers", 2) as server:
        expected = server.ask("/tag", {"texts": TEXTS})[1]
        stop, found = threading.Event(), []

        def ask():
            while not stop.is_set():
                try:
                    found.append(server.ask("/tag", {"texts": TEXTS})[1])
                except OSError:
                    found.append(None)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            assert server.admin.ask("/reload", {})[0] == 200
        killed = server.workers()[0]
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: len(server.workers()) == 2 and killed not in server.workers())
        stop.set()
        for thread in threads:
            thread.join()
        assert found.count(None) <= 4
        wrong = [answer for answer in found if answer is not None and not is_same(answer, expected)]
        assert not wrong
        metrics = server.admin.ask("/metrics")[1]
        answered = int(float(re.search(r'path="/tag",status="200"} ([\d.]+)', metrics)[1]))
        assert "ramen_worker_restarts_total 1.0" in metrics and answered >= len(found) - 4  # counted on


@pytest.mark.slow
def test_a_server_without_workers_starts_again_from_a_reload(serve, run, tmp_path):
    folder = tmp_path / "snapshots"
    folder.mkdir()
    with serve(run, "--snapshot", folder) as server:
        shutil.rmtree(folder / os.listdir(folder)[0])  # so that no worker can be started
        os.kill(server.workers()[0], signal.SIGKILL)
        wait_for(lambda: any("a worker did not start" in line for line in server.log))
        assert server.admin.ask("/readyz")[0] == 503
        assert server.admin.ask("/reload", {"run": str(run)})[0] == 200 and server.admin.ask("/readyz")[0] == 200
        assert server.ask("/tag", {"texts": ["x"]})[0] == 200
        metrics = server.admin.ask("/metrics")[1]
        assert 'ramen_loads_total{result="done"} 1.0' in metrics and "ramen_workers 1.0" in metrics


@pytest.mark.slow
def test_workers_end_with_a_killed_supervisor_and_the_server_starts_again(serve, run):
    with serve(run, "--workers", 2) as server:
        before, workers = server.ask("/tag", {"texts": TEXTS}), server.workers()
        server.process.kill()
        server.process.wait()
        wait_for(lambda: not any(os.path.exists(f"/proc/{worker}") for worker in workers))
    with serve(run) as server:
        assert server.ask("/tag", {"texts": TEXTS}) == before


@pytest.mark.slow
def test_sigterm_answers_what_was_asked(serve, finished_run):
    with serve(finished_run) as server:
        server.ask("/tag", {"texts": ["x"]})
        body = {"texts": [text * 20 for text in TEXTS] * 100}
        with server.connect() as stuck, ThreadPoolExecutor(4) as pool:
            stuck.sendall(b"POST /tag HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            asked = [pool.submit(server.ask, "/tag", body) for _ in range(4)]
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            assert [one.result()[0] for one in asked] == [200] * 4
        assert server.process.wait(10) == 0
        assert not any("Traceback" in line for line in server.log)


@pytest.mark.slow
def test_bodies_of_sockets_are_cut_off(serve, finished_run):
    with serve(finished_run, "--timeout", "0.5", "--max-body", 1_000_000) as server:
        with server.connect() as link:
            link.sendall(b"POST /tag HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            assert b" 408 " in link.recv(4096).split(b"\r\n")[0]
        with server.connect() as link:
            link.sendall(b"POST /tag HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                for _ in range(400):
                    link.sendall(b"20000\r\n" + b"x" * 0x20000 + b"\r\n")
            except ConnectionError:
                pass
            assert b" 413 " in link.recv(4096).split(b"\r\n")[0]


@pytest.mark.slow
def test_light_requests_are_answered_beside_attacks(live):
    """Each attack of one client beside a light request of another: see benchmarks/serve_attacks.py for the figures."""
    heavy = [
        json.dumps({"texts": ["battery charger " * 6_000], "k": 100, "why": True}).encode(),
        json.dumps({"texts": ["battery"] * 1000, "k": 100, "why": True}).encode(),
        b'{"texts":[' + b"1," * 1_400_000 + b"1]}",
        b'{"texts":[' + b"[]," * 990_000 + b"[]]}",
    ]
    for body in heavy:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(live.ask, "/tag", None, body)
            for _ in range(5):
                began = time.monotonic()
                assert live.ask("/healthz")[0] == 200 and live.ask("/tag", {"texts": ["x"]})[0] == 200
                assert time.monotonic() - began < 5  # a minute before
            assert asked.result()[0] in (200, 413)


@pytest.mark.slow
def test_a_unix_socket_for_the_admin_is_of_its_user_only(serve, finished_run, tmp_path):
    path = tmp_path / "admin"
    with serve(finished_run, "--admin", f"unix:{path}") as server:
        assert path.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            link.sendall(b"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in link.recv(4096).split(b"\r\n")[0]
        assert server.admin.url == f"unix:{path}"
        done = ended(finished_run, "--port", 0, "--admin", f"unix:{path}")
        assert done.returncode == 1 and "in use" in done.stderr and path.exists()
    assert not path.exists()


@pytest.mark.slow
def test_the_admin_address_has_a_key(serve, finished_run):
    with serve(finished_run, "--admin", "0.0.0.0:0", RAMEN_ADMIN_KEY="other", RAMEN_API_KEY="secret") as server:
        assert server.admin.ask("/reload", {}, Authorization="Bearer secret")[0] == 401
        assert server.admin.ask("/metrics")[0] == 401 and server.admin.ask("/healthz")[0] == 200
        assert server.admin.ask("/reload", {}, Authorization="Bearer other")[0] == 200


@pytest.mark.slow
def test_forwarded_addresses_are_believed_of_named_proxies_only(serve, finished_run):
    for options, client in (((), "127.0.0.1"), (("--forwarded-allow-ips", "127.0.0.1"), "192.0.2.7")):
        with serve(finished_run, *options) as server:
            server.ask("/tag", {"texts": ["x"]}, X_Forwarded_For="192.0.2.7")
            wait_for(lambda: server.requests)
            assert json.loads(server.requests[0])["client"] == client


FORKED = """
import asyncio, json, os, sys
from pathlib import Path
from ramen.serve.app import make_app
from ramen.serve.model_holder import ModelHolder
sys.path.insert(0, sys.argv[2])
from conftest import started

app = make_app(ModelHolder(Path(sys.argv[1])))  # in the parent, as gunicorn --preload does

async def ask():
    body = json.dumps({"texts": ["lead acid battery"]}).encode()
    messages, told = [{"type": "http.request", "body": body}], []
    async def receive():
        return messages.pop() if messages else await asyncio.Event().wait()
    async def send(message):
        told.append(message)
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/tag", "headers": headers, "query_string": b""}
    async with asyncio.timeout(20):
        try:
            await app(scope, receive, send)
        except RuntimeError as error:
            print(error)
    return told[0]["status"], told[1]["body"]

async def serve():
    async with started(app):
        print(await ask(), flush=True)

if sys.argv[3] == "before":
    if os.fork() == 0:
        asyncio.run(serve())
        os._exit(0)
    os.wait()
    asyncio.run(serve())
else:
    async def main():
        async with started(app):
            if os.fork() == 0:
                print(asyncio.run(ask()), flush=True)
                os._exit(0)
            os.wait()
    asyncio.run(main())
"""


@pytest.mark.slow
def test_a_fork_answers_the_same_or_with_an_error(finished_run):
    here = os.path.dirname(__file__)
    command = [sys.executable, "-c", FORKED, str(finished_run), here]
    done = subprocess.run([*command, "before"], capture_output=True, text=True, timeout=60)
    child, parent = done.stdout.splitlines()
    assert child == parent and child.startswith("(200") and "uid" in child, done.stderr
    done = subprocess.run([*command, "after"], capture_output=True, text=True, timeout=60)
    error, answer = done.stdout.splitlines()
    assert error.startswith("this process was forked from a started server") and answer.startswith("(500"), done.stderr
