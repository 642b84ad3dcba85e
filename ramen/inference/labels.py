"""Add labels from their texts, remove and rename labels, all without training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.encoders.bag_of_words import BagOfWordsEncoder
from ramen.errors import InputError, nearest
from ramen.files import clear_errors, digest
from ramen.inference.journal import append, read_changes, writing
from ramen.inference.run import MANIFEST, Run
from ramen.inference.tagger import Tagger, text_problem
from ramen.scorers.base import NewLabels, save_tensors, unit_rows
from ramen.scorers.vectors import VectorScorer
from ramen.text import composed

_FIELDS = ("uid", "text", "examples")
_NAME = 120  # characters of an example's name
_HINTED = 20_000  # labels up to which the error for an unknown uid suggests a similar one


def add_labels(run: str | Path, labels: Iterable[dict[str, Any]]) -> int:
    """Add labels to a run without training; the next load of the run predicts them.

    The vector of a label is the vector of its text, mapped by the encoder's label map and averaged with the mean of its
    examples. Each scorer derives its parameters as its ``extend`` describes. Uids are kept in NFC, as in data sets.

    Args:
        run: finished run folder, with an encoder of texts.
        labels: ``{"uid": str, "text": str}``, optionally with ``"examples"``, a list of texts that have the label.

    Returns:
        The number of labels added: all of them, or none if one is invalid.

    Raises:
        InputError: a field is missing, unknown or of another type; a uid exists already or occurs twice; a text is
            blank; the run is over bags of words.
        WorkError: the disk is full; no label was added.

    Example:
        ``add_labels("runs/a", [{"uid": "B07", "text": "solar charger", "examples": ["charge a phone in the sun"]}])``
    """
    run, entries = Path(run), [_checked(label, number) for number, label in enumerate(labels, 1)]
    if not entries:
        return 0
    with writing(run) as folder:
        tagger = Tagger.load(run)
        _check_can_grow(tagger)
        present = set(map(composed, live_uids(tagger.run)))
        for number, entry in enumerate(entries, 1):
            if entry["uid"] in present:
                raise InputError(f"label {number}: uid {entry['uid']!r} exists already; rename or remove it first")
            present.add(entry["uid"])
        manifest = digest(run / MANIFEST)
        name = f"added-{len(read_changes(run, manifest).added) + 1:06}.safetensors"
        with clear_errors(folder / name):
            save_tensors(folder / name, _segment(tagger, entries))
            records = [{"uid": entry["uid"], "text": entry["text"]} for entry in entries]
            change = {"op": "add", "segment": name, "blake2b": digest(folder / name), "labels": records}
            append(folder, manifest, change)
    return len(entries)


def remove_labels(run: str | Path, uids: Sequence[str]) -> int:
    """Remove labels; the next load of the run no longer predicts them.

    A uid may be in any form of Unicode (macOS writes accents apart, NFD).

    Raises:
        InputError: a uid is unknown or occurs twice; no label was removed.
    """
    run = Path(run)
    with writing(run) as folder:
        found = _checked_uids(Tagger.load(run).run, uids)
        if found:
            append(folder, digest(run / MANIFEST), {"op": "remove", "uids": found})
    return len(uids)


def rename_label(run: str | Path, uid: str, text: str) -> None:
    """Change the displayed text of a label; its predictions do not change. The uid is read as by :func:`remove_labels`.

    Raises:
        InputError: the uid is unknown, or the text is blank.
    """
    run = Path(run)
    problem = text_problem(text)
    if problem:
        raise InputError(f"text of {uid!r}: {problem}")
    with writing(run) as folder:
        (found,) = _checked_uids(Tagger.load(run).run, [uid])
        append(folder, digest(run / MANIFEST), {"op": "rename", "uid": found, "text": text})


def live_uids(run: Run) -> Iterator[str]:
    """Yield the uids of the labels that are not removed."""
    for label, uid in enumerate(run.uids):
        if run.removed is None or not run.removed[label]:
            yield uid


def read_labels(path: Path, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the labels of a file of JSON lines.

    Raises:
        InputError: a line is not a JSON object.
    """
    for number, line in enumerate(lines, 1):
        line = line.removeprefix("\ufeff") if number == 1 else line  # the byte order mark that some editors write
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: not JSON: {error}") from error
        if not isinstance(entry, dict):
            raise InputError(f"{path}, line {number}: expected an object with uid and text, found {line.strip()[:40]}")
        yield entry


