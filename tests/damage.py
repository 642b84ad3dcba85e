"""Damages files of a run and mends every hash, as one would who crafts a run."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from ramen.files import digest
from ramen.inference.index import stamp

# Arrays of an index of which any whole number is a valid one: bits, and counts of them.
ANY_NUMBER = {"signs", "counts"}


def mend(run):
    """Let the manifest, the index and the journal have the hashes of the files as they are."""
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["blake2b"] = {name: digest(run / name) for name in manifest["blake2b"]}
    path.write_text(json.dumps(manifest))
    facts = run / "index/index.json"
    if facts.exists():
        stored = json.loads(facts.read_text())
        stored["files"] = {name: [*stamp(run / name), digest(run / name)] for name in stored["files"]}
        facts.write_text(json.dumps(stored | {"of": digest(path)}))
    journal = run / "labels/journal.jsonl"
    if journal.exists():
        head, *lines = map(json.loads, journal.read_text().splitlines())
        head["of"] = digest(path)
        for line in lines:
            if "segment" in line:
                line["blake2b"] = digest(run / "labels" / line["segment"])
        journal.write_text("".join(json.dumps(line) + "\n" for line in (head, *lines)))


def damaged_tensors(path: Path):
    """Yield what is wrong, and write a file with that wrong: each array in each way, and the file as such."""
    whole, arrays = path.read_bytes(), load_file(path)
    for name, array in arrays.items():
        others = {key: other for key, other in arrays.items() if key != name}
        save_file(others or {"unknown": array}, path)
        yield f"{name}: missing"
        for what, wrong in damaged_arrays(name, array):
            save_file({**others, name: np.ascontiguousarray(wrong)}, path)
            yield f"{name}: {what}"
    for what, content in {"cut short": whole[:-7], "empty": b"", "no tensors": b"\xff" * 99}.items():
        path.write_bytes(content)
        yield what
    path.write_bytes(whole)


def damaged_arrays(name, array):
    yield "wrong type", array.astype("i4" if array.dtype.kind == "f" else "f4")
    yield "wrong shape", array[None]
    if not array.size:
        return
    yield "shorter", array[:-1] if array.ndim == 1 else array[:, :-1]
    if array.dtype.kind == "f":
        values = {"nan": np.nan, "infinity": np.inf}
    elif name in ANY_NUMBER and array.dtype.kind == "u":
        values = {}
    else:
        limits = np.iinfo(array.dtype)
        values = {"too large": limits.max, "negative": limits.min + 1} if limits.min else {"too large": limits.max}
    for what, value in values.items():
        wrong = array.copy()
        wrong.reshape(-1)[array.size // 2] = value
        yield what, wrong


def damaged_json(path: Path, optional: set[str]):
    """Yield what is wrong, and write a file with that wrong: as such, and each key that is not optional."""
    whole = path.read_text()
    for what, content in {
        "cut short": whole[: len(whole) // 2], "empty": "", "no object": "5", "null": "null", "deep": "[" * 200_000,
    }.items():  # fmt: skip
        path.write_text(content)
        yield what
    stored = json.loads(whole)
    record = stored[0] if isinstance(stored, list) else stored
    for key in [key for key in record if key not in optional]:
        value = record.pop(key)
        path.write_text(json.dumps(stored))
        yield f"{key}: missing"
        for what, wrong in {"null": None, "wrong type": [[1]]}.items():
            record[key] = wrong
            path.write_text(json.dumps(stored))
            yield f"{key}: {what}"
        record[key] = value
    path.write_text(whole)
