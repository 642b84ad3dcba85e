"""Seconds of stages: they add up to the whole, whatever is nested or fails."""

import time

import pytest

from ramen.timing import OTHER, Clock, time_table, timed


def test_a_stage_within_another_counts_for_itself_alone():
    start = time.perf_counter()
    with Clock().running() as clock:
        time.sleep(0.02)
        with timed("outer"):
            time.sleep(0.03)
            with timed("inner"):
                time.sleep(0.05)
            with timed("inner"):
                time.sleep(0.02)
        seconds = clock.so_far()
    assert list(seconds) == [OTHER, "outer", "inner"]
    assert seconds["inner"] >= 0.07 and seconds["outer"] >= 0.03 and seconds[OTHER] >= 0.02
    assert sum(seconds.values()) == pytest.approx(time.perf_counter() - start, abs=0.02)


def test_a_stage_that_fails_is_counted_and_left():
    with Clock().running() as clock:
        with pytest.raises(ValueError, match="no"), timed("fails"):
            time.sleep(0.01)
            raise ValueError("no")
        time.sleep(0.01)
    assert clock.seconds["fails"] >= 0.01 and clock.seconds[OTHER] >= 0.01


def test_without_a_clock_nothing_is_counted():
    with timed("alone"):
        pass
    with Clock().running() as clock:
        pass
    assert list(clock.seconds) == [OTHER]


def test_the_table_adds_up_and_lumps_what_is_small():
    table = time_table({OTHER: 1.0, "encoder": 60.0, "read": 0.5, "save": 38.5}).splitlines()
    assert [line.split()[0] for line in table] == ["encoder", "save", "other", "in"]
    assert table[-1].split()[2] == "100.0" and sum(float(line.split()[1]) for line in table[:-1]) == 100.0
    assert time_table({OTHER: 0.0}).splitlines()[-1].split()[2] == "0.0"
