"""The run folder, which training writes and tagging reads: safetensors and JSON, checked against a manifest."""

from __future__ import annotations

import gzip
import json
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ramen.encoders.bag_of_words import BagFeatures, BagOfWordsEncoder
from ramen.encoders.word_features import WordFeatures
from ramen.errors import InputError, nearest
from ramen.files import digest, replacing
from ramen.inference.changed_labels import with_changes
from ramen.inference.checked import is_checked, note_checked
from ramen.inference.index import FACTS, Index
from ramen.inference.journal import Changes, read_changes
from ramen.ranking.calibration import Calibration
from ramen.ranking.learned import TREES, LearnedRanking
from ramen.ranking.level import TextLevel
from ramen.ranking.ranker import Ranker, load_kernels
from ramen.ranking.thresholds import Thresholds
from ramen.scorers.base import Scorer, TrainedScorer, title_of
from ramen.scorers.registry import SCORERS
from ramen.stored import check_fields, read_json, read_lines

if TYPE_CHECKING:
    from ramen.data.dataset import Texts
    from ramen.encoders.base import Encoder

Check = Literal["changed", "all", "none"]
MANIFEST = "manifest.json"
FORMAT = 5
_PARTS = ("encoder", "words", "scorers", "ranking")  # folders whose files are in the manifest
# Of files that hold data alone: no pickle, which some libraries read where there is no safetensors file, and no code.
_ENDINGS = (".safetensors", ".json", ".gz", ".txt", ".md", ".model", ".jinja")  # the last: chat templates
_RANKING, LABELS = "ranking/ranking.json", "labels.jsonl.gz"
_RANKING_KINDS = {"level": "anything", "calibration": "anything", "thresholds": "anything", "learned": "an object"}


@dataclass
class Ranking:
    """The ranking of a run.

    Attributes:
        weights: of the scorers in the weighted sum.
        learned: replaces the weighted sum, or None.
        level: of the joint scores, from :meth:`TextLevel.facts`.
        calibration: of the joint scores with their levels, from :meth:`Calibration.facts`.
        thresholds: of the probabilities, from :meth:`Thresholds.facts`.
    """

    weights: dict[str, float]
    learned: LearnedRanking | None = None
    level: dict[str, float] | None = None
    calibration: dict[str, list[float]] | None = None
    thresholds: dict[str, Any] | None = None

    def save(self, folder: Path) -> None:
        """Write the ranking into a new folder."""
        folder.mkdir()
        facts = {name: getattr(self, name) for name in ("weights", "level", "calibration", "thresholds")}
        if self.learned is not None:
            self.learned.save(folder)
            facts["learned"] = self.learned.facts()
        with replacing(folder.parent / _RANKING) as part:
            part.write_text(json.dumps(facts, indent=1) + "\n")


def save_run(
    out: Path,
    encoder: Encoder | BagOfWordsEncoder,
    words: WordFeatures | BagFeatures | None,
    scorers: Mapping[str, TrainedScorer],
    ranking: Ranking,
    labels: Texts,
    metrics: dict[str, Any],
    beside: Callable[[Path], None] | None = None,
) -> None:
    """Write a run into its folder; the manifest comes last and completes the run.

    Args:
        out: the run folder.
        encoder: exported as a sentence-transformers folder, or as one file if it reads bags of words.
        words: features that scorers read, or None.
        scorers: by name.
        ranking: of all scorers.
        labels: uids and titles.
        metrics: for ``metrics.json``.
        beside: writes further files into the folder of the exported encoder.
    """
    for folder in _PARTS:
        shutil.rmtree(out / folder, ignore_errors=True)
    shutil.rmtree(out / "encoder.part", ignore_errors=True)
    encoder.export(out / "encoder.part")
    if beside is not None:
        beside(out / "encoder.part")
    (out / "encoder.part").rename(out / "encoder")
    if words is not None:
        words.save(out / "words")
    for name, scorer in scorers.items():
        (out / "scorers" / name).mkdir(parents=True)
        scorer.save(out / "scorers" / name)
    ranking.save(out / "ranking")
    with (
        replacing(out / LABELS) as part,
        part.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file,
    ):
        for uid, title in zip(labels.uids, labels.titles, strict=True):
            file.write((json.dumps({"uid": uid, "text": title}, ensure_ascii=False) + "\n").encode())
    write_metrics(out, metrics)
    files = sorted(path for folder in _PARTS for path in (out / folder).rglob("*") if path.is_file())
    hashes = {str(path.relative_to(out)): digest(path) for path in [*files, out / LABELS]}
    manifest = {"format": FORMAT, "scorers": list(scorers), "blake2b": hashes}
    with replacing(out / MANIFEST) as part:
        part.write_text(json.dumps(manifest, indent=1) + "\n")


