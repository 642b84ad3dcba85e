"""``ramen.train``: choose on a split cut from training, then train on everything, and write the run folder."""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ramen.config import Config, config_yaml, load_config, read_config
from ramen.data import Dataset, load_dataset
from ramen.encoders.backbone import find_backbone
from ramen.encoders.base import Encoder, Tokens
from ramen.encoders.build import build_encoder
from ramen.errors import InputError, nearest
from ramen.files import raise_clearly, replacing
from ramen.inference.artefact import MANIFEST, save_run
from ramen.inference.evaluation import evaluate
from ramen.inference.ranking import Fusion, Neighbours
from ramen.training.checkpoint import Checkpoint
from ramen.training.fusion import make_validation
from ramen.training.split import Split, cut, whole
from ramen.training.stage1 import pair_matrix, train_encoder
from ramen.training.stage2 import choose, fit, fit_epochs

_CHECKPOINTS = "checkpoints"
logger = logging.getLogger("ramen")


def train(
    data: Dataset | str | Path,
    preset: str = "static",
    out: str | Path = "run",
    graphs: str = "all",
    seed: int = 0,
    overrides: Iterable[str] = (),
    resume: bool = False,
) -> Path:
    """Train an encoder and a head on a data set, and write a run folder.

    Args:
        data: a data set or its folder.
        preset: ``static`` or ``transformer``.
        out: run folder to write; it must not exist, or with ``resume`` hold an unfinished run of the same settings.
        graphs: ``none``, ``all`` or kinds as in ``"a,b"``.
        seed: of everything random.
        overrides: settings such as ``"stage1.epochs=5"``.
        resume: go on from the last checkpoint.

    Returns:
        ``out``, with what ``docs/architecture.md`` lists. Metrics of the test split, where there is one, are in
        ``metrics.json`` under ``"test"``; nothing was chosen by them.

    Raises:
        InputError: of the call, the data set, the settings or the folder.
        WorkError: the disk is full; the last checkpoint survives.

    Example:
        ``ramen.train("data/planted", out="runs/planted", graphs="links")``
    """
    config = load_config(preset, overrides)
    config.seed = seed
    out = Path(out)
    _check_out(out, resume)
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    config.graphs = _chosen_graphs(graphs, dataset)
    if not dataset.train_targets.nnz:
        raise InputError(f"{dataset.path}: no training point has a label")
    find_backbone(config.encoder.backbone)  # a misspelt one leaves no run folder behind
    try:
        _open(out, config, dataset)
        _train(dataset, config, out)
    except OSError as error:
        raise_clearly(error, out)
        raise
    return out


def _train(dataset: Dataset, config: Config, out: Path) -> None:
    torch.manual_seed(config.seed)
    log = _Log(out / "log.jsonl")
    texts = {"points": dataset.train.joined(), "labels": dataset.labels.joined()}
    texts.update({kind: dataset.graphs[kind].anchors for kind in config.graphs})
    encoder = build_encoder(config, texts["points"] + texts["labels"])
    tokens = {name: encoder.tokenize(rows) for name, rows in texts.items()}
    del texts

    fusion, epochs, figures = _choose(encoder, dataset, tokens, config, out, log)
    everything = whole(dataset)
    _train_stage1(encoder, dataset, tokens, everything, config, out / _CHECKPOINTS / "final.safetensors", log)
    points, labels = encoder.encode(tokens["points"]), encoder.encode_labels(tokens["labels"])
    filtered = pair_matrix(dataset.train_filter, dataset.train_targets.shape)
    head = fit(fit_epochs(points, labels, dataset.train_targets, filtered, config), epochs, log)
    neighbours = Neighbours(points.numpy(), dataset.train_targets, config.neighbours.k)
    chosen = {"head_epochs": epochs, **fusion.as_dict()}
    save_run(
        out,
        encoder,
        head.numpy(),
        labels.numpy(),
        neighbours,
        dataset.labels,
        fusion,
        {"chosen": chosen, "validation": figures},
    )
    shutil.rmtree(out / _CHECKPOINTS)
    if len(dataset.test):
        del encoder, head, labels, points, tokens
        evaluate(out, dataset, save=True)


