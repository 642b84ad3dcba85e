"""Downloads and unpacks the archive of a known data set, and checks it against its card."""

from __future__ import annotations

import errno
import gzip
import lzma
import os
import shutil
import stat
import struct
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import yaml

from ramen.data.cards import shipped_facts
from ramen.data.files import strict
from ramen.data.layouts import read_folder
from ramen.errors import InputError, WorkError, nearest
from ramen.files import raise_clearly

_CHUNK = 1 << 20
_RATIO, _SPARE = 100, 1 << 30  # limit of unpacked bytes: this multiple of the archive, plus a gigabyte
_SECONDS = 60  # timeout of the server
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
    RuntimeError, struct.error,
)  # fmt: skip
_SIZES = ("train", "test", "labels")


def get(name: str, source: str, out: Path, report: Callable[[str], None]) -> None:
    """Write the folder of a known data set from its archive.

    Args:
        name: of a shipped card.
        source: a path or an http(s) address of a ``.zip``, ``.tar``, ``.tar.gz``, ``.tar.bz2`` or
            ``.tar.xz``.
        out: new or empty folder. A downloaded archive stays next to it until the folder is complete, so that an
            interrupted download resumes.
        report: called with one line per step.

    Raises:
        InputError: the name is unknown; the source is missing or no archive; a member is a link or would be written
            outside the folder; the archive is a decompression bomb; a file does not parse; or sizes differ from the
            card's.
        WorkError: the disk is full, or the connection was lost.

    Example:
        ``get("LF-AmazonTitles-131K", "LF-AmazonTitles-131K.zip", Path("data/LF-AmazonTitles-131K"), print)``
    """
    cards = shipped_facts()
    if name not in cards:
        raise InputError(f"unknown data set {name!r}: {nearest(name, cards)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is not empty, expected a new or empty folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f"{out.name}.tmp-{os.getpid()}")
    fetched = source.startswith(("http://", "https://"))
    archive = out.with_name(f"{out.name}.{PurePosixPath(source.split('?')[0]).name}") if fetched else Path(source)
    try:
        if fetched:
            fetch(source, archive, report)
        report(f"unpack {archive}")
        unpack(archive, beside)
        root = _root(beside)
        facts = cards[name]
        if not (root / "card.yaml").exists():
            (root / "card.yaml").write_text(
                yaml.safe_dump(facts, sort_keys=False, allow_unicode=True), encoding="utf-8"
            )
        report("check the files against the card")
        _check(root, facts, beside)
        if out.exists():
            out.rmdir()
        os.replace(root, out)
        if fetched:
            archive.unlink()
    except OSError as error:
        raise_clearly(error, out)
        raise WorkError(f"{out}: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def fetch(address: str, target: Path, report: Callable[[str], None]) -> None:
    """Download a file; resume from ``TARGET.part`` if the server allows it.

    Raises:
        InputError: the server rejects the address.
        WorkError: the connection was lost; the part stays for the next call.
    """
    if target.exists():
        return
    part = target.with_name(f"{target.name}.part")
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
            goes_on = response.status == 206
            length = response.headers.get("Content-Length")
            whole = int(length) + (have if goes_on else 0) if length else None
            report(f"fetch {address}" + (f", from byte {have:,} on" if goes_on and have else ""))
            with part.open("ab" if goes_on else "wb") as file:
                shutil.copyfileobj(response, file, _CHUNK)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left to fetch
            os.replace(part, target)
            return
        raise InputError(f"{address}: the server answers {error.code} {error.reason}") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise WorkError(f"{address}: {error}; call again to go on") from None
    if whole is not None and part.stat().st_size != whole:
        size = part.stat().st_size
        raise WorkError(f"{address}: broke off at byte {size:,} of {whole:,}; call again to go on")
    os.replace(part, target)


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of an untrusted archive into a new folder.

    Raises:
        InputError: not an archive, a member is a link, a device or outside the folder, or too many bytes.
    """
    if not archive.is_file():
        raise InputError(f"{archive}: {'is no file' if archive.exists() else 'no such file'}, expected an archive")
    folder.mkdir(parents=True)
    left = archive.stat().st_size * _RATIO + _SPARE
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                for name, stream in _zipped(archive, packed):
                    left = _write(archive, name, stream, folder, left)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as packed:
                for name, stream in _tarred(archive, packed):
                    left = _write(archive, name, stream, folder, left)
        else:
            raise InputError(f"{archive}: expected a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz, found none of these")
    except _BROKEN as error:
        raise InputError(f"{archive}: a broken archive ({error})") from error


def _zipped(archive: Path, packed: zipfile.ZipFile) -> Iterator[tuple[str, IO[bytes]]]:
    for member in packed.infolist():
        if not member.filename:
            raise InputError(f"{archive}: a broken archive (a file without a name)")
        if member.is_dir():
            continue
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InputError(f"{archive}: {member.filename!r} is a link, expected files only")
        try:
            stream = packed.open(member)
        except (
            OSError,
            ValueError,
            IndexError,
            struct.error,
        ) as error:  # what zipfile makes of a broken list of members
            raise InputError(f"{archive}: a broken archive ({error})") from error
        with stream:
            yield member.filename, stream


def _tarred(archive: Path, packed: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    for member in packed:
        if member.isdir():
            continue
        stream = packed.extractfile(member) if member.isfile() else None
        if stream is None:
            raise InputError(f"{archive}: {member.name!r} is a link or a device, expected files only")
        yield member.name, stream


def _write(archive: Path, name: str, stream: IO[bytes], folder: Path, left: int) -> int:
    """Write one member and return how many bytes remain for the others."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name or not path.parts:
        raise InputError(f"{archive}: {name!r:.80} would be written outside the folder")
    target = folder.joinpath(*path.parts)
    try:
        if target.exists():
            raise InputError(f"{archive}: {name!r:.80} occurs twice")
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("wb")
    except OSError as error:
        if isinstance(error, (FileExistsError, NotADirectoryError)) or error.errno in (
            errno.ENAMETOOLONG,
            errno.EINVAL,
        ):
            raise InputError(f"{archive}: {name!r:.80} is no name for a file here ({error.strerror})") from error
        raise
    with file:
        while chunk := stream.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise InputError(f"{archive}: unpacks to more than {_RATIO} times its size, which no data set does")
            file.write(chunk)
    return left


def _root(folder: Path) -> Path:
    """The folder of the files: archives often hold one folder with all in it."""
    inside = list(folder.iterdir())
    while len(inside) == 1 and inside[0].is_dir():
        folder, inside = inside[0], list(inside[0].iterdir())
    return folder


def _check(root: Path, facts: dict[str, object], beside: Path) -> None:
    try:
        dataset = strict(read_folder(root))
    except InputError as error:
        raise InputError(str(error).replace(f"{beside}{os.sep}", "")) from None
    assert dataset is not None
    actual = {"train": len(dataset.train), "test": len(dataset.test), "labels": dataset.n_labels}
    wrong = [
        f"{key} {actual[key]:,}, expected {facts[key]:,}"
        for key in _SIZES
        if facts.get(key, actual[key]) != actual[key]
    ]
    if wrong:
        raise InputError(f"{facts['name']}: other sizes than the card's: {'; '.join(wrong)}")
