"""The log of a run: its file, and who listens to it."""

import json
import logging

import numpy as np
import pytest

from ramen.training.log import Log, every_figure, log_every_figure, log_warning


def test_small_figures_keep_their_digits(tmp_path):
    Log(tmp_path / "log.jsonl")(stage="encoder", lr=1.2345e-6, loss=2.345678, penalty=0.0, other=float("inf"))
    line = json.loads((tmp_path / "log.jsonl").read_text())
    assert (line["lr"], line["loss"], line["penalty"], line["other"]) == (1.23e-6, 2.3457, 0.0, None)


def test_figures_within_figures_are_rounded_too(tmp_path):
    Log(tmp_path / "log.jsonl")(stage="search", weights={"encoder": np.float64(1 / 3), "sparse": float("nan")})
    line = json.loads((tmp_path / "log.jsonl").read_text())
    assert line["weights"] == {"encoder": 0.3333, "sparse": None}


def test_listeners_get_what_the_file_gets_and_cannot_change_it(tmp_path):
    heard, closed = [], []

    class Closable:
        def __call__(self, figures):
            heard.append(dict(figures))
            figures.clear()

        def close(self):
            closed.append(True)

    log = Log(tmp_path / "log.jsonl", [Closable(), heard.append])
    log(stage="encoder", step=1, loss=0.25)
    log.times({"read": 1.234})
    log.close()
    written = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert heard == [written[0], written[0], written[1], written[1]] and closed == [True]
    assert written[1]["seconds"] == {"read": 1.23}


def test_nothing_is_printed_unless_a_listener_does(tmp_path, caplog, capsys):
    caplog.set_level(logging.INFO, "ramen")
    Log(tmp_path / "log.jsonl")(stage="encoder", loss=0.5)
    assert not caplog.messages and capsys.readouterr() == ("", "")
    Log(tmp_path / "log.jsonl", [log_every_figure])(stage="encoder", loss=0.5)
    assert caplog.messages[0].startswith("stage encoder  loss 0.5")
    caplog.clear()
    quiet = Log(tmp_path / "log.jsonl", [log_warning])
    quiet(stage="rank", chosen="weighted sum")
    quiet(stage="rank", warning="sparse alone has a higher P@1")
    assert caplog.messages == ["sparse alone has a higher P@1"]


def test_every_figure_shows_the_times_as_a_table_and_leaves_out_the_settings():
    assert "in all" in every_figure({"stage": "time", "seconds": {"read": 2.0, "other": 1.0}})
    assert every_figure({"stage": "plan", "points": 3, "settings": {"seed": 0}, "stages": []}) == "stage plan  points 3"


def test_a_listener_that_fails_to_close_leaves_the_others_closed(tmp_path):
    class Listener:
        def __init__(self, fails):
            self.fails, self.is_closed = fails, False

        def __call__(self, figures):
            pass

        def close(self):
            self.is_closed = True
            if self.fails:
                raise OSError("no connection")

    listeners = [Listener(True), Listener(False)]
    with pytest.raises(OSError, match="no connection"):
        Log(tmp_path / "log.jsonl", [print, *listeners]).close()
    assert all(one.is_closed for one in listeners)
