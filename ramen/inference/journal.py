"""The journal of a run's labels: what was added, removed and renamed since training, one line a change.

A line counts once its end is on the disk, so a killed command leaves the old state or the new one. Arrays of added
labels lie beside it, each in a file that is written before its line.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ramen.errors import InputError
from ramen.files import clear_errors

FOLDER, JOURNAL, LOCK = "labels", "journal.jsonl", "lock"
FORMAT = 1
_WAIT = 10.0  # seconds for another writer


@dataclass
class Changes:
    """What a journal says.

    Attributes:
        added: lines of labels that were added, in order, each with ``segment``, ``blake2b`` and ``labels``, a list of
            ``{"uid", "text"}``.
        removed: by uid how many labels of that name, from the first on, are gone.
        renamed: texts by uid.
    """

    added: list[dict[str, Any]] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.renamed)


def read_changes(run: Path, manifest: str) -> Changes:
    """The changes of a run's labels; none where it has no journal.

    Args:
        run: its folder.
        manifest: digest of its manifest.

    Raises:
        InputError: a journal of another run, of another format, or a damaged one.
    """
    path = run / FOLDER / JOURNAL
    if not path.exists():
        return Changes()
    lines = path.read_bytes().split(b"\n")[:-1]  # behind the last end of line is what a killed command left
    changes = Changes()
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            if number == 1:
                _check_head(path, entry, manifest)
                continue
            operation = entry["op"]
            if operation == "add":
                changes.added.append(entry)
                for label in entry["labels"]:
                    changes.renamed.pop(label["uid"], None)
            elif operation == "remove":
                for uid in entry["uids"]:
                    changes.removed[uid] = changes.removed.get(uid, 0) + 1
                    changes.renamed.pop(uid, None)
            elif operation == "rename":
                changes.renamed[entry["uid"]] = entry["text"]
            else:
                raise ValueError(f"unknown change {operation!r}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}, line {number}: not a change of labels: {error}") from error
    return changes


def _check_head(path: Path, head: dict[str, Any], manifest: str) -> None:
    if head["format"] != FORMAT:
        raise InputError(f"{path}: format {head['format']}, this version reads {FORMAT}")
    if head["of"] != manifest:
        raise InputError(f"{path}: changes of another run's labels than this one; remove the folder to go without")


@contextmanager
def writing(run: Path) -> Iterator[Path]:
    """The folder of a run's journal, made where there is none, and nobody else writes into it.

    Raises:
        InputError: another command has been writing for ten seconds, or no permission.
        WorkError: the disk is full.
    """
    folder = run / FOLDER
    with clear_errors(folder):
        folder.mkdir(exist_ok=True)
        with (folder / LOCK).open("w") as lock:
            until = time.monotonic() + _WAIT
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise InputError(f"{folder}: another command is changing the labels; try again later") from None
                    time.sleep(0.05)
            yield folder


def append(folder: Path, manifest: str, change: dict[str, Any]) -> None:
    """Write one change, whole or not at all; call inside :func:`writing`.

    Raises:
        OSError: as it comes; the journal is as it was.
    """
    path = folder / JOURNAL
    with path.open("ab+") as file:
        whole = _whole_length(path)
        file.truncate(whole)
        line = json.dumps(change, ensure_ascii=False) + "\n"
        if not whole:
            line = json.dumps({"format": FORMAT, "of": manifest}) + "\n" + line
        try:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, whole)
            raise


def _whole_length(path: Path) -> int:
    """Bytes up to the last end of line."""
    written = path.read_bytes()
    return written.rfind(b"\n") + 1
