"""What ``ramen index`` keeps beside a run: how scorers propose without a look at every row; names, mapped."""

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
AGAIN = "make it anew: ramen index RUN"


@dataclass
class Index:
    """The index of a run.

    Attributes:
        folder: where it is.
        facts: ``of``, the digest of the run's manifest; ``scorers``, by name what was measured; ``files``, by their
            path in the run ``[size, time of change in ns, digest]``.
    """

    folder: Path
    facts: dict[str, Any]

    @classmethod
    def open(cls, run: Path, manifest: str) -> Index | None:
        """A run's index; None where it has none.

        Args:
            run: its folder.
            manifest: digest of its manifest.

        Raises:
            InputError: an index of another run, or a damaged one.
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
            raise InputError(f"{folder}: the index of another run than {run / 'manifest.json'} tells of; {AGAIN}")
        return cls(folder, facts)

    def is_unchanged(self, run: Path, name: str, digest: str) -> bool:
        """Whether a file still has the size and the time of change that it had when its digest was this."""
        known = self.facts["files"].get(name)
        return known == [*stamp(run / name), digest]

    def own_files(self) -> dict[str, str]:
        """Digests of the index's own files, by their path in the run."""
        return {name: known[2] for name, known in self.facts["files"].items() if name.startswith(FOLDER + "/")}

    def attach(self, scorers: Mapping[str, Scorer]) -> None:
        """Let the scorers that have a part of the index propose by it."""
        for name, told in self.facts["scorers"].items():
            scorers[name].index = SignIndex(map_tensors(self.folder / f"{name}.safetensors"), told["candidates"])

    def strings(self, name: str) -> StringTable:
        """A table of strings that :func:`save_strings` wrote."""
        stored = map_tensors(self.folder / f"{name}.safetensors")
        return StringTable(stored["text"], stored["ends"])


def save_strings(path: Path, strings: Iterable[str]) -> None:
    """Write strings as a table."""
    table = StringTable.of(strings)
    save_tensors(path, {"text": table.text, "ends": table.ends})


def stamp(path: Path) -> list[int]:
    """What changes when a file is written: size, and time of change in ns."""
    told = path.stat()
    return [told.st_size, told.st_mtime_ns]
