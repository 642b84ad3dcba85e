"""What the command line shares."""

import os
import signal
import sys
import time

import pytest

from ramen.cli.console import insistent_interrupt


@pytest.fixture(autouse=True)
def interrupts():
    """A shell lets its background jobs ignore SIGINT; the tests are to hear it all the same."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_is_lost_comes_again():
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt), insistent_interrupt():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt:
            pass  # as a callback of C code does
        while time.monotonic() < begin + 10:
            time.sleep(0.05)
    assert time.monotonic() < begin + 9
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0


def test_an_interrupt_that_is_lost_where_an_object_goes_is_not_shown(capsys):
    class Going:
        def __init__(self, error):
            self.error = error

        def __del__(self):
            raise self.error

    hook = sys.unraisablehook
    sys.unraisablehook = sys.__unraisablehook__  # pytest has its own
    try:
        with insistent_interrupt():
            Going(KeyboardInterrupt())
            Going(ValueError("shown"))
    finally:
        sys.unraisablehook = hook
    said = capsys.readouterr().err
    assert "ValueError: shown" in said and "KeyboardInterrupt" not in said


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    with insistent_interrupt():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)) == before
