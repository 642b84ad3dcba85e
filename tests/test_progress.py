"""Progress on a terminal, in a file, and not at all."""

import io
import sys

import pytest

from ramen import progress as module
from ramen.progress import Shown, progress, say, showing


class Terminal(io.StringIO):
    def isatty(self):
        return True


def work(monkeypatch, stream, shown, disable=None):
    """What is written while six things are done."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(module, "_SECONDS", 0.0)  # a line at every change
    with showing(shown):
        assert sum(progress([1, 2, 3, 4, 5, 6], desc="adding", unit="number", disable=disable)) == 21
    return stream.getvalue()


def test_where_there_is_no_terminal_lines_are_written_without_control_characters(monkeypatch):
    told = work(monkeypatch, io.StringIO(), Shown.LINES)
    assert "    adding: 3 of 6, 50 %, " in told and " left\n" in told
    assert all(character.isprintable() or character == "\n" for character in told)
    assert all(line.strip() for line in told.splitlines())


def test_a_terminal_has_a_bar(monkeypatch):
    assert "\radding" in work(monkeypatch, Terminal(), Shown.LINES)
    assert "\radding" in work(monkeypatch, Terminal(), Shown.BARS)


@pytest.mark.parametrize("shown, disable, stream", [
    (Shown.NOTHING, None, Terminal), (Shown.NOTHING, None, io.StringIO), (Shown.BARS, None, io.StringIO),
    (Shown.LINES, True, io.StringIO), (Shown.LINES, True, Terminal),
])  # fmt: skip
def test_nothing_is_shown(monkeypatch, shown, disable, stream):
    assert work(monkeypatch, stream(), shown, disable) == ""


def test_only_the_first_of_several_processes_shows_it(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert work(monkeypatch, io.StringIO(), Shown.LINES) == ""
    monkeypatch.setenv("RANK", "0")
    assert work(monkeypatch, io.StringIO(), Shown.LINES) != ""


def test_a_line_is_written_at_once(capsys):
    say("done")
    assert capsys.readouterr() == ("", "done\n")
