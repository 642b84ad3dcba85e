"""Reads the files of a data set defensively and describes problems in them."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from ramen.errors import InputError

T = TypeVar("T")

# What reading a plain or gzipped file can raise: EOFError is a gzip stream that ends early.
STREAM_ERRORS = (OSError, EOFError, zlib.error)

_BREAKS = re.compile(r"[\r\n]+")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file.

    Attributes:
        path: the file.
        text: what was found and what was expected.
        line: line of a text file, from 1.
        row: row of a binary matrix, from 1, so that it is the line of that row in the json file.

    Example:
        >>> str(Problem(Path("trn.json"), "uid is missing", line=7))
        'trn.json, line 7: uid is missing'
    """

    path: Path
    text: str
    line: int | None = None
    row: int | None = None

    def __str__(self) -> str:
        place = f", line {self.line}" if self.line else f", row {self.row}" if self.row else ""
        return f"{self.path}{place}: {self.text}"


# A reader yields each problem and returns what it read. One reader thus serves callers that stop at the first problem
# (``strict``) and callers that list them all (``collect``).
Reading: TypeAlias = Generator[Problem, None, T]


def strict(reading: Reading[T]) -> T:
    """Return the value of a reader; raise at its first problem.

    Raises:
        InputError: the first problem; nothing after it is read.
    """
    try:
        problem = next(reading)
    except StopIteration as done:
        return done.value
    reading.close()
    raise InputError(str(problem))


def collect(reading: Reading[T]) -> tuple[T, list[Problem]]:
    """Return the value of a reader and all its problems; do not use the value if there are any."""
    problems: list[Problem] = []
    while True:
        try:
            problems.append(next(reading))
        except StopIteration as done:
            return done.value, problems


def one_line(text: str) -> str:
    """Return ``text`` with each run of line breaks replaced by one space."""
    return _BREAKS.sub(" ", text) if "\n" in text or "\r" in text else text


def candidates(folder: Path, stem: str, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the existing files among ``stem + suffix``."""
    return [path for suffix in suffixes if (path := folder / (stem + suffix)).exists()]


def find_one(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Reading[Path | None]:
    """Return the existing file among ``stem + suffix``, or None; several are a problem, as they may differ."""
    paths = candidates(folder, stem, suffixes)
    if len(paths) > 1:
        yield Problem(paths[1], f"{paths[0].name} also exists, expected one of the two")
    return paths[0] if paths else None


def open_bytes(path: Path) -> io.BufferedIOBase:
    """Open ``path`` for reading; decompress it if its name ends in ``.gz``."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def stream_problem(path: Path, error: BaseException, line: int) -> Problem:
    """Return the problem for one of ``STREAM_ERRORS`` raised while reading ``line``."""
    if isinstance(error, EOFError):
        return Problem(path, "the gzip data ends early (truncated), expected a whole file", line=line)
    if isinstance(error, (zlib.error, gzip.BadGzipFile)):
        return Problem(path, f"corrupt gzip data ({error})", line=line)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return Problem(path, f"cannot be read ({reason})", line=line)


def lines(path: Path) -> Iterator[tuple[int, str | Problem]]:
    """Yield number (from 1) and text of each line, without line end and byte order mark.

    A line that is not UTF-8 is yielded as a Problem. A truncated stream ends with a Problem numbered 0.
    """
    number = 0
    try:
        with open_bytes(path) as stream:
            for number, raw in enumerate(stream, 1):
                if number == 1:
                    raw = raw.removeprefix(codecs.BOM_UTF8)
                try:
                    yield number, raw.decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    byte = f"byte {error.start + 1} is 0x{raw[error.start]:02x}"
                    yield number, Problem(path, f"not UTF-8 ({byte})", line=number)
    except STREAM_ERRORS as error:
        yield 0, stream_problem(path, error, number + 1)
