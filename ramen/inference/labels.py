"""Labels that come and go without training: added from their texts, removed, renamed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError, nearest
from ramen.files import clear_errors, digest
from ramen.inference.journal import append, read_changes, writing
from ramen.inference.run import MANIFEST, Run
from ramen.inference.tagger import Tagger, text_problem
from ramen.scorers.base import NewLabels, save_tensors, unit_rows

_FIELDS = ("uid", "text", "examples")
_NAME = 120  # characters of an example's name
_HINTED = 20_000  # labels up to which a wrong uid gets a hint


def add_labels(run: str | Path, labels: Iterable[dict[str, Any]]) -> int:
    """Add labels to a run; it finds them from the next load on, without training.

    A label gets the vector of its text through the encoder's label map, moved to the middle between it and its
    examples' mean; and from every scorer the part that its ``extend`` describes.

    Args:
        run: finished run folder, of a run with an encoder.
        labels: ``{"uid": str, "text": str}``, perhaps with ``"examples"``, a list of texts that it fits.

    Returns:
        How many were added: all, or none when one is wrong.

    Raises:
        InputError: a field that is missing, unknown or of another type, a uid that is there already or twice, a blank
            text; a run that keeps no maps.
        WorkError: the disk is full; no label was added.

    Example:
        ``add_labels("runs/a", [{"uid": "B07", "text": "solar charger", "examples": ["charge a phone in the sun"]}])``
    """
    run, entries = Path(run), [_checked(label, number) for number, label in enumerate(labels, 1)]
    if not entries:
        return 0
    with writing(run) as folder:
        tagger = Tagger.load(run)
        if _extension_map(tagger) is None:
            raise InputError(f"{run}: a run over bags of words, expected one with an encoder of texts to add labels to")
        known, seen = set(live_uids(tagger.run)), set[str]()
        for number, entry in enumerate(entries, 1):
            if entry["uid"] in known or entry["uid"] in seen:
                raise InputError(f"label {number}: uid {entry['uid']!r} is there already; rename or remove it first")
            seen.add(entry["uid"])
        manifest = digest(run / MANIFEST)
        name = f"added-{len(read_changes(run, manifest).added) + 1:06}.safetensors"
        with clear_errors(folder / name):
            save_tensors(folder / name, _segment(tagger, entries))
            told = [{"uid": entry["uid"], "text": entry["text"]} for entry in entries]
            change = {"op": "add", "segment": name, "blake2b": digest(folder / name), "labels": told}
            append(folder, manifest, change)
    return len(entries)


def remove_labels(run: str | Path, uids: Sequence[str]) -> int:
    """Remove labels: no text gets them from the next load on.

    Raises:
        InputError: a uid that the run does not have, or that is named twice; then none is removed.
    """
    run = Path(run)
    with writing(run) as folder:
        _check_known(Tagger.load(run).run, uids)
        if uids:
            append(folder, digest(run / MANIFEST), {"op": "remove", "uids": list(uids)})
    return len(uids)


def rename_label(run: str | Path, uid: str, text: str) -> None:
    """Show another text for a label; what finds it stays as it is.

    Raises:
        InputError: a uid that the run does not have, or a blank text.
    """
    run = Path(run)
    problem = text_problem(text)
    if problem:
        raise InputError(f"text of {uid!r}: {problem}")
    with writing(run) as folder:
        _check_known(Tagger.load(run).run, [uid])
        append(folder, digest(run / MANIFEST), {"op": "rename", "uid": uid, "text": text})


def live_uids(run: Run) -> Iterator[str]:
    """Uids of the labels that a text can get."""
    for label, uid in enumerate(run.uids):
        if run.removed is None or not run.removed[label]:
            yield uid


def read_labels(path: Path, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Labels of a file of JSON lines.

    Raises:
        InputError: a line that is no JSON object.
    """
    for number, line in enumerate(lines, 1):
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
        raise InputError(f"{where}: uid {uid!r}: expected printable characters, not only blanks")
    examples = label.get("examples", [])
    if not isinstance(examples, list):
        raise InputError(f"{where}: examples: expected a list of texts, found {type(examples).__name__}")
    for named, text in (("text", label["text"]), *((f"example {at}", one) for at, one in enumerate(examples, 1))):
        problem = text_problem(text)
        if problem:
            raise InputError(f"{where}: {named}: {problem}")
    return {"uid": uid, "text": label["text"], "examples": examples}


def _check_known(run: Run, uids: Sequence[str]) -> None:
    known, seen = set(live_uids(run)), set[str]()
    for uid in uids:
        if uid not in known:
            close = get_close_matches(uid, known, n=1) if len(known) <= _HINTED else []
            hint = f"did you mean {close[0]!r}?" if close else "ramen labels list RUN shows them"
            raise InputError(f"{run.path}: has no label {uid!r}: {hint}")
        if uid in seen:
            raise InputError(f"label {uid!r}: named twice")
        seen.add(uid)


def _segment(tagger: Tagger, entries: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The arrays of added labels, prefixed by the scorer's name; :mod:`ramen.inference.changed_labels` reads them."""
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
    shown = tagger.encode(examples) if examples else vectors[:0]
    # Points have the vectors that their labels should have: examples together say as much as the text.
    means = (links @ shown) / np.maximum(np.array(counts), 1)[:, None]
    label_vectors = unit_rows(unit_rows(vectors @ _extension_map(tagger)) + means)
    words = tagger.run.words
    of_texts, of_examples = (words.transform(some) if words else None for some in (texts, examples))
    names, shown_names = ([text.partition("\n")[0][:_NAME] for text in some] for some in (texts, examples))
    return NewLabels(vectors, of_texts, names, (shown, of_examples, shown_names), links, label_vectors)


def _extension_map(tagger: Tagger) -> np.ndarray | None:
    """From the vector of a new label's text to the label's vector; None for a run over bags of words."""
    return tagger.trained["encoder"].extension_map
