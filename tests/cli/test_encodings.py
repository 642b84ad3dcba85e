"""Labels, texts and paths in any script, on terminals and in locales of any encoding: no traceback, nothing garbled."""

import io
import json
import os
import shutil
import subprocess
import sys

import pytest

import ramen as library  # the fixture ramen is the command line
from ramen.cli.console import as_typed, print_anything, say, show, write_json

LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
}
ODD = os.fsdecode(b"r\xe9-\xe7\x94\xb5")  # a path's bytes, not all of them UTF-8
LABEL = {"uid": "电-é", "text": "电池 😀"}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_the_encoding_lacks_is_escaped(monkeypatch, encoding):
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    print_anything()
    show("电 \udcff")
    say("电 \udcff")
    streams["stdout"].flush()
    expected = ("电" if encoding == "utf-8" else r"\u7535").encode() + b" \\udcff\n"
    assert [stream.buffer.getvalue() for stream in streams.values()] == [expected, expected]


def test_json_with_a_path_of_odd_bytes_can_be_read(tmp_path):
    write_json(tmp_path / "f.json", {"system": ODD, "text": "电"})
    assert json.loads((tmp_path / "f.json").read_text(encoding="utf-8")) == {"system": ODD, "text": "电"}


def test_an_argument_is_utf8_in_any_locale(monkeypatch):
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode("ascii", "surrogateescape"))  # as in the locale C
    assert as_typed("电".encode().decode("ascii", "surrogateescape")) == "电"


def test_a_text_that_cannot_be_written_is_one_line(ramen, monkeypatch):
    def load(run):
        "\udcff".encode()

    monkeypatch.setattr(library, "load", load)
    done = ramen("tag", "r", "text")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert r"ramen: '\udcff': bytes that are not UTF-8" in done.stderr


def test_training_into_a_path_of_odd_bytes_is_refused_before_the_work(ramen, planted, tmp_path):
    """It failed where the encoder was saved, when all was trained."""
    done = ramen("train", planted, "--out", ODD)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("ramen: r\\udce9-电: expected a path in UTF-8")
    assert not (tmp_path / ODD).exists()


def test_a_byte_order_mark_is_dropped(ramen, monkeypatch, tmp_path):
    class Tagger:
        load = classmethod(lambda cls, run: cls())
        threshold = staticmethod(lambda threshold, precision: 0.0)
        tag = staticmethod(lambda texts, k, lowest, precision, why: [[] for _ in texts])

    monkeypatch.setattr(library, "load", Tagger.load)
    done = ramen("tag", "r", stdin=b"\xef\xbb\xbfred apple\n\xef\xbb\xbfpear\n")
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["red apple", "\ufeffpear"]


@pytest.fixture
def odd_run(finished_run, tmp_path):
    """The finished run under a path of odd bytes, with a label in Chinese that a file with a byte order mark added."""
    try:
        (tmp_path / ODD).symlink_to(finished_run)
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    return ODD


def call(program, *arguments, cwd, stdin=b"", **environment):
    command = [sys.executable, "-c", f"from {program} import main; main()", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, env={**os.environ, **environment})
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    return done


@pytest.mark.slow
@pytest.mark.parametrize("locale", LOCALES)
def test_no_command_shows_a_traceback(odd_run, planted, tmp_path, locale):
    def ramen(*arguments, code=0, **keywords):
        done = call("ramen.cli.main", *arguments, cwd=tmp_path, **LOCALES[locale], **keywords)
        assert done.returncode == code, done.stderr
        return done

    lines = ramen("tag", odd_run, "电池", b"a\xff", code=2).stdout.decode().splitlines()
    assert json.loads(lines[0])["text"] == "电池" and "error" in json.loads(lines[1])
    (tmp_path / "d-电").symlink_to(planted)
    ramen("data", "check", "d-电")
    ramen("eval", odd_run, "--data", "d-电", "--against", odd_run, "--json", "f-é.json")
    assert json.loads((tmp_path / "f-é.json").read_text(encoding="utf-8"))["against"]["P@1"]["p"] == 1
    assert rb"\u7535" in ramen("labels", "remove", odd_run, "电", code=2).stderr
    assert ramen("labels", "list", odd_run).stdout.count(b"\n") == 120
    for wrong in (("电",), ("tag", "电", "x"), ("tag", odd_run, "--电"), ("train", "电", "--out", b"\xff")):
        assert ramen(*wrong, code=2).stderr.count(b"\n") == 1
    for program, verb in (("hlm_bridge.cli", "run"), ("attention_wnet.cli", "segment")):
        done = call(program, verb, "电", b"\xff", cwd=tmp_path, **LOCALES[locale])
        assert done.returncode == 2 and done.stderr.count(b"\n") == 1
        assert call(program, verb, "--help", cwd=tmp_path, **LOCALES[locale]).returncode == 0


@pytest.mark.slow
def test_labels_in_any_script_in_the_locale_c(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")
    there = {"cwd": tmp_path, **LOCALES["C"]}
    line = "\ufeff" + json.dumps(LABEL, ensure_ascii=False) + "\n"
    assert call("ramen.cli.main", "labels", "add", "run", "-", stdin=line.encode(), **there).returncode == 0
    assert json.loads(call("ramen.cli.main", "labels", "list", "run", "--added", **there).stdout) == LABEL
    assert call("ramen.cli.main", "labels", "rename", "run", LABEL["uid"], "渔", **there).returncode == 0
    assert json.loads(call("ramen.cli.main", "labels", "list", "run", "--added", **there).stdout)["text"] == "渔"
    assert call("ramen.cli.main", "labels", "remove", "run", LABEL["uid"], **there).returncode == 0
