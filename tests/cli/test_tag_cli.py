"""``ramen tag`` as a filter: what goes in, what comes out, what is refused. The tagger is a stand-in."""

import json
import subprocess
import sys

import pytest

from ramen.cli.tag import batches
from ramen.errors import InputError

TAGGER = """
import ramen
from ramen.errors import InputError
class Tagger:
    @classmethod
    def load(cls, run):
        return cls()
    def tag(self, texts, k=5):
        if "refused" in texts:
            raise InputError(f"text {texts.index('refused') + 1}: refused")
        return [[{"uid": f"u{i}", "text": text[::-1], "score": 1.0 / (i + 1)} for i in range(k)] for text in texts]
ramen.Tagger = Tagger
"""


def test_arguments_become_one_json_line_each(ramen):
    done = ramen("tag", "r", "--k", 2, "größe", "second text", code=TAGGER)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["text"] for line in lines] == ["größe", "second text"]
    assert lines[0]["labels"] == [
        {"uid": "u0", "text": "eßörg", "score": 1.0},
        {"uid": "u1", "text": "eßörg", "score": 0.5},
    ]
    assert "größe" in done.stdout  # not \\u escapes


def test_stdin_is_read_line_by_line(ramen):
    texts = [f"text {number}" for number in range(600)]
    done = ramen("tag", "r", stdin="\r\n".join(texts).encode(), code=TAGGER)
    assert done.returncode == 0
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == texts


@pytest.mark.parametrize(
    ("stdin", "message", "n_done"),
    [
        (b"one\ntwo\n \nfour\n", "stdin, line 3: blank, expected a text", 2),
        (b"one\nb\xff\n", "stdin, line 2: byte 2 is not UTF-8", 1),
        (b"one\nrefused\n", "texts 1 to 2: text 2: refused", 0),
        (b"a\n" * 256 + b"refused\n", "texts 257 to 257: text 1: refused", 256),
    ],
)
def test_bad_lines_are_named_and_good_ones_before_are_done(ramen, stdin, message, n_done):
    done = ramen("tag", "r", stdin=stdin, code=TAGGER)
    assert (done.returncode, done.stderr) == (2, f"ramen: {message}\n")
    assert len(done.stdout.splitlines()) == n_done


@pytest.mark.parametrize(("text", "message"), [("  ", "text 2: blank"), (b"a\xff", "text 2: byte 2 is not UTF-8")])
def test_bad_arguments(text, message):
    command = [sys.executable, "-c", TAGGER + "from ramen.cli.main import main\nmain()", "tag", "r", "good", text]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 2
    assert f"ramen: {message}" in done.stderr.decode()


def test_a_reader_that_leaves_early_gets_no_traceback():
    script = TAGGER + "from ramen.cli.main import main\nmain()"
    command = [sys.executable, "-c", script, "tag", "r"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        process.stdin.write(b"text\n" * 1000)
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_batches_gives_out_what_came_before_an_error():
    def source():
        yield from "abc"
        raise InputError("d")

    got = []
    with pytest.raises(InputError, match="d"):
        got.extend(batches(source(), 2))
    assert got == [["a", "b"], ["c"]]
    assert list(batches("abcd", 2)) == [["a", "b"], ["c", "d"]]
