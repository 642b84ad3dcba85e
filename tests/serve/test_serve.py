"""The service as its users meet it, asked in this process without a socket: answers, refusals, many at once."""

import asyncio
import json
import shutil
import socket
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
    _, fewer = server.ask("/tag", {"texts": TEXTS, "k": 5, "threshold": threshold})
    assert labels_of(fewer) == labels_of(
        {"results": [{"labels": labels} for labels in tagger.tag(TEXTS, 5, threshold)]}
    )
    lowest = answer["results"][0]["labels"][2]["probability"] / 2
    _, all_that_pass = server.ask("/tag", {"texts": TEXTS, "threshold": lowest})
    found, expected = labels_of(all_that_pass)[0], tagger.tag(TEXTS, None, lowest)[0]
    assert len(found) == min(100, len(expected)) > 5
    assert [uid for uid, _ in found[:20]] == [label["uid"] for label in expected[:20]]
    for kind in ("auto", "labels"):
        expected = {"results": [{"labels": labels} for labels in tagger.tag(TEXTS, 100, kind)]}
        assert labels_of(server.ask("/tag", {"texts": TEXTS, "threshold": kind})[1]) == labels_of(expected)
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
        ({"texts": [3]}, 422, "text 1: input should be a valid string"),
        ({"texts": [None]}, 422, "text 1: input should be a valid string"),
        ({"texts": [""]}, 422, "text 1: expected words, found an empty text"),
        ({"texts": ["good", " \n\t"]}, 422, "text 2: expected words, found an empty text"),
        ({"texts": ["x" * 1_000_000]}, 413, "text 1: expected at most 100,000 characters, found 1,000,000"),
        ({"texts": ["x"] * 1_001}, 413, "texts: expected at most 1,000, found 1,001"),
        ({"texts": ["x"] * 10_000}, 413, "texts: expected at most 1,000, found a body of more values"),
        ({"texts": ["x" * 90_000] * 30, "k": 100}, 413, "work: expected at most 1,000 short texts, found 1,830"),
        ({"texts": ["x"] * 999, "k": 100, "why": True}, 413, "work: expected at most 1,000 short texts, found 3,197"),
        ({"texts": ["x"], "k": 0}, 422, "k: input should be greater than or equal to 1"),
        ({"texts": ["x"], "k": 1000}, 422, "k: expected at most 100, found 1000"),
        ({"texts": ["x"], "k": "3"}, 422, "k: input should be a valid integer"),
        ({"texts": ["x"], "k": 2.5}, 422, "k: input should be a valid integer"),
        ({"texts": ["x"], "k": True}, 422, "k: input should be a valid integer"),
        ({"texts": ["x"], "threshold": 2}, 422, "threshold: input should be less than or equal to 1"),
        (
            {"texts": ["x"], "threshold": "best"},
            422,
            "threshold: input should be a valid number, or input should be 'auto' or",
        ),
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
        (b'{"texts": ["\xff"]}', 400, "body: not JSON"),
        (b'{"texts": [NaN]}', 422, "text 1: "),
        ('{"texts": ["∀"]}'.encode("utf-16"), 400, "body: expected JSON in UTF-8"),
        (b"[" * 100_000, 400, ""),
        (b'{"texts": [' + b"1" * 100_000 + b"]}", 400, ""),
        (b" " * 3_000_001, 413, "body: expected at most 3,000,000 bytes"),
    ],
    ids=["cut", "surrogate", "latin", "nan", "utf-16", "deep", "number", "long"],
)
def test_broken_bodies_get_one_line(server, raw, status, error):
    found, answer = server.ask("/tag", raw=raw)
    assert found == status and answer["error"].startswith(error) and "\n" not in answer["error"]
    assert server.ask("/tag", {"texts": ["x"]})[0] == 200


def test_a_whole_number_is_one_with_a_point_too(server):
    assert server.ask("/tag", raw=b'{"texts": ["x"], "k": 3.0}') == server.ask("/tag", {"texts": ["x"], "k": 3})


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