def _checked(label: dict[str, Any], number: int) -> dict[str, Any]:
    where = f"label {number}"
    for key in label:
        if key not in _FIELDS:
            raise InputError(f"{where}: unknown field {key!r}: {nearest(str(key), _FIELDS)}")
    for key in ("uid", "text"):
        if not isinstance(label.get(key), str):
            raise InputError(f"{where}: {key}: expected a string, found {type(label.get(key)).__name__}")
    uid = label["uid"]
    if not uid.strip() or not uid.isprintable():
        raise InputError(f"{where}: uid {uid!r}: expected printable characters, not only spaces")
    examples = label.get("examples", [])
    if not isinstance(examples, list):
        raise InputError(f"{where}: examples: expected a list of texts, found {type(examples).__name__}")
    numbered = ((f"example {at}", example) for at, example in enumerate(examples, 1))
    for key, text in (("text", label["text"]), *numbered):
        problem = text_problem(text)
        if problem:
            raise InputError(f"{where}: {key}: {problem}")
    return {"uid": composed(uid), "text": label["text"], "examples": examples}


def _checked_uids(run: Run, uids: Sequence[str]) -> list[str]:
    """Return the uids as the run has them: a run of an old data folder may have uids that are not in NFC."""
    present, seen = set(live_uids(run)), dict[str, None]()
    by_form = {} if present.issuperset(uids) else {composed(uid): uid for uid in present}
    for uid in uids:
        known = uid if uid in present else by_form.get(composed(uid))
        if known is None:
            close = get_close_matches(uid, present, n=1) if len(present) <= _HINTED else []
            hint = f"did you mean {close[0]!r}?" if close else "list them with ramen labels list RUN"
            raise InputError(f"{run.path}: has no label {uid!r}: {hint}")
        if known in seen:
            raise InputError(f"label {uid!r}: found twice, expected once")
        seen[known] = None
    return list(seen)


def _segment(tagger: Tagger, entries: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return the arrays of added labels, prefixed by the scorer's name, for :mod:`ramen.inference.changed_labels`."""
    labels = _new_labels(tagger, entries)
    return {
        f"{name}.{key}": array
        for name, scorer in tagger.trained.items()
        for key, array in scorer.extend(labels).items()
    }


def _new_labels(tagger: Tagger, entries: list[dict[str, Any]]) -> NewLabels:
    texts = [entry["text"] for entry in entries]
    examples = [text for entry in entries for text in entry["examples"]]
    counts = [len(entry["examples"]) for entry in entries]
    label = np.repeat(np.arange(len(entries)), counts)
    pairs = (np.ones(len(label), np.float32), (label, np.arange(len(label))))
    links = sp.csr_matrix(pairs, shape=(len(entries), len(examples)))
    vectors = tagger.encode(texts)
    of_points = tagger.encode(examples) if examples else vectors[:0]
    # Points and labels share a space: the mean of the examples weighs as much as the text.
    means = (links @ of_points) / np.maximum(np.array(counts), 1)[:, None]
    label_vectors = unit_rows(unit_rows(vectors @ _extension_map(tagger)) + means)
    words = tagger.run.words
    of_texts, of_examples = (words.transform(part) if words else None for part in (texts, examples))
    names, point_names = ([text.partition("\n")[0][:_NAME] for text in part] for part in (texts, examples))
    return NewLabels(vectors, of_texts, names, (of_points, of_examples, point_names), links, label_vectors)


def _check_can_grow(tagger: Tagger) -> None:
    run, scorers = tagger.run.path, tagger.trained
    if isinstance(tagger.encoder, BagOfWordsEncoder):
        raise InputError(f"{run}: found a run over bags of words, expected one with an encoder of texts")
    if "encoder" not in scorers:
        raise InputError(f"{run}: found no scorer 'encoder', expected one to add labels")
    for name, scorer in scorers.items():
        if isinstance(scorer, VectorScorer) and scorer.extension_map is None:
            raise InputError(f"{run / 'scorers' / name}: found no array extension_map, expected one to add labels")


def _extension_map(tagger: Tagger) -> np.ndarray | None:
    """Return the map from a new label's text vector to its label vector; None for a run over bags of words."""
    return tagger.trained["encoder"].extension_map
