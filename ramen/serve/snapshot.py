"""Private copies of run folders, so that a served run survives any later change of its files.

A server maps the arrays of its run. Whoever writes over a mapped file (``cp`` or ``rsync --inplace`` of a new run over
the old one) changes the numbers under the server or, where the file gets shorter, ends it by SIGBUS. A server therefore
loads a snapshot that no one else writes to.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import shutil
import tempfile
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path, PurePosixPath
from types import TracebackType

from ramen.compiled import is_ours
from ramen.encoders.cache import cache_folder
from ramen.errors import InputError, WorkError
from ramen.files import digest, locked
from ramen.inference import index, journal
from ramen.inference.index import Index, stamp
from ramen.inference.run import MANIFEST, check_run, files_of

_FICLONE = 0x40049409  # ioctl of Linux: the copy shares the blocks of the original until one of them changes
_NAME = re.compile(r"ramen-snapshot-\w{8}")
_COPY, _LOCK = "run", "lock"  # what a snapshot's folder holds
_JOURNAL = f"{journal.FOLDER}/{journal.JOURNAL}"
_WAY_OUT = "name another folder with --snapshot FOLDER, or serve the run in place with --no-snapshot"

logger = logging.getLogger("ramen.serve")


class Snapshot:
    """A run folder that stays as it is until :meth:`remove`, or until the process that took it ends.

    Attributes:
        source: folder of the run, links resolved.
        path: of the copy, to load with ``check="none"``; the run's own where it is served in place.
        id: which run and labels these are, 12 hex digits; the same for every copy.
    """

    def __init__(self, source: Path, path: Path, identity: str, resources: ExitStack) -> None:
        self.source, self.path, self.id = source, path, identity
        self._close = weakref.finalize(self, _close, resources, os.getpid())

    def remove(self) -> None:
        """Remove the copy and free the locks; does nothing the second time. A run that is loaded from it goes on."""
        self._close()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()


def _close(resources: ExitStack, owner: int) -> None:
    if os.getpid() == owner:  # a forked worker ends before its server does
        resources.close()


def take_snapshot(run: str | Path, folder: str | Path | None = None) -> Snapshot:
    """Copy what loading a run needs, and check the copy against the run's manifest.

    The copy is hashed once: its readers load it with ``check="none"``. It shares the blocks of the original where the
    file system can (btrfs, XFS). Snapshots that a killed server left in the folder are removed.

    Args:
        run: finished run folder, or a link to one, which is followed once.
        folder: where to put the copy; None for ``snapshots`` in the cache folder, else the temporary folder.

    Raises:
        InputError: there is no finished run; a file is missing, altered, changed meanwhile or being written; the folder
            is missing or cannot be written.
        WorkError: the disk is full.

    Example:
        ``with take_snapshot("runs/a") as snapshot: tagger = Tagger.load(snapshot.path, check="none")``
    """
    check_run(Path(run), check="none")
    source = Path(run).resolve()
    folder = _default_folder() if folder is None else Path(folder)
    with ExitStack() as resources:
        path = _new_folder(folder, resources) / _COPY
        with _in_use(source):
            _copy_run(source, path)
        return Snapshot(source, path, run_id(path), resources.pop_all())


def serve_in_place(run: str | Path) -> Snapshot:
    """Return a run folder itself, locked against ``ramen train``, for ``--no-snapshot``; load it unchecked.

    Raises:
        InputError: there is no finished run, or it is being written.
    """
    check_run(Path(run), check="none")
    source = Path(run).resolve()
    with ExitStack() as resources:
        resources.enter_context(_in_use(source))
        return Snapshot(source, source, run_id(source), resources.pop_all())


def run_id(run: Path) -> str:
    """Return 12 hex digits that differ where runs do, or the changes of their labels."""
    hasher = hashlib.blake2b((run / MANIFEST).read_bytes(), digest_size=6)
    hasher.update(_complete_lines(run / _JOURNAL))
    return hasher.hexdigest()


def _complete_lines(path: Path) -> bytes:
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1]


def _in_use(source: Path) -> AbstractContextManager[None]:
    return locked(source, exclusive=False, busy=f"{source}: being written by ramen train; serve it when that has ended")


def _default_folder() -> Path:
    """Return a folder that only we can write: whoever changes a snapshot changes what a server answers."""
    folders = [Path(tempfile.gettempdir()) / f"ramen-snapshots-{os.getuid()}"]
    with suppress(InputError):  # no home folder
        folders.insert(0, cache_folder() / "snapshots")
    for folder in folders:
        if is_ours(folder):
            return folder
    raise InputError(f"{' and '.join(map(str, folders))}: no snapshot can be written there; {_WAY_OUT}")


def _new_folder(folder: Path, resources: ExitStack) -> Path:
    """Make a folder for a snapshot, locked until the resources are closed and then removed.

    What killed servers left beside it is removed. (This is no context manager of a generator: a forked worker that
    drops one would run its clean-up.)
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, found {'a file' if folder.exists() else 'nothing'}; {_WAY_OUT}")
    try:
        with locked(folder, exclusive=True):  # no other server takes the new folder for a stale one
            _remove_stale(folder)
            base = Path(tempfile.mkdtemp(prefix="ramen-snapshot-", dir=folder))
            lock = resources.enter_context((base / _LOCK).open("ab"))
            resources.callback(shutil.rmtree, base, ignore_errors=True)  # before the lock is freed
            with suppress(OSError):  # a file system without locks, where no snapshot counts as stale
                fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise _clear_error(error, folder) from error
    return base