def test_labels_health_metrics_and_the_description(server):
    _, answer = server.ask("/labels?offset=118&limit=5")
    assert answer["total"] == 120 and len(answer["labels"]) == 2 and answer["next"] is None
    assert server.ask("/labels?limit=7")[1]["next"] == 7
    assert server.ask("/labels?limit=0")[0] == 422 and server.ask("/labels?offset=-1")[0] == 422
    assert server.ask("/v1/labels?limit=7") == server.ask("/labels?limit=7")
    health = server.ask("/healthz")[1]
    assert health["status"] == "ok" and health["labels"] == 120
    assert server.ask("/readyz") == (200, health | {"status": "ready"})
    assert server.ask("/metrics")[0] == server.ask("/reload", {})[0] == 404  # of the admin address


def test_the_description_says_what_is_answered(serve_here, finished_run):
    with serve_here(finished_run, key="secret", texts=7, characters=50, k=9) as server:
        told = server.ask("/openapi.json")[1]
    assert set(told["paths"]) == {"/v1/tag", "/v1/labels", "/healthz", "/readyz"}
    tag, schemas = told["paths"]["/v1/tag"]["post"], told["components"]["schemas"]
    assert set(tag["responses"]) == {"200", "400", "401", "403", "408", "413", "415", "422", "500", "503"}
    for status in ("401", "422", "503"):
        assert tag["responses"][status]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")
    assert set(schemas["Error"]["properties"]) == {"error"} and "HTTPValidationError" not in schemas
    assert tag["security"] == [{"HTTPBearer": []}]
    assert told["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    texts = schemas["TagRequest"]["properties"]["texts"]
    assert texts["maxItems"] == 7 and texts["items"]["maxLength"] == 50
    assert schemas["TagRequest"]["properties"]["k"]["anyOf"][0]["maximum"] == 9
    assert schemas["TagRequest"]["not"]["required"] == ["threshold", "precision"]
    assert schemas["TagRequest"]["additionalProperties"] is False


def test_the_description_of_the_admin_address_says_what_is_answered():
    from ramen.serve.access import Access
    from ramen.serve.admin import make_admin_app

    told = make_admin_app(None, Access("secret")).app.openapi()["paths"]["/metrics"]["get"]["responses"]
    assert list(told["200"]["content"]) == ["text/plain"] and list(told["401"]["content"]) == ["application/json"]


def test_answers_become_json_text_by_text():
    from ramen.serve.model_holder import _answer

    labels = [{"uid": "é\ud800", "score": 0.5, "probability": 0.25}, {"uid": "b", "score": 0.1, "probability": 0.0}]
    answer = _answer(labels)
    assert json.loads(answer.json) == {"labels": labels} and (answer.n_labels, answer.probability) == (2, 0.25)
    assert json.loads(_answer([]).json) == {"labels": []} and _answer([]).probability is None


def test_a_client_that_closes_during_the_answer_is_no_mistake_of_the_server(serve_here, finished_run):
    """uvloop raises this until it has told of the end; each would be logged with all its lines."""
    lines = []
    error = RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    async def send(message):
        raise error

    async def receive():
        return {"type": "http.request"}

    scope = {
        "type": "http", "method": "GET", "path": "/healthz", "query_string": b"", "headers": [], "scheme": "http",
        "server": ("here", 80), "client": ("127.0.0.1", 1), "http_version": "1.1", "asgi": {"version": "3.0"},
    }  # fmt: skip
    with serve_here(finished_run, log=lines.append) as server:
        asyncio.run_coroutine_threadsafe(server.app(scope, receive, send), server.loop).result(10)
        assert lines[-1]["status"] == 499
        error = RuntimeError("Unexpected ASGI message")
        with pytest.raises(RuntimeError):
            asyncio.run_coroutine_threadsafe(server.app(scope, receive, send), server.loop).result(10)


def test_lists_of_labels_let_others_through(server):
    """Each waits for its turn, a round of the loop at least; all are answered."""
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda offset: server.ask(f"/v1/labels?offset={offset}&limit=2"), range(16)))
    assert [status for status, _ in told] == [200] * 16


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/healthz?verbose=1", "query: found the parameter 'verbose', expected none"),
        ("/labels?ofset=3", "query: found the parameter 'ofset', expected offset or limit"),
        ("/?txt=x", "query: found the parameter 'txt', expected text"),
    ],
)
def test_unknown_parameters_are_told(server, path, error):
    assert server.ask(path) == (422, {"error": error})


