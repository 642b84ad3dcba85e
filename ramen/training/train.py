"""``ramen.train``: open → choose (fit on a split, weigh) → fit on everything → save."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ramen import distributed
from ramen._version import __version__
from ramen.config import Config, config_yaml, load_config
from ramen.data import Dataset, bags_of_words, load_dataset
from ramen.data.leaks import refuse_leaks
from ramen.data.options import with_pairs, with_texts
from ramen.encoders.base import Encoder
from ramen.encoders.build import check_encoder, student_folder
from ramen.encoders.distilled import read_held_out
from ramen.errors import InputError
from ramen.files import clear_errors, replacing
from ramen.graph.lambdas import Lambdas, fixed_lambdas
from ramen.inference.artefact import Ranking, save_run
from ramen.inference.evaluation import evaluate
from ramen.scorers.dense.build import check_classifier
from ramen.scorers.sparse.search import SparseChoice
from ramen.threads import one_blas_thread, one_torch_thread_in_children, thread_count
from ramen.training import boosting
from ramen.training.auto import choose_graphs
from ramen.training.checkpoint import Checkpoint
from ramen.training.choose import choose, without_validation
from ramen.training.fit import Choice, Fitter, learned_ranking
from ramen.training.folder import CHECKPOINTS, check_out, chosen_graphs, dataset_digest, open_run
from ramen.training.given import train_given
from ramen.training.log import Log
from ramen.training.material import Material, prepare
from ramen.training.new_labels import label_maps
from ramen.training.plan import refuse_too_large
from ramen.training.ranking import RankingChoice
from ramen.training.split import Split, held_out_rows, split_off, unseen_share, whole
from ramen.training.stage1 import train_encoder


@one_blas_thread()
def train(
    data: Dataset | str | Path,
    preset: str = "static",
    out: str | Path = "run",
    graphs: str = "all",
    seed: int = 0,
    overrides: Iterable[str] = (),
    resume: bool = False,
) -> Path:
    """Train an encoder and the scorers on a data set, and write a run folder.

    Args:
        data: a data set or its folder.
        preset: ``static``, ``transformer``, ``million`` for very many labels, or ``words`` for given bags of words.
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
    log = Log(out / "log.jsonl")
    with distributed.init(), _torch_threads():
        distributed.broadcast(lambda: check_out(out, resume))
        whole_set = data if isinstance(data, Dataset) else load_dataset(data)
        dataset = _checked(whole_set, config, graphs)
        with clear_errors(out):
            distributed.broadcast(lambda: open_run(out, config, dataset))
            _fill(dataset, config, out, log)
        is_first = distributed.is_main()
    if is_first and len(whole_set.test):
        with clear_errors(out), log.timed("evaluate"):
            evaluate(out, whole_set, save=True)
    return out


@contextmanager
def _torch_threads() -> Iterator[None]:
    """Let torch use no more threads than kernels do: it knows nothing of a quota, and more than that stand in line."""
    one_torch_thread_in_children()
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, thread_count()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _checked(whole_set: Dataset, config: Config, graphs: str) -> Dataset:
    """The data set as the settings want it; what is wrong with either is said here, before a folder is made."""
    dataset = with_pairs(with_texts(whole_set, config.data.text), config.data.pairs, config.seed)
    config.graphs = chosen_graphs(graphs, dataset)
    if config.data.leaks == "refuse":
        refuse_leaks(dataset, config.graphs)
    fixed_lambdas(config.graph, config.graphs)  # a misspelt graph leaves no run folder behind
    if not dataset.train_targets.nnz:
        raise InputError(f"{dataset.path}: no training point has a label")
    check_classifier(config.head)
    unseen_share(dataset, config.validation.unseen)
    if config.ranking.learn and config.validation.share:
        boosting.load()  # before hours of training
    check_reads(dataset, config)  # a misspelt encoder leaves no run folder behind
    refuse_too_large(dataset, config)
    if distributed.world_size() > 1:
        distributed.check_same({"ramen": __version__, "settings": config_yaml(config), "data": dataset_digest(dataset)})
    return dataset


def _fill(dataset: Dataset, config: Config, out: Path, log: Log) -> None:
    """Train, and write all of the run folder but the figures of the test split."""
    torch.manual_seed(config.seed)
    if config.encoder.kind == "none":
        train_given(dataset, config, out, log)
        return
    with log.timed("prepare"):
        material, encoder = prepare(dataset, config)
        distributed.sync_weights(encoder.parameters(), "the untrained encoder")
    choice, figures, fitter = _choose(material, encoder, out, log)
    if fitter is None:
        path = out / CHECKPOINTS / "final.safetensors"
        fitter = _fit(material, material.see(whole(dataset), choice.walks, log), choice.lambdas, encoder, path, log)
    with log.timed("save"):
        _save(fitter, encoder, choice, figures, out, log)


def check_reads(dataset: Dataset, config: Config) -> None:
    """Refuse a data set without what the preset reads, and an encoder that cannot be found."""
    if config.encoder.kind == "none":
        bags_of_words(dataset)
        return
    if not dataset.has_texts:
        instead = "--preset words" if dataset.features is not None else "some"
        raise InputError(f"{dataset.path}: no training point has a text, expected {instead}")
    check_encoder(config.encoder)


