"""Read Debian package indices: the stanzas, the relation fields, the descriptions.

The format is that of deb-control(5) and the Debian Policy Manual, chapters 5 and 7.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ramen.errors import InputError

_APT_HELPER = "/usr/lib/apt/apt-helper"
_OPENERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".bz2": bz2.decompress,
}
_STREAMS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*")


def read_index(path: Path) -> bytes:
    """The uncompressed bytes of an index file; ``.lz4`` and ``.zst`` are read by apt's own helper.

    Raises:
        InputError: the file is missing, truncated or cannot be uncompressed here.
    """
    try:
        if path.suffix in (".lz4", ".zst"):
            return subprocess.run([_APT_HELPER, "cat-file", path], check=True, capture_output=True).stdout
        data = path.read_bytes()
        return _OPENERS[path.suffix](data) if path.suffix in _OPENERS else data
    except subprocess.CalledProcessError as error:
        why = error.stderr.decode(errors="replace").strip()
        raise InputError(f"{path}: apt-helper cannot read it ({why})") from None
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as a package index ({error})") from None


@contextmanager
def open_index(path: Path) -> Iterator[IO[bytes]]:
    """A stream of the uncompressed bytes of an index file, for indices too large to hold; see :func:`read_index`.

    Raises:
        InputError: the file is missing, truncated or cannot be uncompressed here; also while it is read.
    """
    try:
        if path.suffix in (".lz4", ".zst"):
            with subprocess.Popen([_APT_HELPER, "cat-file", path], stdout=subprocess.PIPE) as helper:
                assert helper.stdout is not None
                yield helper.stdout
            if helper.returncode:
                raise InputError(f"{path}: apt-helper cannot read it (exit {helper.returncode})")
        else:
            with _STREAMS.get(path.suffix, open)(path, "rb") as stream:
                yield stream
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as a package index ({error})") from None


def stanzas(data: bytes, where: str) -> Iterator[dict[str, str]]:
    r"""The stanzas of an index: field name -> value, continuation lines kept after a newline.

    Args:
        data: uncompressed bytes, UTF-8.
        where: name of the file, for the error.

    Raises:
        InputError: bytes that are not UTF-8, or a line that is neither a field nor a continuation.

    Example:
        >>> list(stanzas(b"Package: a\nDescription: short\n long\n\nPackage: b\n", "x"))
        [{'Package': 'a', 'Description': 'short\n long'}, {'Package': 'b'}]
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{where}, line {row}: found bytes that are not UTF-8, expected UTF-8") from None
    fields: dict[str, str] = {}
    key = ""
    for row, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            if fields:
                yield fields
            fields, key = {}, ""
        elif line[0] in " \t":
            if not key:
                raise InputError(f"{where}, line {row}: found a continuation line, expected 'Field: value'")
            fields[key] += "\n" + line
        else:
            key, colon, value = line.partition(":")
            if not colon or not key:
                raise InputError(f"{where}, line {row}: found {line[:40]!r}, expected 'Field: value'")
            fields[key] = value.strip()
    if fields:
        yield fields


def related(value: str) -> list[str]:
    """Package names of a relation field, every alternative included, in order.

    Versions, architectures and build profiles are left out: the field says which packages belong together.

    Example:
        >>> related("libc6 (>= 2.36), gnuplot-qt | gnuplot-x11, python3:any")
        ['libc6', 'gnuplot-qt', 'gnuplot-x11', 'python3']
    """
    parts = (part.strip() for clause in value.split(",") for part in clause.split("|"))
    return [match.group() for part in parts if (match := _NAME.match(part))]


def synopsis_and_text(description: str) -> tuple[str, str]:
    r"""The first line of a description, and the extended description joined to one line.

    Example:
        >>> synopsis_and_text("a tool\n It does this.\n .\n And that.")
        ('a tool', 'It does this. And that.')
    """
    synopsis, *extended = description.split("\n")
    kept = (line for line in extended if line.strip() != ".")
    return synopsis.strip(), " ".join(word for line in kept for word in line.split())