def test_head_slashes_and_safe_headers(server):
    assert server.send_parts("/healthz", "HEAD", [], {})[0] == 200
    assert server.send_parts("/tag", "HEAD", [], {})[0] == 405
    assert server.ask("/tag/", {"texts": ["x"]})[0] == 404 and "location" not in server.headers
    server.ask("/tag", {"texts": ["x"]}, X_Request_Id="abc-1")
    assert server.headers["x-request-id"] == "abc-1" and server.headers["x-content-type-options"] == "nosniff"
    server.ask("/tag", {"texts": ["x"]}, X_Request_Id="a b")
    assert len(server.headers["x-request-id"]) == 32
    server.ask("/")
    policy = server.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy


def test_encoded_bodies_are_refused(server):
    status, answer = server.ask("/tag", {"texts": ["x"]}, Upgrade="h2c", Connection="Upgrade")
    assert status == 400 and answer["error"].startswith("Upgrade: expected none")
    status, answer = server.ask("/tag", raw=b"\x1f\x8b", Content_Encoding="gzip")
    assert status == 415 and answer["error"].startswith("Content-Encoding: expected none")


def test_pages_of_other_sites_are_refused(server, serve_here, finished_run):
    asked = {"texts": ["x"]}
    status, answer = server.ask("/tag", asked, Host="evil.example:8000")
    assert status == 403 and answer["error"].startswith("Host: found 'evil.example:8000', expected an address")
    for host in ("127.0.0.1:8000", "[::1]:8000", "localhost", "10.0.0.7", socket.gethostname()):
        assert server.ask("/tag", asked, Host=host)[0] == 200
        assert server.ask("/tag", asked, Host=host, Origin=f"http://{host}")[0] == 200
    for origin in ("http://evil.example", "null", "http://localhost:9", "http://[broken"):
        assert server.ask("/tag", asked, Host="localhost", Origin=origin)[0] == 403
    with serve_here(finished_run, hosts=["Tags.example.org"]) as named:
        assert named.ask("/tag", asked, Host="tags.example.org", Origin="https://tags.example.org")[0] == 200
        assert named.ask("/tag", asked, Host="tags.example.com")[0] == 403


def test_requests_are_logged_without_texts_and_keys(serve_here, finished_run):
    lines = []
    with serve_here(finished_run, key="secret", log=lines.append) as server:
        server.ask("/v1/tag", {"texts": ["lead acid battery"] * 2, "k": 3}, Authorization="Bearer secret")
        server.ask("/v1/tag", {"texts": ["lead"]})
        server.ask("/lead?acid=battery")
    tag, unknown, other = lines
    assert tag["path"] == "/v1/tag" and tag["status"] == 200 and tag["texts"] == 2 and tag["labels"] == 6
    assert {"time", "id", "ms", "queue_ms", "ranking_ms", "run_id", "client", "method"} <= set(tag)
    assert unknown["status"] == 401 and other["path"] == "other"
    assert not any(word in json.dumps(lines) for word in ("lead", "battery", "secret"))


def test_a_client_that_has_gone_ends_its_work(serve_here, finished_run):
    with serve_here(finished_run) as server:
        app = server.app

        async def leave():
            body = json.dumps({"texts": ["battery"] * 1000}).encode()
            messages = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]
            sent = []

            async def receive():
                return messages.pop(0)

            async def send(message):
                sent.append(message)

            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            scope = {"type": "http", "method": "POST", "path": "/tag", "headers": headers, "query_string": b""}
            await app(scope, receive, send)
            return sent

        began = time.monotonic()
        sent = asyncio.run_coroutine_threadsafe(leave(), server.loop).result(60)
        assert sent[0]["status"] == 499
        assert server.ask("/tag", {"texts": ["x"]})[0] == 200 and time.monotonic() - began < 5
        assert app.metrics.cancelled._value.get() == 1 and app.metrics.waiting._value.get() == pytest.approx(0)