def _choose(
    material: Material, encoder: Encoder, out: Path, log: Log
) -> tuple[Choice, dict[str, float], Fitter | None]:
    """The choice and its validation figures, from a run on a part of the training points; kept for resuming.

    Without ``validation.refit`` also that run's fitter, with ``encoder`` trained: the run's own weights come from it.
    """
    stored, refit = out / CHECKPOINTS / "chosen.json", material.config.validation.refit
    kept = _read_choice(distributed.broadcast(lambda: json.loads(stored.read_text()) if stored.exists() else None))
    if kept and refit:
        return *kept, None
    with log.timed("split"):
        split = _split(material, encoder, log)
    lambdas, walks = _graphs(material, split, encoder, out / CHECKPOINTS / "graphs.json", log)
    split = material.see(split, walks, log)
    path, fitter = out / CHECKPOINTS / "choose.safetensors", None
    if len(split.held_out):
        trained = copy.deepcopy(encoder) if refit else encoder
        fitter = _fit(material, split, lambdas, trained, path, log)
    if kept is None:
        choice, figures = choose(fitter, log) if fitter else without_validation(material.config, log)
        kept = replace(choice, lambdas=lambdas, walks=walks), figures
        _keep(stored, {"choice": asdict(kept[0]), "figures": kept[1]})
    if refit:
        if distributed.is_main():
            Checkpoint(path).remove()
        fitter = None
    return *kept, fitter


def _keep(stored: Path, value: dict[str, Any]) -> None:
    if distributed.is_main():
        with replacing(stored) as part:
            part.write_text(json.dumps(value))


def _read_choice(kept: dict[str, Any] | None) -> tuple[Choice, dict[str, float]] | None:
    if kept is None:
        return None
    sparse = kept["choice"].pop("sparse")
    lambdas = _as_lambdas(kept["choice"].pop("lambdas"))
    ranking = kept["choice"].pop("ranking")
    sparse, ranking = sparse and SparseChoice(**sparse), ranking and RankingChoice(**ranking)
    return Choice(**kept["choice"], sparse=sparse, lambdas=lambdas, ranking=ranking), kept["figures"]


def _split(material: Material, encoder: Encoder, log: Log) -> Split:
    """What the choice trains on and what it is made by."""
    settings, seed = material.config.validation, material.config.seed
    unseen = unseen_share(material.dataset, settings.unseen)
    held_out = _unseen(material, log) if settings.share else None
    if held_out is not None:
        log(stage="choose", note=f"validation: the {len(held_out)} points that the distillation held out")
        return split_off(material.dataset, held_out, unseen)
    if not settings.share:
        return split_off(material.dataset, np.empty(0, dtype=np.int64))
    start_vectors = encoder.encode(material.tokens["points"]).numpy()
    held_out = distributed.broadcast(
        lambda: held_out_rows(
            material.dataset, start_vectors, settings.share, settings.max_points, seed, settings.min_points, unseen
        )
    )
    return split_off(material.dataset, held_out, unseen)


def _unseen(material: Material, log: Log) -> np.ndarray | None:
    """Labelled rows that a student's distillation held out, or None where it does not say or they are too few."""
    config, dataset = material.config, material.dataset
    if config.encoder.kind != "hlm":
        return None
    rows = read_held_out(student_folder(config.encoder.backbone), dataset.train.uids)
    if rows is None:
        return None
    labelled = np.diff(dataset.train_targets.indptr) > 0
    rows = rows[labelled[rows]]
    if len(rows) < min(config.validation.min_points, labelled.sum() // 4):  # a choice by so few is chance
        log(
            stage="choose",
            note=f"validation: the distillation held out {len(rows)} points, too few; the student knows some",
        )
        return None
    return rows


def _graphs(material: Material, split: Split, encoder: Encoder, stored: Path, log: Log) -> tuple[Lambdas, bool]:
    """λ of the graphs and whether they are walked, as set or as validation chooses; kept for resuming."""
    config = material.config
    if not config.stage1.epochs:
        return {}, False
    if config.graph.lambda_ != "auto" or not len(split.held_out):
        return fixed_lambdas(config.graph, config.graphs), config.graph.walks == "on"
    kept = distributed.broadcast(lambda: json.loads(stored.read_text()) if stored.exists() else None)
    if kept is None:
        lambdas, walks = choose_graphs(material, split, encoder, log)
        kept = {"lambdas": lambdas, "walks": walks}
        _keep(stored, kept)
    return _as_lambdas(kept["lambdas"]), kept["walks"]


def _as_lambdas(stored: dict[str, list[float]]) -> Lambdas:
    return {kind: (x, z) for kind, (x, z) in stored.items()}


def _fit(material: Material, split: Split, lambdas: Lambdas, encoder: Encoder, path: Path, log: Log) -> Fitter:
    """Train the encoder on a split; the fitter then fits every scorer by it."""
    train_encoder(encoder, material, split, lambdas, Checkpoint(path), log)
    return Fitter(material, split, encoder)


def _save(fitter: Fitter, encoder: Encoder, choice: Choice, figures: dict[str, float], out: Path, log: Log) -> None:
    scorers = fitter.scorers(choice, log)
    learned = learned_ranking(fitter, scorers, choice)
    kind = choice.features(fitter.sets[0])
    words = fitter.words(kind).features if learned or "sparse" in scorers else None
    weights = {name: choice.weights.get(name, 0.0) for name in scorers}
    maps = label_maps(fitter, encoder, scorers, choice)
    if not distributed.is_main():
        return
    ranking = Ranking(weights, learned, choice.calibration)
    save_run(out, encoder, words, scorers, ranking, fitter.material.dataset.labels, choice.metrics(figures), maps)
    shutil.rmtree(out / CHECKPOINTS)
