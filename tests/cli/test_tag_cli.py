"""``ramen tag`` as a filter: what goes in, what comes out, what is refused. The tagger is a stand-in."""

import json
import subprocess
import sys

import pytest

import ramen as library  # the fixture ramen is the command line
from ramen.cli.tag import batches
from ramen.errors import InputError


class Tagger:
    """Gives every text turned round; refuses one."""

    @classmethod
    def load(cls, run):
        return cls()

    def threshold(self, threshold, precision):
        return threshold or precision or 0.0

    def tag(self, texts, k=None, threshold=None, precision=None, why=False):
        threshold = {"auto": 0.5, "labels": 0.3}.get(threshold, precision if threshold is None else threshold)
        if "refused" in texts:
            raise InputError(f"text {texts.index('refused') + 1}: refused")
        k = k or (5 if threshold is None else 8)
        tagged = [[{"uid": f"u{i}", "text": text[::-1], "score": 1.0 / (i + 1)} for i in range(k)] for text in texts]
        return [[label for label in labels if label["score"] >= (threshold or 0)] for labels in tagged]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(library, "load", Tagger.load)


def test_arguments_become_one_json_line_each(ramen):
    done = ramen("tag", "r", "--k", 2, "größe", "second text")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["text"] for line in lines] == ["größe", "second text"]
    assert lines[0]["labels"] == [
        {"uid": "u0", "text": "eßörg", "score": 1.0},
        {"uid": "u1", "text": "eßörg", "score": 0.5},
    ]
    assert "größe" in done.stdout  # not \\u escapes


def test_thresholds_that_the_run_has_chosen(ramen):
    for kind, n in (("auto", 2), ("labels", 3)):
        (line,) = ramen("tag", "r", "--threshold", kind, "abc").stdout.splitlines()
        assert len(json.loads(line)["labels"]) == n


@pytest.mark.parametrize("threshold", ["1.5", "-1", "nan", "best"])
def test_a_wrong_threshold_is_refused(ramen, threshold):
    done = ramen("tag", "r", "--threshold", threshold, "abc")
    assert done.returncode == 2 and done.stdout == ""
    assert f"--threshold {threshold}: expected a number from 0 to 1, auto or labels" in done.stderr


@pytest.mark.parametrize("option", ["--threshold", "--precision"])
def test_labels_below_the_threshold_are_left_out(ramen, option):
    done = ramen("tag", "r", "--k", 4, option, "0.5", "abc")
    assert [len(json.loads(line)["labels"]) for line in done.stdout.splitlines()] == [2]


def test_a_threshold_alone_does_not_cut_at_five_labels(ramen):
    counts = {}
    for options in ((), ("--threshold", "0.13"), ("--threshold", "0"), ("--threshold", "0.13", "--k", 5)):
        (line,) = ramen("tag", "r", *options, "abc").stdout.splitlines()
        counts[options] = len(json.loads(line)["labels"])
    assert list(counts.values()) == [5, 7, 8, 5]


def test_a_tab_ends_the_title_where_asked(ramen):
    plain = [json.loads(line)["text"] for line in ramen("tag", "r", stdin=b"a title\tone\ttwo\n").stdout.splitlines()]
    assert plain == ["a title\tone\ttwo"]
    done = ramen("tag", "r", "--tab", stdin=b"a title\tone\ttwo\nbare\n\tbody\n\t\n")
    assert done.stderr == "ramen: stdin, line 4: blank, expected a text\n"
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["a title\none\ttwo", "bare", "body", ""]
    assert json.loads(ramen("tag", "r", "--tab", "a title\tbody").stdout)["text"] == "a title\nbody"


def test_a_line_of_json_is_plain_text(ramen):
    line = '{"text": "red tea"}'
    assert json.loads(ramen("tag", "r", stdin=line.encode()).stdout)["text"] == line


def test_stdin_is_read_line_by_line(ramen):
    texts = [f"text {number}" for number in range(600)]
    done = ramen("tag", "r", stdin="\r\n".join(texts).encode())
    assert done.returncode == 0
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == texts


@pytest.mark.parametrize(
    ("stdin", "number", "text", "error"),
    [
        (b"one\ntwo\n \nfour\n", 3, " ", "blank, expected a text"),
        (b"one\n\ntwo", 2, "", "blank, expected a text"),
        (b"one\nb\xff\nthree\n", 2, "b\ufffd", "byte 2 is not UTF-8"),
        (b"one\nrefused\nthree\n", 2, "refused", "refused"),
        (b"a\n" * 256 + b"refused\nlast\n", 257, "refused", "refused"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_done(ramen, stdin, number, text, error):
    done = ramen("tag", "r", stdin=stdin)
    assert (done.returncode, done.stderr) == (2, f"ramen: stdin, line {number}: {error}\n")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines.pop(number - 1) == {"text": text, "error": error}
    others = stdin.splitlines()
    del others[number - 1]
    assert [line["text"].encode() for line in lines] == others
    assert all(line["labels"][0]["text"] == line["text"][::-1] for line in lines)


def test_many_bad_lines_are_counted(ramen):
    done = ramen("tag", "r", stdin=b"good\n\nrefused\n" * 300)
    assert done.returncode == 2
    said = done.stderr.splitlines()
    assert said[0] == "ramen: stdin, line 2: blank, expected a text" and len(said) == 11
    assert said[-1] == "ramen: 600 of 900 lines were not tagged"
    kinds = ["labels" in json.loads(line) for line in done.stdout.splitlines()]
    assert kinds == [True, False, False] * 300


@pytest.mark.parametrize(("text", "message"), [("  ", "text 2: blank"), ("a\udcff", "text 2: byte 2 is not UTF-8")])
def test_bad_arguments(ramen, text, message):
    done = ramen("tag", "r", "good", text, "more")  # Python decodes bytes of a call that are not UTF-8 as surrogates
    assert done.returncode == 2 and f"ramen: {message}" in done.stderr
    assert ["error" in json.loads(line) for line in done.stdout.splitlines()] == [False, True, False]


@pytest.mark.slow
def test_bytes_that_are_not_text_and_a_reader_that_leaves_early(finished_run):
    command = [sys.executable, "-m", "ramen.cli.main", "tag", finished_run]
    done = subprocess.run([*command, "good", b"a\xff", "more"], capture_output=True)
    assert (done.returncode, done.stderr) == (2, b"ramen: text 2: byte 2 is not UTF-8\n")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        process.stdin.write(b"text\n" * 1000)
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_batches():
    assert list(batches("abc", 2)) == [["a", "b"], ["c"]]
    assert list(batches("abcd", 2)) == [["a", "b"], ["c", "d"]]
    assert list(batches("", 2)) == []
