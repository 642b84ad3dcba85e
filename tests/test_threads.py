"""Blocks cover every item once, on any number of threads, from any number of callers; what fails is raised."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from ramen import threads as module
from ramen.errors import InputError
from ramen.threads import available_cores, limited, one_blas_thread, parallel_for, thread_count


def count_up(first, last, out):
    out[first:last] += 1


@given(n=st.integers(0, 300), count=st.integers(1, 9), work=st.sampled_from([1.0, 1e3, 2e4, 1e9]))
def test_every_item_is_met_once(n, count, work):
    out = np.zeros(n, dtype=int)
    with limited(count):
        parallel_for(n, count_up, out, work=work)
    assert (out == 1).all()


def test_little_work_stays_with_the_caller():
    seen = []
    with limited(4):
        parallel_for(50, lambda first, last: seen.append((first, last, threading.current_thread())), work=10)
    assert seen == [(0, 50, threading.current_thread())]


def test_threads_share_the_work(threads):
    seen = set()

    def slow(first, last):
        seen.add(threading.current_thread())
        time.sleep(0.01)

    with threads(4):
        parallel_for(16, slow)
    assert len(seen) > 1


def test_each_thread_has_its_own_scratch_and_ascending_blocks(threads):
    rooms = []

    def scratch():
        rooms.append([])
        return (rooms[-1],)

    with threads(3):
        parallel_for(100, lambda first, last, room: room.append(first), scratch=scratch)
    assert 1 <= len(rooms) <= 3 and all(room == sorted(room) for room in rooms)


def test_a_nested_call_does_not_wait_for_itself(threads):
    out = np.zeros((20, 30), dtype=int)

    def outer(first, last):
        for row in range(first, last):
            parallel_for(30, count_up, out[row])

    with threads(2):
        parallel_for(20, outer)
    assert (out == 1).all()


def test_many_callers_at_once(threads):
    outs = [np.zeros(500, dtype=int) for _ in range(8)]

    def caller(out):
        for _ in range(20):
            parallel_for(len(out), count_up, out)

    with threads(3):
        callers = [threading.Thread(target=caller, args=(out,)) for out in outs]
        for thread in callers:
            thread.start()
        for thread in callers:
            thread.join()
    assert all((out == 20).all() for out in outs)


def test_where_no_thread_can_be_had_those_who_came_are_waited_for(threads, monkeypatch):
    started, start = [], threading.Thread.start

    def refuse(thread):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    def slow(first, last, out):
        time.sleep(0.02)
        out[first:last] += 1

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(module, "_pool", module._Pool())
    for _ in range(3):
        out = np.zeros(64, dtype=int)
        with limited(4):
            parallel_for(64, slow, out)
        assert (out == 1).all()
    assert module._pool._executor is None  # nothing waits in a queue


@pytest.mark.parametrize("count", [1, 4])
def test_an_error_is_raised_and_nothing_more_is_begun(threads, count):
    begun = []

    def fail(first, last):
        begun.append(first)
        raise ValueError(f"rows from {first}")

    with threads(count), pytest.raises(ValueError, match="rows from"):
        parallel_for(1000, fail)
    assert len(begun) <= count


def test_threads_by_environment(monkeypatch):
    for name in ("RAMEN_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert thread_count() == available_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert thread_count() == 3
    monkeypatch.setenv("RAMEN_THREADS", "5")
    assert thread_count() == 5
    with limited(2):
        assert thread_count() == 2
    assert thread_count() == 5


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_threads_is_named(monkeypatch, wrong):
    monkeypatch.setenv("RAMEN_THREADS", wrong)
    with pytest.raises(InputError, match=f"^RAMEN_THREADS='{wrong}': expected a whole number of at least 1$"):
        thread_count()


def test_cores_follow_the_affinity_mask():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("line", "files", "cores"),
    [
        ("0::/a/b", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, [1.5]),
        ("0::/a/b", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "50000 100000"}, [0.5, 4.0]),
        ("0::/", {"cpu.max": "200000 100000"}, [2.0]),  # in a container, which sees its own group as the root
        ("0::/not/ours", {"cpu.max": "200000 100000"}, [2.0]),
        ("0::/a", {}, []),
        ("0::/a", {"a/cpu.max": "nonsense"}, []),
        ("4:cpu,cpuacct:/d", {"cpu/d/cpu.cfs_quota_us": "300000", "cpu/d/cpu.cfs_period_us": "100000"}, [3.0]),
        ("4:cpu,cpuacct:/d", {"cpu/d/cpu.cfs_quota_us": "-1", "cpu/d/cpu.cfs_period_us": "100000"}, []),
        ("3:memory:/d", {"d/cpu.max": "1 2"}, []),
    ],
)
def test_quotas_of_the_cgroups(tmp_path, monkeypatch, line, files, cores):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    read = Path.read_text
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    monkeypatch.setattr(Path, "read_text", lambda path: line + "\n" if str(path) == "/proc/self/cgroup" else read(path))
    assert list(module._quotas()) == cores


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_blas_keeps_to_one_thread_whoever_asks():
    seen = []

    def ask():
        with one_blas_thread():
            seen.append(blas_threads())

    with threadpool_limits(3, user_api="blas"):
        before = blas_threads()
        for caller in (ask, *(threading.Thread(target=ask) for _ in range(2))):
            if isinstance(caller, threading.Thread):
                caller.start()
                caller.join()
            else:
                caller()
            assert blas_threads() == before
    assert [set(found) for found in seen] == [{1}] * 3


def test_blas_keeps_to_one_thread_until_the_last_block_ends():
    before = blas_threads()
    with one_blas_thread():
        with one_blas_thread():
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}
    assert blas_threads() == before
