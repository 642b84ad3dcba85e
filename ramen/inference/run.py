"""The run folder, which training writes and tagging reads: safetensors and JSON, checked against a manifest."""

from __future__ import annotations

import gzip
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ramen.encoders.bag_of_words import BagFeatures, BagOfWordsEncoder
from ramen.encoders.word_features import WordFeatures
from ramen.errors import InputError, nearest
from ramen.files import digest, replacing
from ramen.inference.changed_labels import with_changes
from ramen.inference.index import Index
from ramen.inference.journal import Changes, read_changes
from ramen.ranking.calibration import Calibration
from ramen.ranking.learned import TREES, LearnedRanking
from ramen.ranking.ranker import Ranker, load_kernels
from ramen.scorers.base import Scorer, TrainedScorer, title_of
from ramen.scorers.registry import SCORERS

if TYPE_CHECKING:
    from ramen.data.dataset import Texts
    from ramen.encoders.base import Encoder

MANIFEST = "manifest.json"
FORMAT = 5
_PARTS = ("encoder", "words", "scorers", "ranking")  # folders whose files are in the manifest
_RANKING, _LABELS = "ranking/ranking.json", "labels.jsonl.gz"


@dataclass
class Ranking:
    """The ranking of a run.

    Attributes:
        weights: of the scorers in the weighted sum.
        learned: replaces the weighted sum, or None.
        calibration: of the joint scores, from :meth:`Calibration.facts`.
    """

    weights: dict[str, float]
    learned: LearnedRanking | None = None
    calibration: dict[str, list[float]] | None = None

    def save(self, folder: Path) -> None:
        """Write the ranking into a new folder."""
        folder.mkdir()
        facts = {"weights": self.weights, "calibration": self.calibration}
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
        replacing(out / _LABELS) as part,
        part.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file,
    ):
        for uid, title in zip(labels.uids, labels.titles, strict=True):
            file.write((json.dumps({"uid": uid, "text": title}, ensure_ascii=False) + "\n").encode())
    write_metrics(out, metrics)
    files = sorted(path for folder in _PARTS for path in (out / folder).rglob("*") if path.is_file())
    hashes = {str(path.relative_to(out)): digest(path) for path in [*files, out / _LABELS]}
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
        removed: bool (L,), True for removed labels, which stay in ``uids``; or None.
        trained: the scorers without labels added after training.
    """

    path: Path
    words: WordFeatures | BagFeatures | None
    ranker: Ranker
    uids: Sequence[str]
    texts: Sequence[str]
    calibration: Calibration | None = None
    removed: np.ndarray | None = None
    trained: dict[str, TrainedScorer] = field(default_factory=dict)


def load_run(path: str | Path, index: bool = True, labels: bool = True, checked: bool = False) -> Run:
    """Load a run folder and check it against its manifest.

    Large arrays are memory-mapped, so processes share them. With an index, only files whose size or modification time
    changed are hashed again.

    Args:
        path: the folder.
        index: use the run's index, if it has one.
        labels: apply the labels added, removed and renamed after training.
        checked: hash no file, as that was done for this folder, which nobody changes: see :mod:`ramen.serve.snapshot`.

    Raises:
        InputError: there is no finished run of this format; a file is missing or altered; a scorer is unknown or has
            another number of labels; or the index is of another run.
    """
    path = Path(path)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(check_run, path, index, checked)
        load_kernels()  # in parallel: hashing releases the GIL
        names = reading.result()
    manifest = digest(path / MANIFEST)
    index_files = Index.open(path, manifest) if index else None
    trained = {name: SCORERS[name].load(path / "scorers" / name) for name in names}
    ranking, calibration = _read_ranking(path, names)
    words = _read_words(path / "words", index_files)
    uids: Sequence[str]
    texts: Sequence[str]
    if index_files:
        uids, texts = index_files.strings("uids"), index_files.strings("texts")
        index_files.attach(trained)
    else:
        uids, texts = _read_labels(path / _LABELS)
    for name, scorer in trained.items():
        if scorer.n_labels != len(uids):
            raise InputError(
                f"{path / 'scorers' / name}: found {scorer.n_labels} labels, expected {len(uids)} as in {_LABELS}"
            )
    changes = read_changes(path, manifest) if labels else Changes()
    learned = None
    if "learned" in ranking:
        learned = LearnedRanking.load(path / "ranking", ranking["learned"], trained, ranking["weights"])
        added = [label["text"] for line in changes.added for label in line["labels"]]
        if added:
            assert isinstance(words, WordFeatures)
            learned = learned.with_more(words.transform(added), [title_of(text) for text in added], added)
    scorers, removed = dict[str, Scorer](trained), None
    if changes:
        scorers, uids, texts, removed = with_changes(path, trained, uids, texts, changes)
    ranker = Ranker(scorers, ranking["weights"], learned)
    return Run(path, words, ranker, uids, texts, calibration, removed, trained)


def _read_words(folder: Path, index_files: Index | None) -> WordFeatures | BagFeatures | None:
    if not folder.is_dir():
        return None
    if BagFeatures.is_in(folder):
        return BagFeatures.load(folder)
    return WordFeatures.load(folder, index_files.strings("words") if index_files else None)


def _read_ranking(path: Path, names: Sequence[str]) -> tuple[dict[str, Any], Calibration | None]:
    """Read ``ranking.json`` and its calibration; an InputError names the invalid entry."""
    file = path / _RANKING
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        for name in names:
            if not math.isfinite(facts["weights"][name]):
                raise ValueError(f"weights: {name}: found {facts['weights'][name]}, expected a number")
        if "learned" not in facts and not any(facts["weights"][name] for name in names):
            raise ValueError("weights: all are 0")
        if ("learned" in facts) != (path / "ranking" / TREES).is_file():
            raise ValueError(f"learned: expected exactly where there is a {TREES}")
        return facts, Calibration.read(facts["calibration"] if "learned" in facts else facts.get("calibration"))
    except KeyError as error:
        raise InputError(f"{file}: lacks {error}, expected what training wrote") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: not what training wrote: {error}") from error


def _read_labels(path: Path) -> tuple[list[str], list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row["uid"] for row in rows], [row["text"] for row in rows]


def files_of(run: Path) -> dict[str, str]:
    """Return the digests in a run's manifest, by path in the run."""
    return dict(json.loads((run / MANIFEST).read_text())["blake2b"])


