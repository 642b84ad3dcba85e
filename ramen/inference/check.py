"""Check all of a run folder anew: every hash, and what every file holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ramen.encoders.word_features import WordFeatures
from ramen.errors import InputError
from ramen.inference import index, journal
from ramen.inference.run import LABELS, files_of, read_label_file
from ramen.inference.tagger import Tagger


@dataclass(frozen=True)
class Part:
    """A part of a run folder that passed.

    Attributes:
        name: of a folder or file in the run.
        files: number of files.
        size: of these, in bytes.
    """

    name: str
    files: int
    size: int


def check_folder(run: str | Path) -> list[Part]:
    """Check a run, its index and its added labels, whatever earlier loads have checked; nothing is written there.

    Args:
        run: its folder.

    Returns:
        The parts, in the order of the manifest.

    Raises:
        InputError: a file is missing, altered or damaged, or files do not fit each other.

    Example:
        ``check_folder("runs/a")[0].name``
    """
    run = Path(run)
    tagger = Tagger.load(run, check="all")
    files: dict[str, list[Path]] = {}
    for name in sorted(files_of(run)):
        depth = 2 if name.startswith("scorers/") else 1
        files.setdefault("/".join(name.split("/")[:depth]), []).append(run / name)
    if (run / index.FOLDER).is_dir():
        _check_strings(run, tagger)
        files[index.FOLDER] = sorted((run / index.FOLDER).iterdir())
    if (run / journal.FOLDER / journal.JOURNAL).is_file():
        files[journal.FOLDER] = sorted(path for path in (run / journal.FOLDER).iterdir() if path.name != journal.LOCK)
    return [Part(name, len(paths), sum(path.stat().st_size for path in paths)) for name, paths in files.items()]


def _check_strings(run: Path, tagger: Tagger) -> None:
    """Check that the index has the run's names: with it, a load does not read the run's own."""
    uids, texts = read_label_file(run / LABELS)
    plain = Tagger.load(run, labels=False).run
    tables: dict[str, tuple[Iterable[str], Iterable[str]]] = {"uids": (plain.uids, uids), "texts": (plain.texts, texts)}
    if isinstance(tagger.run.words, WordFeatures):
        tables["words"] = tagger.run.words.names, WordFeatures.load(run / "words").names
    for name, (found, expected) in tables.items():
        if list(found) != list(expected):
            path = run / index.FOLDER / f"{name}.safetensors"
            raise InputError(f"{path}: found other strings than the run has; {index.AGAIN}")
