"""The index of a run, made by ``ramen index``: approximate search for scorers, and memory-mapped strings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ramen.errors import InputError
from ramen.mapped import StringTable
from ramen.mining.signs import WORD, SignIndex
from ramen.scorers.base import TrainedScorer, save_tensors
from ramen.stored import Tensors, check_fields, read_json, shown

FOLDER, FACTS = "index", "index.json"
FORMAT = 2
AGAIN = "build it again: ramen index RUN"
_KINDS = {"format": "a number", "of": "a string", "scorers": "an object", "files": "an object"}
_MEASURED = {"candidates": "a whole number of at least 1"}


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
            facts = check_fields("facts", read_json(folder / FACTS), _KINDS)
            if facts["format"] != FORMAT:
                raise InputError(f"format: found {facts['format']}, expected {FORMAT}")
            for name, entry in facts["files"].items():
                if not isinstance(entry, list) or list(map(type, entry)) != [int, int, str]:
                    raise InputError(f"files: {name}: found {shown(entry)}, expected size, time and digest")
        except InputError as error:
            raise InputError(f"{folder / FACTS}: not an index of this version: {error}; {AGAIN}") from error
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

    def attach(self, scorers: Mapping[str, TrainedScorer], full: bool = True) -> None:
        """Let the indexed scorers propose candidates by the index.

        Args:
            scorers: of the run.
            full: check all values of the arrays, too.

        Raises:
            InputError: the index is of a scorer that the run lacks, or of other rows.
        """
        for name, measurement in self.facts["scorers"].items():
            where = f"{self.folder / FACTS}: scorers: {name}"
            check_fields(where, measurement, _MEASURED, {"recall": "a number", "rows": "a number"})
            space = scorers[name].search_space() if name in scorers else None
            if space is None:
                raise InputError(f"{where}: found no such rows in the run; {AGAIN}")
            stored = self._open(name, full)
            words = -(-space.dim // WORD)
            arrays = {
                "signs": stored.array("signs", "u8", (words, space.rows)),
                "factors": stored.array("factors", "f4", (space.rows,)),
                "counts": stored.array("counts", "u2", (space.rows,)),
                "rotation": stored.array("rotation", "f4", (words * WORD, space.dim)),
                "mean": stored.array("mean", "f4", (space.dim,)),
            }
            scorers[name].index = SignIndex(arrays, measurement["candidates"])

    def strings(self, name: str, n: int | None = None, full: bool = True) -> StringTable:
        """Map a table of n strings from :func:`save_strings`; ``full`` checks them, too."""
        return self._open(name, full).strings(n)

    def _open(self, name: str, full: bool) -> Tensors:
        if f"{FOLDER}/{name}.safetensors" not in self.facts["files"]:
            raise InputError(f"{self.folder / FACTS}: files: lacks {FOLDER}/{name}.safetensors; {AGAIN}")
        return Tensors(self.folder / f"{name}.safetensors", full)


def save_strings(path: Path, strings: Iterable[str]) -> None:
    """Write strings as a table."""
    table = StringTable.of(strings)
    save_tensors(path, {"text": table.text, "ends": table.ends})


def stamp(path: Path) -> list[int]:
    """Return the size and the modification time in ns of a file."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
