"""Shared parts of the command line: printing, quiet libraries, atomic files, ``key=value`` arguments."""

from __future__ import annotations

import io
import json
import logging
import os
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ramen.errors import InputError
from ramen.threads import available_cores, thread_count


class Stopped(Exception):
    """Ctrl-C during resumable work; the message says how to resume (exit code 130)."""


def print_anything() -> None:
    """Let stdout and stderr escape what their encoding lacks, such as Chinese in ASCII or a path's odd bytes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def as_typed(argument: str) -> str:
    """Return an argument as UTF-8, whatever the locale; bytes that are not stay lone surrogates."""
    return os.fsencode(argument).decode("utf-8", "surrogateescape")


def show(line: str) -> None:
    """Print one line of a result to stdout."""
    sys.stdout.write(line + "\n")


def say(line: str) -> None:
    """Print one line of progress to stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def say_next(*command: str | Path) -> None:
    """Print the suggested next command to stderr; of several ranks the first does."""
    if os.environ.get("RANK", "0") == "0":
        say("next: " + shlex.join(map(str, command)))


def quiet_libraries() -> None:
    """Silence warnings and progress bars of third-party libraries; call before they are imported."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")  # for worker processes
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    for name in ("transformers", "sentence_transformers", "huggingface_hub", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)


def set_threads(threads: int | None = None) -> None:
    """Set the number of threads of all libraries, with passive waiting; call before numpy and torch are imported.

    Args:
        threads: number of threads; default: from the environment, else the available cores, shared among the ranks
            that torchrun starts on a machine.
    """
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if threads is None and ranks > 1:  # torchrun sets OMP_NUM_THREADS to 1
        os.environ.setdefault("RAMEN_THREADS", str(max(1, available_cores() // ranks)))
    if threads is not None:
        os.environ.update(RAMEN_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    os.environ.setdefault("OMP_NUM_THREADS", str(thread_count()))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's and scipy's; see ramen.threads.one_blas_thread
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def show_log(quiet: bool = False) -> None:
    """Send the log of the library to stderr; with ``quiet`` its warnings alone."""
    logger = logging.getLogger("ramen")
    logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.setLevel(logging.WARNING if quiet else logging.INFO)


def check_file(path: Path, option: str) -> None:
    """Raise if a file cannot be written, before the work.

    Raises:
        InputError: its folder is missing, or it is a folder.
    """
    if not path.parent.is_dir():
        raise InputError(f"{option} {path}: folder {path.parent} is missing")
    if path.is_dir():
        raise InputError(f"{option} {path}: found a folder, expected a file to write")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON atomically: next to ``path``, then rename."""
    part = path.with_name(path.name + ".part")
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        part.write_text(text, encoding="utf-8", errors="backslashreplace")  # JSON's own escape of a lone surrogate
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def assignments(arguments: Iterable[str]) -> dict[str, str]:
    """Return ``key=value`` arguments as a dict of strings.

    Raises:
        InputError: no "=", no key, or a key that occurs twice.

    Example:
        >>> assignments(["points=300", "note=a=b"])
        {'points': '300', 'note': 'a=b'}
    """
    values: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not key or not equals:
            raise InputError(f"argument {argument!r}: expected key=value")
        if key in values:
            raise InputError(f"argument {argument!r}: {key} was given before as {values[key]!r}")
        values[key] = value
    return values


@contextmanager
def insistent_interrupt() -> Iterator[None]:
    """Repeat an interrupt every two seconds until it stops the work.

    An interrupt within a callback of C code (as in numba's loader) is lost, and Ctrl-C would have no effect.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return

    has_ended = False

    def interrupt(number: int, frame: object) -> None:
        if has_ended:  # the last alarm came while the work was being left
            return
        signal.setitimer(signal.ITIMER_REAL, 2.0)
        raise KeyboardInterrupt

    hook = sys.unraisablehook

    def report(lost: sys.UnraisableHookArgs) -> None:
        if lost.exc_type is not KeyboardInterrupt:  # the interrupt is repeated
            hook(lost)

    sys.unraisablehook = report
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        yield
    finally:
        has_ended = True
        sys.unraisablehook = hook
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before.items():
            signal.signal(number, handler)
