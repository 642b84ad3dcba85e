"""The run folder: what training writes and tagging reads; safetensors and json, checked against a manifest."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file

from ramen.data.dataset import Texts
from ramen.errors import InputError
from ramen.files import replacing
from ramen.inference.ranking import Fusion, Neighbours, Ranker

if TYPE_CHECKING:
    from ramen.encoders.base import Encoder

MANIFEST = "manifest.json"
FORMAT = 1
_HEAD, _FUSION, _INDEX, _LABELS = (
    "head/head.safetensors",
    "head/fusion.json",
    "index/neighbours.safetensors",
    "labels.jsonl.gz",
)


def save_run(
    out: Path,
    encoder: Encoder,
    head: np.ndarray,
    label_vectors: np.ndarray,
    neighbours: Neighbours,
    labels: Texts,
    fusion: Fusion,
    metrics: dict[str, Any],
) -> None:
    """Write encoder, head, neighbours and labels into a run folder; the manifest goes last and makes it a whole run.

    Args:
        out: the run folder.
        encoder: exported as a sentence-transformers folder.
        head: float32 (L, d), the head's vectors.
        label_vectors: float32 (L, d), the encoder's.
        neighbours: training points that vote.
        labels: uids and titles.
        fusion: the chosen weights.
        metrics: for ``metrics.json``.
    """
    for folder in ("encoder", "encoder.part"):
        shutil.rmtree(out / folder, ignore_errors=True)
    encoder.export(out / "encoder.part")
    (out / "encoder.part").rename(out / "encoder")
    for folder in ("head", "index"):
        (out / folder).mkdir(exist_ok=True)
    _save_tensors(out / _HEAD, {"head": head, "labels": label_vectors})
    targets = neighbours.targets
    _save_tensors(
        out / _INDEX,
        {
            "vectors": neighbours.vectors,
            "indptr": targets.indptr.astype(np.int64),
            "indices": targets.indices.astype(np.int32),
        },
    )
    with replacing(out / _FUSION) as part:
        part.write_text(json.dumps({**fusion.as_dict(), "k": neighbours.k}) + "\n")
    with (
        replacing(out / _LABELS) as part,
        part.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file,
    ):
        for uid, title in zip(labels.uids, labels.titles, strict=True):
            file.write((json.dumps({"uid": uid, "text": title}, ensure_ascii=False) + "\n").encode())
    write_metrics(out, metrics)
    files = sorted(
        p for p in out.rglob("*") if p.is_file() and p.relative_to(out).parts[0] in ("encoder", "head", "index")
    )
    hashes = {str(p.relative_to(out)): _digest(p) for p in [*files, out / _LABELS]}
    with replacing(out / MANIFEST) as part:
        part.write_text(json.dumps({"format": FORMAT, "blake2b": hashes}, indent=1) + "\n")


def write_metrics(out: Path, metrics: dict[str, Any]) -> None:
    """Merge figures into ``metrics.json``."""
    path = out / "metrics.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        merged = {**stored, **metrics}
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not the figures of a run: {error}; remove it to write it anew") from error
    with replacing(path) as part:
        part.write_text(json.dumps(merged, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass
class Run:
    """What a run folder holds for inference.

    Attributes:
        path: the folder.
        ranker: head, label vectors, neighbours and fusion weights.
        uids, texts: of the labels.
    """

    path: Path
    ranker: Ranker
    uids: list[str]
    texts: list[str]


def load_run(path: str | Path) -> Run:
    """Read a run folder and check it against its manifest.

    Raises:
        InputError: no run there, an unfinished one, one of a newer format, a missing file or one with another hash.
    """
    path = Path(path)
    check_run(path)
    tensors, index = load_file(path / _HEAD), load_file(path / _INDEX)
    stored = json.loads((path / _FUSION).read_text())
    k = stored.pop("k")
    indptr, indices = index["indptr"], index["indices"]
    shape = (len(index["vectors"]), len(tensors["head"]))
    targets = sp.csr_matrix((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=shape)
    neighbours = Neighbours(index["vectors"], targets, k)
    with gzip.open(path / _LABELS, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    ranker = Ranker(tensors["head"], tensors["labels"], neighbours, Fusion(**stored))
    return Run(path, ranker, [row["uid"] for row in rows], [row["text"] for row in rows])


def check_run(path: Path) -> None:
    """Check a run folder against its manifest; see :func:`load_run`."""
    if not path.is_dir():
        raise InputError(f"{path}: expected a run folder, found {'a file' if path.exists() else 'nothing'}")
    if not (path / MANIFEST).exists():
        state = "an unfinished run (ramen train --resume)" if (path / "config.yaml").exists() else "no run"
        raise InputError(f"{path}: expected a finished run with {MANIFEST}, found {state}")
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        found, hashes = manifest["format"], manifest["blake2b"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path / MANIFEST}: not a manifest of a run") from error
    if found != FORMAT:
        raise InputError(f"{path}: run of format {found}, this version reads {FORMAT}: update ramen")
    for name, wanted in hashes:
        if not (path / name).is_file():
            raise InputError(f"{path / name}: missing")
        if _digest(path / name) != wanted:
            raise InputError(f"{path / name}: differs from what training wrote (hash)")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _save_tensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    with replacing(path) as part:
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, part)