def check_run(path: Path, index: bool = True, checked: bool = False) -> list[str]:
    """Check a run folder against its manifest and return the names of its scorers; see :func:`load_run`."""
    if not path.is_dir():
        raise InputError(f"{path}: expected a run folder, found {'a file' if path.exists() else 'nothing'}")
    if not (path / MANIFEST).exists():
        state = "an unfinished run (ramen train --resume)" if (path / "config.yaml").exists() else "no run"
        raise InputError(f"{path}: expected a finished run with {MANIFEST}, found {state}")
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        version, hashes = int(manifest["format"]), dict(manifest["blake2b"])
        names = list(map(str, manifest["scorers"])) if version == FORMAT else []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path / MANIFEST}: not a manifest of a run") from error
    if version < FORMAT:
        again = "train it again: ramen train DATA --out NEW"
        raise InputError(f"{path}: found a run of format {version}, expected {FORMAT}; {again}")
    if version > FORMAT:
        raise InputError(f"{path}: found a run of format {version}, expected {FORMAT}: update ramen")
    for name in names:
        if name not in SCORERS:
            raise InputError(f"{path / MANIFEST}: unknown scorer {name!r}: {nearest(name, SCORERS)}")
        if not any(file.startswith(f"scorers/{name}/") for file in hashes):
            raise InputError(
                f"{path / MANIFEST}: lists no file of the scorer {name!r}, expected some in scorers/{name}"
            )
    if not names:
        raise InputError(f"{path / MANIFEST}: lists no scorer, expected one or more of {', '.join(SCORERS)}")
    index_files = Index.open(path, digest(path / MANIFEST)) if index else None
    for name, wanted in (hashes | index_files.digests() if index_files else hashes).items():
        if index_files and (path / name).is_file() and index_files.is_unchanged(path, name, wanted):
            continue
        if not (path / name).is_file():
            raise InputError(f"{path / name}: missing")
        if not checked and digest(path / name) != wanted:
            raise InputError(f"{path / name}: altered since training (its hash differs from the manifest's)")
    return names
