"""The index of a run, made by ``ramen index``: approximate search for scorers, and memory-mapped strings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ramen.errors import InputError
from ramen.mapped import StringTable, map_tensors
from ramen.mining.signs import SignIndex
from ramen.scorers.base import Scorer, save_tensors

FOLDER, FACTS = "index", "index.json"
FORMAT = 2
AGAIN = "build it again: ramen index RUN"


@dataclass
class Index:
    """The index of a run.

    Attributes:
        folder: of the index.
        facts: ``of``, the digest of the run's manifest; ``scorers``, measurements by name; ``files``, by path in the
            run, ``[size, modification time in ns, digest]``.
    """

    folder: Path
    facts: dict[str, Any]

    @classmethod
    def open(cls, run: Path, manifest: str) -> Index | None:
        """Open the index of a run; returns None if it has none.

        Args:
            run: its folder.
            manifest: digest of its manifest.

        Raises:
            InputError: the index is damaged or of another run.
        """
        folder = run / FOLDER
        if not folder.is_dir():
            return None
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            if facts["format"] != FORMAT or not isinstance(facts["files"], dict):
                raise ValueError("of another format")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder}: not an index of this version; {AGAIN}") from error
        if facts["of"] != manifest:
            raise InputError(f"{folder}: an index of another run than that of {run / 'manifest.json'}; {AGAIN}")
        return cls(folder, facts)

    def is_unchanged(self, run: Path, name: str, digest: str) -> bool:
        """Whether a file has the same size, modification time and digest as when the index was built."""
        return self.facts["files"].get(name) == [*stamp(run / name), digest]

    def digests(self) -> dict[str, str]:
        """Return the digests of the index's files, by path in the run."""
        files = self.facts["files"].items()
        return {name: recorded for name, (_, _, recorded) in files if name.startswith(FOLDER + "/")}

    def attach(self, scorers: Mapping[str, Scorer]) -> None:
        """Let the indexed scorers propose candidates by the index."""
        for name, measurement in self.facts["scorers"].items():
            arrays = map_tensors(self.folder / f"{name}.safetensors")
            scorers[name].index = SignIndex(arrays, measurement["candidates"])

    def strings(self, name: str) -> StringTable:
        """Map a table of strings from :func:`save_strings`."""
        stored = map_tensors(self.folder / f"{name}.safetensors")
        return StringTable(stored["text"], stored["ends"])


def save_strings(path: Path, strings: Iterable[str]) -> None:
    """Write strings as a table."""
    table = StringTable.of(strings)
    save_tensors(path, {"text": table.text, "ends": table.ends})


def stamp(path: Path) -> list[int]:
    """Return the size and the modification time in ns of a file."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
