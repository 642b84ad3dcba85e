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
from ramen.inference.artefact import MANIFEST, MAPS, Run
from ramen.inference.journal import append, read_changes, writing
from ramen.inference.tagger import Tagger, text_problem
from ramen.mapped import StringTable, map_tensors
from ramen.scorers.base import save_tensors
from ramen.scorers.neighbours import Neighbours
from ramen.scorers.sparse.prior import word_prior
from ramen.scorers.sparse.scorer import SparseWords
from ramen.scorers.sparse.words import WordFeatures
from ramen.scorers.vectors import LabelVectors

_FIELDS = ("uid", "text", "examples")
_NAME = 120  # characters of an example's name
_HINTED = 20_000  # labels up to which a wrong uid gets a hint


def add_labels(run: str | Path, labels: Iterable[dict[str, Any]]) -> int:
    """Add labels to a run; it finds them from the next load on, without training.

    A label gets the vector of its text through the encoder's label map, moved to the middle between it and its
    examples' mean; a row of the head as labels of such vectors have; weights on the words of its text and examples; and
    both as points among the neighbours. Source of the words' part: the prior of the sparse head,
    :func:`ramen.scorers.sparse.prior.word_prior`.

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
        if not (run / MAPS).exists():
            raise InputError(f"{run}: keeps no {MAPS}: a run over given words, or of an older version; train it anew")
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
    """The arrays of added labels, by scorer, as :func:`ramen.inference.grow.grown` reads them."""
    maps, texts = map_tensors(tagger.run.path / MAPS), [entry["text"] for entry in entries]
    vectors = tagger.encode(texts)
    counts = [len(entry["examples"]) for entry in entries]
    examples = [text for entry in entries for text in entry["examples"]]
    shown = tagger.encode(examples) if examples else vectors[:0]
    of = np.repeat(np.arange(len(entries)), counts)
    links = sp.csr_matrix((np.ones(len(of), np.float32), (of, np.arange(len(of)))), shape=(len(entries), len(examples)))
    # Points have the vectors that their labels should have: examples together say as much as the text.
    means = (links @ shown) / np.maximum(np.array(counts), 1)[:, None]
    rows = _unit(_unit(vectors @ maps["encoder"]) + means)
    arrays: dict[str, np.ndarray] = {}
    for name, scorer in tagger.trained.items():
        if isinstance(scorer, LabelVectors):
            arrays[name] = rows if name == "encoder" else rows @ maps[name]
        elif isinstance(scorer, Neighbours):
            # The text itself is a point, too: a label without examples would get no votes at all.
            arrays[name] = np.concatenate([vectors, shown])
            arrays[f"{name}.of"] = np.concatenate([np.arange(len(entries)), of]).astype(np.int32)
            table = StringTable.of(text.partition("\n")[0][:_NAME] for text in [*texts, *examples])
            arrays |= {f"{name}.text": table.text, f"{name}.ends": table.ends}
        elif isinstance(scorer, SparseWords):
            assert isinstance(tagger.run.words, WordFeatures)
            strength, bias = maps[name].tolist()
            words = tagger.run.words.transform
            weights = word_prior(words(texts), [(links, words(examples), 1.0)], strength, max_degree=1)
            arrays |= {
                f"{name}.indptr": weights.indptr.astype(np.int64),
                f"{name}.indices": weights.indices.astype(np.int32),
                f"{name}.data": weights.data,
                f"{name}.bias": np.full(len(entries), bias, dtype=np.float32),
            }
    return arrays


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
