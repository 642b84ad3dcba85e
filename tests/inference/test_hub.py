"""Runs that go to the hub and come back, against a stand-in; each call is a process, as HF_ENDPOINT is read once."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from hub_stand_in import TOKEN, hub, sha

import ramen
from ramen.inference.build_index import build_index
from ramen.inference.labels import add_labels

pytestmark = pytest.mark.slow
TEXT = "lead acid battery"
PUSH = "import sys, ramen; print(ramen.load(sys.argv[1]).push_to_hub(sys.argv[2], private=len(sys.argv) > 3))"


@pytest.fixture
def server():
    with hub() as server:
        yield server


@pytest.fixture
def call(server, tmp_path):
    """Runs Python code, or the command line, as a user of the hub; with another token, address or cache."""

    def run(*arguments, token=TOKEN, code="", **environment):
        command = ["-c", code] if code else ["-m", "ramen"]
        mine = {"HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
        variables = {**os.environ, **mine, **({"HF_TOKEN": token} if token else {}), **environment}
        return subprocess.run(
            [sys.executable, *command, *map(str, arguments)],
            capture_output=True, text=True, env=variables, cwd=tmp_path, timeout=120,
        )  # fmt: skip

    return run


@pytest.fixture
def run(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "run")


def tags(run):
    return ramen.load(run).tag([TEXT])


def test_a_run_comes_back_with_the_same_tags(server, call, run, tmp_path):
    (run / "README.md").write_text("# Mine\n")
    done = call("push", run, "me/first")
    assert done.returncode == 0 and f"{server.address}/me/first/commit/" in done.stdout, done.stderr
    sent = server.files("me/first")
    assert sent["README.md"] == b"# Mine\n" and "log.jsonl" not in sent and "manifest.json" in sent
    done = call("tag", "me/first", TEXT)
    assert json.loads(done.stdout)["labels"] == tags(run)[0], done.stderr
    done = call("pull", "me/first", "--out", "pulled")
    assert done.returncode == 0, done.stderr
    assert tags(tmp_path / "pulled") == tags(run)
    assert {path.suffix for path in (tmp_path / "pulled").rglob("*")} <= {
        "", ".json", ".safetensors", ".gz", ".md", ".yaml"
    }  # fmt: skip
    assert "expected a new or empty folder" in call("pull", "me/first", "--out", "pulled").stderr


def test_a_run_on_the_hub_is_evaluated_and_its_download_stays_as_it_was(server, call, run, planted, tmp_path):
    call("push", run, "me/first")
    done = call("eval", "me/first", "--data", planted, "--json", "figures.json", "--labels-csv", "labels.csv")
    assert done.returncode == 0 and done.stderr.endswith("next: ramen tag me/first TEXT\n"), done.stderr
    measured = json.loads((tmp_path / "figures.json").read_text())["test"]
    assert measured == ramen.evaluate(run, planted)["test"]
    (stored,) = (tmp_path / "hf").rglob("snapshots/*/metrics.json")
    assert stored.is_symlink() and stored.read_bytes() == server.files("me/first")["metrics.json"]


def test_index_and_added_labels_go_along(server, call, run, tmp_path):
    add_labels(run, [{"uid": "new", "text": TEXT}])
    build_index(run, always=True)
    done = call(run, "me/grown", code=PUSH)
    assert done.returncode == 0, done.stderr
    sent = server.files("me/grown")
    assert {"labels/journal.jsonl", "index/index.json"} < set(sent) and "labels/lock" not in sent
    code = f"import ramen; ramen.load('me/grown').save_pretrained('copy'); print(ramen.load('copy').tag([{TEXT!r}]))"
    done = call(code=code)
    assert done.stdout.strip() == str(tags(run)), done.stderr
    assert "new" in {label["uid"] for label in tags(tmp_path / "copy")[0]} and (tmp_path / "copy/README.md").exists()


def test_an_earlier_revision_and_the_cache_without_a_hub(server, call, run):
    call("push", run, "me/twice")
    first = sha("me/twice", len(server.commits["me/twice"]) - 1)
    add_labels(run, [{"uid": "new", "text": TEXT}])
    call("push", run, "me/twice")
    load = "import sys, ramen; tagger = ramen.Tagger.from_pretrained('me/twice', revision=sys.argv[1] or None); "
    show = "print('new' in tagger.run.uids)"
    assert call("", code=load + show).stdout == "True\n"
    assert call(first, code=load + show).stdout == "False\n"
    asked = len(server.asked)
    done = call("", code=load + show, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.stdout == "True\n" and len(server.asked) == asked, done.stderr


def test_a_private_run_is_for_those_with_a_token(server, call, run):
    assert call("push", run, "me/secret", "--private").returncode == 0
    done = call("tag", "me/secret", TEXT, token="")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "found no such model" in done.stderr and "HF_TOKEN" in done.stderr
    assert call("tag", "me/secret", TEXT).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("tag", "me/nobody", "x"), 2, "me/nobody: found no such model at"),
        (("serve", "me/nobody"), 2, "me/nobody: found no such model at"),
        (("eval", "me/nobody", "--data", "here"), 2, "me/nobody: found no such model at"),
        (("tag", "me/other", "x"), 2, "me/other: found no manifest.json in the repository, expected a run"),
        (("pull", "me/other", "--revision", "v9", "--out", "o"), 2, "me/other: has no revision 'v9'"),
        (("pull", "a/b/c", "--out", "o"), 2, "'a/b/c': expected the name of a repository, USER/NAME"),
        (("tag", "here/run", "x"), 2, "here/run: expected a run folder, found nothing"),
        (("push", "{run}", "other/run"), 2, "other/run: {hub} refuses it (403)"),
        (("push", "{run}", "a b/c"), 2, "'a b/c': expected the name of a repository"),
        (("push", "here", "me/run"), 2, "here: expected a finished run with manifest.json, found no run"),
    ],
)
def test_what_cannot_be_is_one_clear_error(server, call, run, tmp_path, arguments, code, message):
    server.commits["me/other"] = [{"config.json": b"{}", "model.bin": b"x"}]
    (tmp_path / "here").mkdir()
    words = [word.format(run=run) for word in arguments]
    done = call(*words)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (code, 1, ""), done.stderr
    assert message.format(hub=server.address) in done.stderr
    assert not (tmp_path / "o").exists()


def test_no_permission_to_write(server, call, run):
    done = call("push", run, "me/run", token="hf_wrong")
    assert done.returncode == 2 and "me/run: " in done.stderr and "401" in done.stderr and done.stderr.count("\n") == 1
    assert server.commits == {}


@pytest.mark.parametrize("arguments", [("tag", "me/run", "x"), ("push", "{run}", "me/run")])
def test_no_hub_or_a_broken_one_is_an_error_of_the_work(server, call, run, arguments):
    words = [word.format(run=run) for word in arguments]
    done = call(*words, HF_ENDPOINT="http://127.0.0.1:9")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "me/run: http://127.0.0.1:9 cannot be reached" in done.stderr
    server.failing = 501
    done = call(*words)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and "501" in done.stderr, done.stderr


def test_only_files_of_a_run_are_fetched_and_pickles_are_refused(server, call, run):
    call("push", run, "me/odd")
    server.files("me/odd")["extra.pkl"] = b"x"
    assert call("tag", "me/odd", TEXT).returncode == 0
    assert not any("extra.pkl" in line for line in server.asked)
    manifest = json.loads(server.files("me/odd")["manifest.json"])
    manifest["blake2b"]["encoder/pytorch_model.bin"] = "00"
    changed = {**server.files("me/odd"), "manifest.json": json.dumps(manifest).encode()}
    server.commits["me/odd"].append({**changed, "encoder/pytorch_model.bin": b"x"})
    done = call("tag", "me/odd", TEXT)
    assert done.returncode == 2 and "pytorch_model.bin: found a file of this kind" in done.stderr


def test_tagging_a_folder_does_not_load_the_library_of_the_hub(call, run):
    code = f"import sys, ramen; ramen.load(sys.argv[1]).tag([{TEXT!r}]); print('huggingface_hub' in sys.modules)"
    assert call(run, code=code).stdout == "False\n"