def _choose(
    encoder: Encoder, dataset: Dataset, tokens: dict[str, Tokens], config: Config, out: Path, log: _Log
) -> tuple[Fusion, int, dict[str, float]]:
    """Fusion weights, head epochs and their validation figures, from a run on a part of the training points."""
    stored = out / _CHECKPOINTS / "chosen.json"
    if stored.exists():
        kept = json.loads(stored.read_text())
        return Fusion(**kept["fusion"]), kept["epochs"], kept["figures"]
    start_vectors = encoder.encode(tokens["points"]).numpy()
    split = cut(dataset, start_vectors, config.validation.share, config.validation.max_points, config.seed)
    if not len(split.held_out):
        log(stage="choose", note="too few training points to hold any out: equal weights, one head epoch")
        return Fusion(0.5, 0.5, 0.5, 0.1), min(1, config.head.epochs), {}
    trial = copy.deepcopy(encoder)
    _train_stage1(trial, dataset, tokens, split, config, out / _CHECKPOINTS / "choose.safetensors", log)
    points, labels = trial.encode(tokens["points"]), trial.encode_labels(tokens["labels"])
    del trial
    filtered = pair_matrix(dataset.train_filter, dataset.train_targets.shape)
    targets = split.targets[split.rows]
    fitted = points[torch.from_numpy(split.rows)]
    validation = make_validation(
        points.numpy()[split.held_out], labels.numpy(), Neighbours(fitted.numpy(), targets, config.neighbours.k),
        split.truth, filtered[split.held_out], (dataset.card.A, dataset.card.B),
    )  # fmt: skip
    epochs, fusion, figures = choose(fit_epochs(fitted, labels, targets, filtered[split.rows], config), validation, log)
    with replacing(stored) as part:
        part.write_text(json.dumps({"fusion": fusion.as_dict(), "epochs": epochs, "figures": figures}))
    (out / _CHECKPOINTS / "choose.safetensors").unlink(missing_ok=True)
    return fusion, epochs, figures


def _train_stage1(
    encoder: Encoder, dataset: Dataset, tokens: dict[str, Tokens], split: Split, config: Config, path: Path, log: _Log
) -> None:
    train_encoder(encoder, dataset, tokens, split, config, Checkpoint(path), log)


def _chosen_graphs(graphs: str, dataset: Dataset) -> list[str]:
    if graphs == "none":
        return []
    if graphs == "all":
        return sorted(dataset.graphs)
    kinds = [kind.strip() for kind in graphs.split(",")]
    for kind in kinds:
        if kind not in dataset.graphs:
            raise InputError(f"unknown graph kind {kind!r} in {dataset.path}: {nearest(kind, dataset.graphs)}")
    return sorted(set(kinds))


def _check_out(out: Path, resume: bool) -> None:
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


def _open(out: Path, config: Config, dataset: Dataset) -> None:
    """Make the run folder with its settings, or check that a resumed one has the same."""
    facts = {"points": len(dataset.train), "labels": len(dataset.labels), "pairs": int(dataset.train_targets.nnz)}
    (out / _CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise InputError(f"{out}: no permission to write there")
    if (out / "config.yaml").exists():
        if read_config(out / "config.yaml") != config:
            raise InputError(f"{out}: the run to resume has other settings; see {out / 'config.yaml'}")
        stored = json.loads((out / _CHECKPOINTS / "data.json").read_text())
        if stored != facts:
            raise InputError(f"{out}: the run to resume was of another data set: {stored}, found {facts}")
        return
    with replacing(out / _CHECKPOINTS / "data.json") as part:
        part.write_text(json.dumps(facts))
    with replacing(out / "config.yaml") as part:
        part.write_text(config_yaml(config), encoding="utf-8")


class _Log:
    """One json line per epoch in ``log.jsonl``, and the same on the terminal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = time.perf_counter()

    def __call__(self, **figures: Any) -> None:  # noqa: ANN401
        figures = {k: round(v, 4) if isinstance(v, float) and np.isfinite(v) else v for k, v in figures.items()}
        figures = {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in figures.items()}
        figures["elapsed"] = round(time.perf_counter() - self._start, 1)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")
        logger.info("  ".join(f"{key} {value}" for key, value in figures.items() if value is not None))