def _remove_stale(folder: Path) -> None:
    for base in folder.iterdir():
        with suppress(OSError):  # another server has the lock, or it is another user's
            if (
                base.lstat().st_uid != os.getuid()
                or not _NAME.fullmatch(base.name)
                or not {_COPY, _LOCK}.issuperset(os.listdir(base))
            ):
                continue
            with (base / _LOCK).open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(base)
                logger.warning("removed %s, the snapshot of a server that was killed", base)


def _clear_error(error: OSError, folder: Path) -> Exception:
    """Return what to raise for an error of a snapshot in ``folder``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WorkError(f"{folder}: no space left for a snapshot; {_WAY_OUT}")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        path = Path(error.filename or folder)
        if not path.is_relative_to(folder):
            return InputError(f"{path}: no permission to read it")
        return InputError(f"{folder}: no permission to write a snapshot there; {_WAY_OUT}")
    return error


def _copy_run(source: Path, path: Path) -> None:
    """Copy a run and check the copy; see :func:`take_snapshot` for the errors."""
    stamps: dict[str, list[int]] = {}
    try:
        wanted = _copy_lists(source, path, stamps)
        for name in wanted:
            _copy(source / name, path / name, stamps[name])
        changed = any(_stamp(source / name) != before for name, before in stamps.items())
    except FileNotFoundError:
        changed = True
    except InputError as error:  # of a check of the copy
        raise InputError(str(error).replace(str(path), str(source))) from error
    except OSError as error:
        raise _clear_error(error, path.parents[1]) from error
    if changed:
        raise InputError(f"{source}: changed while it was copied; publish a run by writing beside and renaming")
    with ThreadPoolExecutor(4) as pool:  # hashing releases the GIL
        for name, found in zip(wanted, pool.map(lambda name: digest(path / name), wanted), strict=True):
            if found != wanted[name]:
                raise InputError(f"{source / name}: altered (its hash differs from what was recorded)")


def _copy_lists(source: Path, path: Path, stamps: dict[str, list[int]]) -> dict[str, str]:
    """Copy the files that name the others; add the stamps of all to ``stamps`` and return the digests of the others."""
    path.mkdir()
    has_index = (source / index.FOLDER).is_dir()
    for name in [MANIFEST, f"{index.FOLDER}/{index.FACTS}"][: 1 + has_index]:
        stamps[name] = _stamp(source / name)
        shares = _copy(source / name, path / name, stamps[name])
    wanted, manifest = files_of(path), digest(path / MANIFEST)
    lines = _complete_lines(source / _JOURNAL)  # labels may be added meanwhile: those lines are left out
    if lines:
        (path / journal.FOLDER).mkdir()
        (path / _JOURNAL).write_bytes(lines)
    for change in journal.read_changes(path, manifest).added:
        wanted[f"{journal.FOLDER}/{change['segment']}"] = change["blake2b"]
    files = Index.open(path, manifest)
    wanted |= files.digests() if files else {}
    for name in wanted:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(f"{source}: lists the file {name!r}, expected files in the run")
        if not (source / name).is_file():
            raise InputError(f"{source / name}: missing")
        stamps[name] = _stamp(source / name)
    size, free = sum(size for size, _, _ in stamps.values()), shutil.disk_usage(path).free
    if size > free and not shares:
        needs = f"needs {size / 1e6:,.1f} MB, found {free / 1e6:,.1f} MB free"
        raise WorkError(f"{path.parents[1]}: a snapshot of {source} {needs}; {_WAY_OUT}")
    return wanted


def _stamp(path: Path) -> list[int]:
    return [*stamp(path), path.stat().st_ino]  # the inode tells a file that another was renamed to


def _copy(source: Path, target: Path, stamped: list[int]) -> bool:
    """Copy a file with its modification time; returns whether the two share their blocks."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as original, target.open("wb") as copy:
        try:
            fcntl.ioctl(copy, _FICLONE, original.fileno())
            shares = True
        except OSError:  # most file systems cannot, none can from another
            shares = False
    if not shares:
        shutil.copyfile(source, target)
    os.utime(target, ns=(stamped[1], stamped[1]))  # the index knows files by it
    return shares