def test_a_request_keeps_its_run_while_another_is_loaded(serve_here, run, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    add_labels(other, [{"uid": "new", "text": TEXTS[0]}])
    with serve_here(run) as server:
        before = server.ask("/tag", {"texts": [TEXTS[0]] * 300})
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(server.ask, "/tag", {"texts": [TEXTS[0]] * 300})
            server.holder.prepare(other)
            server.holder.switch()
            assert asked.result() == before
        assert server.ask("/healthz")[1]["labels"] == 121
        assert "new" in [uid for uid, _ in labels_of(server.ask("/tag", {"texts": TEXTS[:1]})[1])[0]]


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


def test_a_key_is_asked_for(serve_here, finished_run):
    with serve_here(finished_run, key="secret") as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
            status, answer = server.ask("/tag", {"texts": ["x"]}, **headers)
            assert status == 401 and "Authorization: Bearer KEY" in answer["error"]
            assert server.headers["www-authenticate"] == "Bearer"
        assert server.ask("/tag", {"texts": ["x"]}, Authorization="bearer secret")[0] == 200
        assert server.ask("/v1/tag", {"texts": ["x"]}, Authorization="Bearer secret")[0] == 200
        assert server.ask("/labels")[0] == server.ask("/v1/labels")[0] == 401
        assert server.ask("/healthz")[0] == 200 and server.ask("/")[0] == 200


def test_too_many_texts_at_once_are_refused(serve_here, finished_run):
    with serve_here(finished_run, waiting=2.01) as server:
        assert server.ask("/tag", {"texts": ["x"] * 3}) == (503, {"error": "too many texts are waiting; try again"})
        assert server.ask("/tag", {"texts": ["x"] * 2})[0] == 200


def test_a_mistake_of_the_server_is_one_line_and_the_next_is_answered(serve_here, finished_run, monkeypatch):
    with serve_here(finished_run) as server:
        with monkeypatch.context() as patch:
            patch.setattr("ramen.inference.tagger.explain", lambda *arguments: 1 / 0)
            status, answer = server.ask("/tag", {"texts": ["x"], "why": True})
        assert status == 500 and answer == {"error": "internal error; see the server's log"}
        assert server.ask("/tag", {"texts": ["x"], "why": True})[0] == 200


def test_a_body_that_does_not_come_is_given_up(serve_here, finished_run):
    with serve_here(finished_run, timeout=0.2) as server:
        told = {"Content-Type": "application/json", "Content-Length": 100}
        status, answer = server.send_parts("/tag", "POST", [b"{"], told, whole=False)
        assert status == 408 and json.loads(answer) == {"error": "body: incomplete after 0.2 s"}


def test_a_request_that_takes_too_long_is_given_up(serve_here, finished_run):
    with serve_here(finished_run, timeout=0.001) as server:
        status, answer = server.ask("/tag", {"texts": TEXTS * 100})
        assert status == 503 and answer["error"] == "no answer within 0.001 s"
        assert server.ask("/labels")[0] == 200


def test_a_server_whose_batch_never_ends_says_so(serve_here, finished_run, monkeypatch):
    with serve_here(finished_run, timeout=0.2) as server:
        release = threading.Event()
        monkeypatch.setattr("ramen.serve.app.rank_parts", lambda batch: release.wait(60) and [])
        assert server.ask("/tag", {"texts": ["x"]})[0] == 503
        time.sleep(0.1)
        status, answer = server.ask("/healthz")
        assert status == 503 and answer["status"] == "stuck" and server.ask("/readyz")[0] == 503
        release.set()


def test_answers_are_json_for_any_text(server):
    for text in ("\u2028 \u0000", '"}]', "\U0001f50b", "a" * 100_000):
        assert json.dumps(server.ask("/tag", {"texts": [text]})[1])
