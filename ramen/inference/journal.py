"""The journal of a run's labels: one line per change (add, remove, rename) since training.

A change takes effect when its line is complete on disk, so a killed command leaves the old state or the new one. The
arrays of added labels are in files next to the journal, written before the line.
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
from ramen.stored import check_fields, parse_json, shown

FOLDER, JOURNAL, LOCK = "labels", "journal.jsonl", "lock"
FORMAT = 1
_LABEL = {"uid": "a string", "text": "a string"}
_OPERATIONS = {
    "add": {"segment": "a string", "blake2b": "a string", "labels": "a list"},
    "remove": {"uids": "a list of strings"},
    "rename": _LABEL,
}
_WAIT = 10.0  # seconds to wait for another writer


@dataclass
class Changes:
    """The changes in a journal.

    Attributes:
        added: lines of added labels, in order, each with ``segment``, ``blake2b`` and ``labels``, a list of
            ``{"uid", "text"}``.
        removed: by uid, how many labels with that uid are removed, oldest first.
        renamed: texts by uid.
    """

    added: list[dict[str, Any]] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.renamed)


def read_changes(run: Path, manifest: str) -> Changes:
    """Read the changes of a run's labels; empty if it has no journal.

    Args:
        run: its folder.
        manifest: digest of its manifest.

    Raises:
        InputError: the journal is damaged, or of another run or format.
    """
    path = run / FOLDER / JOURNAL
    if not path.exists():
        return Changes()
    lines = path.read_bytes().split(b"\n")[:-1]  # drops an incomplete last line
    changes = Changes()
    for number, line in enumerate(lines, 1):
        try:
            entry = parse_json("line", line)
            if number == 1:
                _check_head(path, entry, manifest)
                continue
            operation = _checked(entry)
            if operation == "add":
                changes.added.append(entry)
                for label in entry["labels"]:
                    changes.renamed.pop(label["uid"], None)
            elif operation == "remove":
                for uid in entry["uids"]:
                    changes.removed[uid] = changes.removed.get(uid, 0) + 1
                    changes.renamed.pop(uid, None)
            else:
                changes.renamed[entry["uid"]] = entry["text"]
        except InputError as error:
            if str(path) in str(error):
                raise
            raise InputError(f"{path}, line {number}: not a change of labels: {error}") from error
    return changes


def _checked(entry: object) -> str:
    """Return which change a line is."""
    operation = entry.get("op") if isinstance(entry, dict) else None
    if not isinstance(operation, str) or operation not in _OPERATIONS:
        raise InputError(f"op: found {shown(operation)}, expected one of {', '.join(_OPERATIONS)}")
    fields = check_fields("line", entry, {"op": "a string", **_OPERATIONS[operation]})
    if operation == "add":
        for label in fields["labels"]:
            check_fields("labels", label, _LABEL)
        if Path(fields["segment"]).name != fields["segment"]:
            raise InputError(f"segment: found {fields['segment']!r}, expected the name of a file in the folder")
    return operation


def _check_head(path: Path, head: object, manifest: str) -> None:
    if not isinstance(head, dict) or not {"format", "of"} <= head.keys():
        raise InputError(f"head: found {shown(head)}, expected an object with format, of")
    if head["format"] != FORMAT:
        raise InputError(f"{path}: found format {head['format']}, expected {FORMAT}")
    if head["of"] != manifest:
        raise InputError(f"{path}: a journal of another run; remove the folder to discard its changes")


@contextmanager
def writing(run: Path) -> Iterator[Path]:
    """Lock the folder of a run's journal for writing and yield it; creates it if it is missing.

    Raises:
        InputError: another command holds the lock for ten seconds, or there is no permission.
        WorkError: the disk is full.
    """
    folder = run / FOLDER
    with clear_errors(folder):
        folder.mkdir(exist_ok=True)
        with (folder / LOCK).open("w") as lock:
            deadline = time.monotonic() + _WAIT
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise InputError(f"{folder}: another command is changing the labels; try again later") from None
                    time.sleep(0.05)
            yield folder


def append(folder: Path, manifest: str, change: dict[str, Any]) -> None:
    """Append one change atomically; call inside :func:`writing`.

    Raises:
        OSError: writing failed; the journal is unchanged.
    """
    path = folder / JOURNAL
    with path.open("ab+") as file:
        complete = _complete_length(path)
        file.truncate(complete)
        line = json.dumps(change, ensure_ascii=False) + "\n"
        if not complete:
            line = json.dumps({"format": FORMAT, "of": manifest}) + "\n" + line
        try:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, complete)
            raise


def _complete_length(path: Path) -> int:
    """Return the number of bytes up to the last end of line."""
    return path.read_bytes().rfind(b"\n") + 1