def write_metrics(out: Path, metrics: dict[str, Any]) -> None:
    """Merge figures into ``metrics.json``."""
    path = out / "metrics.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        merged = {**stored, **metrics}
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not the figures of a run: {error}; remove it to write it again") from error
    with replacing(path) as part:
        part.write_text(json.dumps(merged, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass
class Run:
    """A loaded run, for inference.

    Attributes:
        path: the folder.
        words: word features, or None if no scorer reads them.
        ranker: the scorers and their weights.
        uids, texts: of the labels.
        calibration: of the joint scores; None if validation had too few points.
        thresholds: of the probabilities; None without calibration, or if the run was trained before there were any.
        removed: bool (L,), True for removed labels, which stay in ``uids``; or None.
        trained: the scorers without labels added after training.
    """

    path: Path
    words: WordFeatures | BagFeatures | None
    ranker: Ranker
    uids: Sequence[str]
    texts: Sequence[str]
    calibration: Calibration | None = None
    thresholds: Thresholds | None = None
    removed: np.ndarray | None = None
    trained: dict[str, TrainedScorer] = field(default_factory=dict)


def load_run(path: str | Path, index: bool = True, labels: bool = True, check: Check = "changed") -> Run:
    """Load a run folder and check it: its files against the manifest, and what they hold.

    Large arrays are memory-mapped, so processes share them. With an index, only files whose size or modification time
    changed are hashed again. All values of arrays are checked once for each content: :mod:`ramen.inference.checked`.

    Args:
        path: the folder.
        index: use the run's index, if it has one.
        labels: apply the labels added, removed and renamed after training.
        check: "changed" hashes what may have changed, "all" hashes and checks everything anew, "none" hashes nothing,
            for a folder that was checked and nobody changes: see :mod:`ramen.serve.snapshot`.

    Raises:
        InputError: there is no finished run of this format; a file is missing, altered or damaged; a scorer is unknown;
            files do not fit each other; or the index is of another run.
    """
    path = Path(path)
    with ThreadPoolExecutor(1) as pool:
        checking = pool.submit(check_run, path, index, check)
        load_kernels()  # in parallel: hashing releases the GIL
        names = checking.result()
    manifest = digest(path / MANIFEST)
    anew = check == "all"
    full = anew or not is_checked("run", manifest)
    index_files = Index.open(path, manifest) if index else None
    index_key = ("index", digest(index_files.folder / FACTS)) if index_files else ()
    full_index = bool(index_key) and (anew or not is_checked(*index_key))
    trained = {name: SCORERS[name].load(path / "scorers" / name, full) for name in names}
    ranking, level, calibration = _read_ranking(path, names)
    uids, texts = _read_names(path, index_files, full_index)
    thresholds = None if calibration is None else _read_thresholds(path, ranking, len(uids))
    words = _read_words(path / "words", index_files, full, full_index)
    _check_sizes(path, trained, words, len(uids))
    if index_files:
        index_files.attach(trained, full_index)
    changes = read_changes(path, manifest) if labels else Changes()
    if changes.added and not isinstance(words, WordFeatures | None):
        raise InputError(f"{path}: found added labels of a run over bags of words, expected one over texts")
    learned = None
    if "learned" in ranking:
        if words is None:
            raise InputError(f"{path / 'words'}: missing, expected the word features of the learned ranking")
        sizes = len(words), full
        learned = LearnedRanking.load(path / "ranking", ranking["learned"], trained, ranking["weights"], *sizes)
        added = [label["text"] for line in changes.added for label in line["labels"]]
        if added:
            assert isinstance(words, WordFeatures)
            learned = learned.with_more(words.transform(added), [title_of(text) for text in added], added)
    scorers, removed = dict[str, Scorer](trained), None
    if changes:
        scorers, uids, texts, removed = with_changes(path, trained, uids, texts, changes)
    if full:
        note_checked("run", manifest)
    if full_index:
        note_checked(*index_key)
    ranker = Ranker(scorers, ranking["weights"], learned, level)
    return Run(path, words, ranker, uids, texts, calibration, thresholds, removed, trained)


def has_thresholds(run: Path) -> bool:
    """Return whether a finished run has thresholds chosen on held-out points, without loading it."""
    facts = _ranking_facts(run / _RANKING)
    return facts.get("calibration") is not None and facts.get("thresholds") is not None


def _check_sizes(
    path: Path, trained: Mapping[str, TrainedScorer], words: WordFeatures | BagFeatures | None, n_labels: int
) -> None:
    """Check that scorers, labels and word features fit each other: kernels do not."""
    dims = {name: scorer.dim for name, scorer in trained.items() if scorer.dim is not None}
    for name, scorer in trained.items():
        where, first = path / "scorers" / name, next(iter(dims), name)
        if scorer.dim not in (None, dims.get(first)):
            raise InputError(
                f"{where}: found vectors of {scorer.dim} dimensions, expected {dims[first]} as in scorers/{first}"
            )
        if scorer.n_labels != n_labels:
            raise InputError(f"{where}: found {scorer.n_labels} labels, expected {n_labels} as in {LABELS}")
        if scorer.n_features is not None and (words is None or len(words) != scorer.n_features):
            found = "no words" if words is None else f"{len(words)} words"
            raise InputError(f"{where}: found {scorer.n_features} word features, but {found} in {path / 'words'}")


def _read_words(
    folder: Path, index_files: Index | None, full: bool, full_index: bool
) -> WordFeatures | BagFeatures | None:
    if not folder.is_dir():
        return None
    if BagFeatures.is_in(folder):
        return BagFeatures.load(folder, full)
    return WordFeatures.load(folder, index_files.strings("words", full=full_index) if index_files else None, full)


def _ranking_facts(file: Path) -> dict[str, Any]:
    return check_fields(file, read_json(file), {"weights": "an object of numbers"}, _RANKING_KINDS)


def _read_ranking(path: Path, names: Sequence[str]) -> tuple[dict[str, Any], TextLevel | None, Calibration | None]:
    """Read ``ranking.json``, its level and its calibration; an InputError names the invalid entry."""
    file = path / _RANKING
    facts = _ranking_facts(file)
    weights = facts["weights"]
    for name in names:
        if name not in weights:
            raise InputError(f"{file}: weights: lacks {name!r}, expected a number for each scorer")
    if unknown := [name for name in weights if name not in names]:
        raise InputError(f"{file}: weights: found {unknown[0]!r}, expected only {', '.join(names)}")
    if "learned" not in facts and not any(weights.values()):
        raise InputError(f"{file}: weights: all are 0, expected one or more above")
    if ("learned" in facts) != (path / "ranking" / TREES).is_file():
        raise InputError(f"{file}: learned: expected exactly where there is a {TREES}")
    if "learned" in facts and "calibration" not in facts:
        raise InputError(f"{file}: calibration: found no such key, expected one with a learned ranking")
    try:
        return facts, TextLevel.read(facts.get("level")), Calibration.read(facts.get("calibration"))
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _read_thresholds(path: Path, ranking: Mapping[str, Any], n_labels: int) -> Thresholds | None:
    try:
        return Thresholds.read(ranking.get("thresholds"), n_labels)
    except InputError as error:
        raise InputError(f"{path / _RANKING}: {error}") from error


def _read_names(path: Path, index_files: Index | None, full: bool) -> tuple[Sequence[str], Sequence[str]]:
    """Return uids and texts of the labels, from the index if there is one."""
    if index_files is None:
        return read_label_file(path / LABELS)
    uids = index_files.strings("uids", full=full)
    return uids, index_files.strings("texts", len(uids), full)


def read_label_file(path: Path) -> tuple[list[str], list[str]]:
    """Return uids and texts of the labels in a run's file of labels.

    Raises:
        InputError: the file is missing or damaged, or a line is no label.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        uids, texts = [row["uid"] for row in rows], [row["text"] for row in rows]
        if {*map(type, rows), *map(type, uids), *map(type, texts), *map(len, rows)} <= {dict, str, 2}:
            return uids, texts
    except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError, zlib.error):
        pass  # a second reading, three times as slow, finds the line
    with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as file:
        for where, row in read_lines(path, file):
            check_fields(where, row, {"uid": "a string", "text": "a string"})
    raise InputError(f"{path}: does not read as labels")


def files_of(run: Path) -> dict[str, str]:
    """Return the digests in a run's manifest, by path in the run."""
    return dict(json.loads((run / MANIFEST).read_text())["blake2b"])


def check_run(path: Path, index: bool = True, check: Check = "changed") -> list[str]:
    """Check a run folder against its manifest and return the names of its scorers; see :func:`load_run`."""
    names, hashes = _read_manifest(path)
    index_files = Index.open(path, digest(path / MANIFEST)) if index else None
    for name, wanted in (hashes | index_files.digests() if index_files else hashes).items():
        if check != "all" and index_files and (path / name).is_file() and index_files.is_unchanged(path, name, wanted):
            continue
        if not (path / name).is_file():
            raise InputError(f"{path / name}: missing")
        if check != "none" and digest(path / name) != wanted:
            raise InputError(f"{path / name}: altered since training (its hash differs from the manifest's)")
    for folder in _PARTS:  # libraries read what they find there
        for file in (path / folder).rglob("*"):
            if file.is_file() and not file.name.startswith(".") and str(file.relative_to(path)) not in hashes:
                raise InputError(f"{file}: found a file that {MANIFEST} does not list, expected none")
    return names


def _read_manifest(path: Path) -> tuple[list[str], dict[str, str]]:
    """Return the names of the scorers and the digests of the files."""
    if not path.is_dir():
        raise InputError(f"{path}: expected a run folder, found {'a file' if path.exists() else 'nothing'}")
    if not (path / MANIFEST).exists():
        state = "an unfinished run (ramen train --resume)" if (path / "config.yaml").exists() else "no run"
        raise InputError(f"{path}: expected a finished run with {MANIFEST}, found {state}")
    try:
        manifest = read_json(path / MANIFEST)
        version, hashes = int(manifest["format"]), dict(manifest["blake2b"])
        names = list(map(str, manifest["scorers"])) if version == FORMAT else []
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{path / MANIFEST}: not a manifest of a run") from error
    if version < FORMAT:
        again = "train it again: ramen train DATA --out NEW"
        raise InputError(f"{path}: found a run of format {version}, expected {FORMAT}; {again}")
    if version > FORMAT:
        raise InputError(f"{path}: found a run of format {version}, expected {FORMAT}: update ramen")
    for name in names:
        if name not in SCORERS:
            raise InputError(f"{path / MANIFEST}: unknown scorer {name!r}: {nearest(name, SCORERS)}")
        if not any(str(file).startswith(f"scorers/{name}/") for file in hashes):
            raise InputError(
                f"{path / MANIFEST}: lists no file of the scorer {name!r}, expected some in scorers/{name}"
            )
    if not names:
        raise InputError(f"{path / MANIFEST}: lists no scorer, expected one or more of {', '.join(SCORERS)}")
    for file, wanted in hashes.items():
        if not isinstance(wanted, str) or Path(file).is_absolute() or ".." in Path(file).parts:
            raise InputError(f"{path / MANIFEST}: blake2b: found {file!r}, expected hashes of files of the run")
        if Path(file).suffix not in _ENDINGS:
            raise InputError(f"{path / file}: found a file of this kind, expected one of {', '.join(_ENDINGS)}")
    for file in (LABELS, _RANKING):
        if file not in hashes:
            raise InputError(f"{path / MANIFEST}: blake2b: found no {file}, expected its hash")
    return names, hashes
