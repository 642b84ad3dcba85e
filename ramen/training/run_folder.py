"""Opening a run folder: what may be written where, and whether a run to resume is the same one."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from ramen.config import Config, config_yaml, read_config
from ramen.data import Dataset
from ramen.errors import InputError, nearest
from ramen.files import replacing
from ramen.inference.artefact import MANIFEST

CHECKPOINTS = "checkpoints"


def chosen_graphs(graphs: str, dataset: Dataset) -> list[str]:
    """Graph kinds of ``none``, ``all`` or ``"a,b"``, sorted; an InputError names an unknown one."""
    if graphs == "none":
        return []
    if graphs == "all":
        return sorted(dataset.graphs)
    kinds = [kind.strip() for kind in graphs.split(",")]
    for kind in kinds:
        if kind not in dataset.graphs:
            raise InputError(f"unknown graph kind {kind!r} in {dataset.path}: {nearest(kind, dataset.graphs)}")
    return sorted(set(kinds))


def dataset_digest(dataset: Dataset) -> str:
    """A text that differs where training would see another data set."""
    digest = hashlib.blake2b(digest_size=16)
    parts = [column for part in (dataset.train, dataset.labels) for column in (part.uids, part.titles, part.contents)]
    for column in (*parts, *(graph.anchors for graph in dataset.graphs.values())):
        digest.update("\n".join(column).encode("utf-8", "surrogatepass"))
    links = [side for graph in dataset.graphs.values() for side in (graph.points, graph.labels) if side is not None]
    bags = [dataset.features.train] if dataset.features is not None else []
    for matrix in (dataset.train_targets, *links, *bags):
        digest.update(matrix.indptr.astype(np.int64).tobytes() + matrix.indices.astype(np.int64).tobytes())
    points, labels = dataset.train_targets.shape
    return f"{points} points, {labels} labels, {dataset.train_targets.nnz} pairs, {digest.hexdigest()}"


def check_out(out: Path, resume: bool) -> None:
    """Refuse a folder that is taken, or that has no run to resume."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: expected a folder, found a file")
    if (out / MANIFEST).exists():
        raise InputError(f"{out}: already holds a finished run; name another --out")
    if resume and not (out / "config.yaml").exists():
        raise InputError(f"{out}: no run to resume there")
    if not resume and (out / "config.yaml").exists():
        raise InputError(f"{out}: holds an unfinished run; add --resume to go on, or name another --out")
    if not resume and out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: the folder is not empty; name another --out")


def open_run(out: Path, config: Config, dataset: Dataset) -> None:
    """Make the run folder with its settings, or check that a resumed one has the same."""
    facts = {"points": len(dataset.train), "labels": len(dataset.labels), "pairs": int(dataset.train_targets.nnz)}
    (out / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise InputError(f"{out}: no permission to write there")
    if (out / "config.yaml").exists():
        if read_config(out / "config.yaml") != config:
            raise InputError(f"{out}: the run to resume has other settings; see {out / 'config.yaml'}")
        stored = json.loads((out / CHECKPOINTS / "data.json").read_text())
        if stored != facts:
            raise InputError(f"{out}: the run to resume was of another data set: {stored}, found {facts}")
        return
    with replacing(out / CHECKPOINTS / "data.json") as part:
        part.write_text(json.dumps(facts))
    with replacing(out / "config.yaml") as part:
        part.write_text(config_yaml(config), encoding="utf-8")
