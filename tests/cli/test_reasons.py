"""``ramen tag --why`` on a terminal: lines for people; JSON in a pipe or where it is asked for."""

import json
import os
import pty
import subprocess
import sys

import pytest

from ramen.cli.entries import Entry
from ramen.cli.reasons import lines_of

WHY = {
    "scorers": {"sparse": 1.0, "encoder": -2.5, "mean": 0.0},
    "words": [{"word": "lead", "weight": 0.712}, {"word": "acid", "weight": -0.2}],
    "neighbours": [{"text": "a car\nbattery \x1b[31m", "share": 0.31}],
}


def test_a_label_with_all_its_reasons():
    label = {"uid": "B07", "text": "battery", "score": 1.0, "probability": 0.814, "why": WHY}
    assert list(lines_of(Entry("text 1", "lead\nacid", "", "t1"), {"labels": [label]})) == [
        "t1: lead acid",
        "  1. battery (B07), probability 81 %",
        "     because: lead +0.71, acid -0.20",
        '     like: "a car battery \ufffd[31m" 31%',
        "     scores: encoder -2.50, sparse +1.00, mean +0.00",
        "",
    ]


def test_what_is_not_there_has_no_line():
    bare = {"scorers": {"encoder": 1.0}, "words": [], "neighbours": []}
    label = {"uid": "plum", "text": "plum", "score": 1.234, "why": bare}
    entry = Entry("text 1", "x" * 300, "")
    lines = list(lines_of(entry, {"labels": [label]}))
    assert lines[1:3] == ["  1. plum, score 1.23", "     scores: encoder +1.00"] and len(lines[0]) == 100
    assert list(lines_of(entry, {"labels": []}))[1] == "  no label passes"
    assert list(lines_of(entry, {"error": "blank"})) == [lines[0], ""]


def test_in_a_pipe_it_is_json(ramen, finished_run):
    done = ramen("tag", finished_run, "--why", "--k", 1, "lead acid battery")
    assert json.loads(done.stdout)["labels"][0]["why"]["scorers"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_on_a_terminal_it_is_for_people_unless_told(finished_run, options):
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "ramen",
        "tag",
        str(finished_run),
        "--why",
        "--k",
        "1",
        *options,
        "lead acid battery",
    ]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert done.returncode == 0, done.stderr
    first = shown.splitlines()[0]
    assert json.loads(first)["text"] if options else shown.startswith("lead acid battery\r\n  1. ")
    assert options or "scores: " in shown
