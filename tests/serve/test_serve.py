"""The service as its users meet it: answers, refusals, many at once, reloads, stops.

Most is asked in this process, without a socket; what a process or a socket is needed for is slow.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import ramen
from ramen.inference.labels import add_labels

TEXTS = ["lead acid battery\nwith a charger", "电池", "x " * 500]


@pytest.fixture
def run(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "run")


def labels_of(answer):
    return [[(label["uid"], round(label["score"], 4)) for label in result["labels"]] for result in answer["results"]]


def test_answers_are_those_of_the_tagger(server, finished_run):
    tagger = ramen.Tagger.load(finished_run)
    status, answer = server.ask("/tag", {"texts": TEXTS, "k": 3})
    assert status == 200
    assert labels_of(answer) == labels_of({"results": [{"labels": labels} for labels in tagger.tag(TEXTS, 3)]})
    threshold = answer["results"][0]["labels"][1]["probability"]
    _, fewer = server.ask("/tag", {"texts": TEXTS, "threshold": threshold})
    assert labels_of(fewer) == labels_of(
        {"results": [{"labels": labels} for labels in tagger.tag(TEXTS, 5, threshold)]}
    )
    assert server.ask("/tag", {"texts": TEXTS, "threshold": 1.0})[1] == {"results": [{"labels": []}] * 3}
    assert server.ask("/tag", {"texts": []}) == (200, {"results": []})


def test_reasons_sum_to_the_score(server):
    _, answer = server.ask("/tag", {"texts": TEXTS[:1], "k": 4, "why": True})
    for label in answer["results"][0]["labels"]:
        why = label["why"]
        assert sum(why["scorers"].values()) == pytest.approx(label["score"], abs=1e-4)
        assert all(set(one) == {"word", "weight"} for one in why["words"])
        assert all(one["text"] and 0 < one["share"] <= 1 for one in why["neighbours"])
    assert any(label["why"]["neighbours"] for label in answer["results"][0]["labels"])


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({}, 422, "texts: field required"),
        ({"texts": "x"}, 422, "texts: input should be a valid list"),
        ({"texts": [3]}, 422, "texts.0: input should be a valid string"),
        ({"texts": [None]}, 422, "texts.0: input should be a valid string"),
        ({"texts": [""]}, 422, "text 1: expected words, found an empty text"),
        ({"texts": ["good", " \n\t"]}, 422, "text 2: expected words, found an empty text"),
        ({"texts": ["x" * 1_000_000]}, 422, "text 1: expected at most 100,000 characters, found 1,000,000"),
        ({"texts": ["x"] * 10_000}, 422, "texts: expected at most 1,000, found 10,000"),
        ({"texts": ["x"], "k": 0}, 422, "k: input should be greater than or equal to 1"),
        ({"texts": ["x"], "k": 1000}, 422, "k: expected at most 100, found 1000"),
        ({"texts": ["x"], "k": "3"}, 422, "k: input should be a valid integer"),
        ({"texts": ["x"], "threshold": 2}, 422, "threshold 2.0: expected 0 to 1"),
        ({"texts": ["x"], "precision": 1}, 422, "precision 1.0: validation reached"),
        (
            {"texts": ["x"], "precision": 0.5, "threshold": 0.5},
            422,
            "threshold and precision: found both, expected one",
        ),
        ({"texts": ["x"], "treshold": 0.5}, 422, "treshold: extra inputs are not permitted"),
        ([1], 422, "body: input should be"),
    ],
    ids=str,
)
def test_wrong_requests_get_one_line(server, body, status, error):
    found, answer = server.ask("/tag", body)
    assert found == status and list(answer) == ["error"]
    assert answer["error"].startswith(error) and "\n" not in answer["error"]


@pytest.mark.parametrize(
    ("raw", "status", "error"),
    [
        (b"{", 400, "body: not JSON"),
        (b'{"texts": ["a\\ud800"]}', 422, "text 1: expected Unicode text"),
        (b'{"texts": ["\xff"]}', 400, "There was an error parsing the body"),
        (b'{"texts": [NaN]}', 422, "texts.0: "),
        (b"[" * 100_000, 400, ""),
        (b" " * 3_000_001, 413, "body: expected at most 3,000,000 bytes"),
    ],
    ids=["cut", "surrogate", "latin", "nan", "deep", "long"],
)
def test_broken_bodies_get_one_line(server, raw, status, error):
    found, answer = server.ask("/tag", raw=raw)
    assert found == status and answer["error"].startswith(error) and "\n" not in answer["error"]
    assert server.ask("/tag", {"texts": ["x"]})[0] == 200


def test_control_characters_are_text(server):
    assert server.ask("/tag", {"texts": ["\x00\x07 battery \x1b[31m"]})[0] == 200


def test_other_types_and_paths(server):
    assert server.ask("/tag", raw=b'{"texts": ["x"]}', Content_Type="text/plain")[0] == 415
    assert server.ask("/tag")[0] == 405
    assert server.ask("/none") == (404, {"error": "Not Found"})


def test_a_body_longer_than_it_says_is_cut_off(serve_here, finished_run):
    headers = {"Content-Type": "application/json"}
    with serve_here(finished_run, body=1000) as server:
        for parts in ([b"x" * 100] * 11, [b"x" * 1000] * 17):  # read to its end, and given up
            status, answer = server.send_parts("/tag", "POST", parts, headers, whole=len(parts) < 17)
            assert status == 413 and json.loads(answer) == {"error": "body: expected at most 1,000 bytes"}
        for told in (16_001, "x"):  # by what it says, before anything is read
            told = {**headers, "Content-Length": told}
            assert server.send_parts("/tag", "POST", [], told, whole=False)[0] == 413


@pytest.mark.slow
def test_a_body_of_a_socket_is_cut_off(live):
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as link:
        link.sendall(b"POST /tag HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(400):
                link.sendall(b"20000\r\n" + b"x" * 0x20000 + b"\r\n")
        except ConnectionError:
            pass
        assert b" 413 " in link.recv(4096).split(b"\r\n")[0]


def test_labels_health_metrics_and_the_description(server):
    _, answer = server.ask("/labels?offset=118&limit=5")
    assert answer["total"] == 120 and len(answer["labels"]) == 2 and answer["next"] is None
    assert server.ask("/labels?limit=7")[1]["next"] == 7
    assert server.ask("/labels?limit=0")[0] == 422 and server.ask("/labels?offset=-1")[0] == 422
    assert server.ask("/healthz")[1]["status"] == "ok"
    _, told = server.ask("/metrics")
    assert 'ramen_requests_total{path="/healthz",status="200"}' in told and "ramen_labels 120.0" in told
    paths = server.ask("/openapi.json")[1]["paths"]
    assert set(paths) == {"/tag", "/labels", "/healthz", "/metrics", "/reload"}


def many_at_once(server):
    texts = [f"{text} number {n}" for n in range(20) for text in TEXTS]
    alone = [server.ask("/tag", {"texts": [text]})[1] for text in texts]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda text: server.ask("/tag", {"texts": [text]})[1], texts))
    for one, other in zip(alone, together, strict=True):
        assert labels_of(one)[0][0][0] == labels_of(other)[0][0][0]
        assert one["results"][0]["labels"][0]["score"] == pytest.approx(
            other["results"][0]["labels"][0]["score"], abs=1e-4
        )


def test_many_at_once_get_their_own_answers(server):
    many_at_once(server)


@pytest.mark.slow
def test_many_connections_get_their_own_answers(live):
    many_at_once(live)


def test_a_key_is_asked_for(serve_here, finished_run):
    with serve_here(finished_run, key="secret") as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
            status, answer = server.ask("/tag", {"texts": ["x"]}, **headers)
            assert status == 401 and "Authorization: Bearer KEY" in answer["error"]
        assert server.ask("/tag", {"texts": ["x"]}, Authorization="Bearer secret")[0] == 200
        assert server.ask("/reload", {})[0] == 401 and server.ask("/labels")[0] == 401
        assert server.ask("/healthz")[0] == 200 and server.ask("/")[0] == 200


def test_added_labels_and_another_run_come_by_reload(serve_here, run, tmp_path):
    link = tmp_path / "current"
    link.symlink_to(run)
    with serve_here(link) as server:
        add_labels(run, [{"uid": "new", "text": TEXTS[0]}])
        assert server.ask("/healthz")[1]["labels"] == 120
        assert server.ask("/reload", {})[1]["labels"] == 121
        assert "new" in [uid for uid, _ in labels_of(server.ask("/tag", {"texts": TEXTS})[1])[0]]
        other = shutil.copytree(run, tmp_path / "other")
        shutil.rmtree(other / "labels")
        (tmp_path / "next").symlink_to(other)
        (tmp_path / "next").rename(link)
        assert server.ask("/tag", {"texts": TEXTS})[0] == 200 and server.ask("/healthz")[1]["labels"] == 121
        assert server.ask("/reload", {})[1]["labels"] == 120  # the link is followed anew
        assert server.ask("/reload", {"run": str(run)})[1]["labels"] == 121


def test_a_reload_is_taken_from_this_machine_only(serve_here, finished_run):
    with serve_here(finished_run, client="192.0.2.1") as server:
        assert server.ask("/reload", {}) == (403, {"error": "reload: accepted from localhost only"})
        assert server.ask("/tag", {"texts": ["x"]})[0] == 200


def test_a_broken_run_is_refused_and_the_old_one_stays(serve_here, run, tmp_path):
    with serve_here(run) as server:
        before = server.ask("/tag", {"texts": TEXTS})
        run.rename(tmp_path / "away")  # the folder is gone under the server
        assert server.ask("/tag", {"texts": TEXTS}) == before
        status, answer = server.ask("/reload", {})
        assert status == 409 and "reload failed, the current run stays active" in answer["error"]
        shutil.copytree(tmp_path / "away", run)
        (run / "ranking" / "ranking.json").write_text("{")
        assert server.ask("/reload", {})[0] == 409
        assert server.ask("/tag", {"texts": TEXTS}) == before
        assert server.ask("/reload", {"rum": "x"})[0] == 422


def test_requests_are_answered_while_a_run_is_loaded(serve_here, run):
    with serve_here(run) as server:
        stop, found = threading.Event(), []

        def ask():
            while not stop.is_set():
                found.append(server.ask("/tag", {"texts": TEXTS})[0])

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            assert server.ask("/reload", {})[0] == 200
        stop.set()
        for thread in threads:
            thread.join()
        assert set(found) == {200}


def test_too_many_texts_at_once_are_refused(serve_here, finished_run):
    with serve_here(finished_run, waiting=2) as server:
        assert server.ask("/tag", {"texts": ["x"] * 3}) == (503, {"error": "too many texts are waiting; try again"})
        assert server.ask("/tag", {"texts": ["x"] * 2})[0] == 200


def test_a_mistake_of_the_server_is_one_line_and_the_next_is_answered(serve_here, finished_run, monkeypatch):
    with serve_here(finished_run) as server:
        with monkeypatch.context() as patch:
            patch.setattr("ramen.inference.tagger.explain", lambda *arguments: 1 / 0)
            status, answer = server.ask("/tag", {"texts": ["x"], "why": True})
        assert status == 500 and answer == {"error": "internal error; see the server's log"}
        assert server.ask("/tag", {"texts": ["x"], "why": True})[0] == 200


def test_the_command_serves_with_its_options(until_asked, run, monkeypatch, caplog):
    monkeypatch.setenv("RAMEN_API_KEY", "secret")
    key = {"Authorization": "Bearer secret"}

    def ask(server):
        assert server.ask("/tag", {"texts": ["x"]})[0] == 401
        assert server.ask("/tag", {"texts": ["x"] * 3}, **key)[0] == 422
        assert server.ask("/tag", {"texts": ["x" * 51]}, **key)[0] == 422
        assert server.ask("/tag", raw=b" " * 1001, **key)[0] == 413
        assert len(server.ask("/tag", {"texts": ["x"]}, **key)[1]["results"]) == 1
        add_labels(run, [{"uid": "new", "text": TEXTS[0]}])
        assert signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL  # which would end the tests
        for change, labels, line in (
            (None, 121, "loaded "),
            ("away", 121, "reload failed, the current run stays"),
        ):
            if change:
                run.rename(run.with_name(change))
            os.kill(os.getpid(), signal.SIGHUP)
            until = time.monotonic() + 30
            while not any(record.getMessage().startswith(line) for record in caplog.records):
                assert time.monotonic() < until
                time.sleep(0.02)
            assert server.ask("/healthz")[1]["labels"] == labels

    limits = ["--max-texts", 2, "--max-characters", 50, "--max-body", 1000, "--timeout", 20, "--threads", 1]
    done = until_asked(ask, run, *limits)
    assert done.returncode == 0 and f"serving {run} on http://127.0.0.1:" in done.stderr


@pytest.mark.parametrize("option", [("--timeout", 0), ("--port", 65536), ("--max-body", 0), ("--threads", 0)], ids=str)
def test_options_out_of_bounds_are_one_line(ramen_here, finished_run, option):
    done = ramen_here("serve", finished_run, *option)
    assert done.returncode == 2 and option[0] in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_hang_up_follows_the_link_anew(serve, run, tmp_path):
    link = tmp_path / "current"
    link.symlink_to(run)
    with serve(link) as server:
        assert server.ask("/healthz")[1]["labels"] == 120
        other = shutil.copytree(run, tmp_path / "other")
        add_labels(other, [{"uid": "new", "text": TEXTS[0]}])
        (tmp_path / "next").symlink_to(other)
        (tmp_path / "next").rename(link)
        server.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 30
        while server.ask("/healthz")[1]["labels"] != 121:
            assert time.monotonic() < until, server.log
            time.sleep(0.1)


@pytest.mark.slow
def test_sigterm_answers_what_was_asked(serve, finished_run):
    with serve(finished_run) as server:
        server.ask("/tag", {"texts": ["x"]})
        body = {"texts": [text * 20 for text in TEXTS] * 100}
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(server.ask, "/tag", body) for _ in range(4)]
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            assert [one.result()[0] for one in asked] == [200] * 4
        assert server.process.wait(30) in (0, -signal.SIGTERM)
        assert not any("Traceback" in line for line in server.log)


@pytest.mark.slow
def test_kill_and_start_again(serve, run):
    with serve(run) as server:
        before = server.ask("/tag", {"texts": TEXTS})
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with serve(run) as server:
        assert server.ask("/tag", {"texts": TEXTS}) == before


def test_a_body_that_does_not_come_is_given_up(serve_here, finished_run):
    with serve_here(finished_run, timeout=0.2) as server:
        told = {"Content-Type": "application/json", "Content-Length": 100}
        status, answer = server.send_parts("/tag", "POST", [b"{"], told, whole=False)
        assert status == 408 and json.loads(answer) == {"error": "body: incomplete after 0.2 s"}


@pytest.mark.slow
def test_a_body_that_does_not_come_over_a_socket_is_given_up(serve, finished_run):
    with serve(finished_run, "--timeout", "0.5") as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as link:
            link.sendall(b"POST /tag HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            assert b" 408 " in link.recv(4096).split(b"\r\n")[0]


def test_a_request_that_takes_too_long_is_given_up(serve_here, finished_run):
    with serve_here(finished_run, timeout=0.001) as server:
        status, answer = server.ask("/tag", {"texts": TEXTS * 100})
        assert status == 503 and answer["error"] == "no answer within 0.001 s"
        assert server.ask("/healthz")[0] == 200


def test_no_run_and_a_taken_port_are_one_line(ramen_here, finished_run):
    done = ramen_here("serve", "nowhere")
    assert done.returncode == 2 and done.stderr == "ramen: nowhere: expected a run folder, found nothing\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = ramen_here("serve", finished_run, "--port", taken.getsockname()[1])
    assert done.returncode == 1 and "in use" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_no_run_and_a_taken_port_end_the_process(finished_run, live):
    command = [sys.executable, "-m", "ramen.cli.main", "serve"]
    done = subprocess.run([*command, "nowhere"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == "ramen: nowhere: expected a run folder, found nothing\n"
    port = live.url.rpartition(":")[2]
    done = subprocess.run([*command, str(finished_run), "--port", port], capture_output=True, text=True)
    assert done.returncode == 1 and "in use" in done.stderr and "Traceback" not in done.stderr


def test_answers_are_json_for_any_text(server):
    for text in ("\u2028 \u0000", '"}]', "\U0001f50b", "a" * 100_000):
        assert json.dumps(server.ask("/tag", {"texts": [text]})[1])
