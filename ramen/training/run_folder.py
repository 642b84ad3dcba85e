"""The run folder while a run trains: opening and resuming it, checkpoints, and saving what was trained."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ramen import distributed, tracking
from ramen.checkpoint import Checkpoint
from ramen.config import Config, config_yaml, read_config
from ramen.data import Dataset
from ramen.data.options import with_test_points
from ramen.errors import InputError, nearest
from ramen.files import check_utf8, clear_errors, locked, replacing
from ramen.inference.evaluation import evaluate
from ramen.inference.model_card import data_facts, write_card
from ramen.inference.run import MANIFEST, Ranking, save_run
from ramen.training.log import Listener, Log
from ramen.training.ranker_search import learned_ranking, word_set
from ramen.training.start import write_beside

if TYPE_CHECKING:
    from ramen.training.model import Model, Params

CHECKPOINTS = "checkpoints"
_OF_F1 = ("threshold", "micro-F1", "micro-precision", "micro-recall")
T = TypeVar("T")


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


class RunFolder:
    """The folder of a run while it trains.

    Args:
        path: of the folder.
        resume: whether it holds an unfinished run that is to go on.
        listeners: of the log.

    Attributes:
        log: of the run.

    Raises:
        InputError: a folder that is taken, or that has no run to resume.
    """

    def __init__(self, path: Path, resume: bool, listeners: Iterable[Listener] = ()) -> None:
        self.path, self.log = path, Log(path / "log.jsonl", listeners)
        distributed.broadcast(lambda: _check_free(path, resume))

    @contextmanager
    def open(self, config: Config, dataset: Dataset) -> Iterator[None]:
        """Make the folder with its settings, or check that a resumed run has the same; say clearly what fails inside.

        Raises:
            InputError: other settings or another data set than those of the run to resume, no permission, a server or
                another training uses the folder, or ``log.tensorboard`` without its package.
            WorkError: the disk is full.
        """
        with clear_errors(self.path), ExitStack() as stack:
            if config.log.tensorboard:  # before the folder is made: the package may be missing
                curves = tracking.tensorboard(self.path / "tensorboard", "log.tensorboard=true")
                self.log.listeners.append(curves)
            distributed.broadcast(lambda: _lock(self.path, stack))
            distributed.broadcast(lambda: _open(self.path, config, dataset))
            try:
                yield
            finally:
                self.log.close()

    def checkpoint(self, name: str) -> Checkpoint:
        """Where the training of that name is kept, to go on from."""
        return Checkpoint(self.path / CHECKPOINTS / f"{name}.safetensors")

    def once(self, name: str, read: Callable[[dict[str, Any]], T], work: Callable[[], T]) -> T:
        """What ``work`` returns, or returned before the run was interrupted.

        Args:
            name: under which it is kept.
            read: makes it of what JSON keeps of it.
            work: returns a dataclass; every process calls it.
        """
        path = self.path / CHECKPOINTS / f"{name}.json"
        stored = distributed.broadcast(lambda: json.loads(path.read_text()) if path.exists() else None)
        if stored is None:
            stored = asdict(work())  # type: ignore[call-overload]
            if distributed.is_main():
                with replacing(path) as part:
                    part.write_text(json.dumps(stored))
        return read(stored)

    def save(
        self, model: Model, params: Params, dataset: Dataset, unseen: Sequence[str] = (),
        seen: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Write what tagging reads, and remove the checkpoints; of several processes the first does.

        Args:
            model: the encoder and the scorers.
            params: hyperparameters.
            dataset: of which the model card will tell.
            unseen: uids of points whose pairs the encoder has never seen.
            seen: digests of those that it was trained on; None where it is not known.
        """
        if not distributed.is_main():
            return
        views, ranker = model.views, model.ranker
        learned = learned_ranking(ranker, model.scorers, views)
        features = word_set(views, model.scorers)
        reads_words = learned is not None or any(scorer.features for scorer in model.scorers.values())
        words = views.words(features).features if reads_words else None
        weights = {name: ranker.weights[name] for name in model.scorers}
        ranking = Ranking(weights, learned, ranker.level, ranker.calibration, ranker.thresholds)
        beside = partial(write_beside, model=model, params=params, unseen=unseen, seen=seen)
        metrics = {**params.metrics(), "data": data_facts(dataset)}
        save_run(self.path, model.encoder, words, model.scorers, ranking, model.labels, metrics, beside)
        shutil.rmtree(self.path / CHECKPOINTS)

    def evaluate(self, dataset: Dataset, config: Config) -> None:
        """Measure the saved run on the test split, where there is one, or a sample of it, and keep the figures."""
        if not distributed.is_main() or not len(dataset.test):
            return
        sample = with_test_points(dataset, config.data.test_points, config.seed)
        if len(sample.test) < len(dataset.test):
            points = f"{len(sample.test):,} of {len(dataset.test):,} test points"
            self.log(stage="evaluate", note=f"measured on {points} (data.test_points); ramen eval measures all")
        figures = evaluate(self.path, sample, save=True)
        f1 = {key: figures["f1"]["auto"][key] for key in _OF_F1} if "f1" in figures else {}
        self.log(stage="test", ranking="joint", points=figures["points"], **figures["test"], **f1)
        for name, alone in figures["scorers"].items():
            self.log(stage="test", ranking=name, **alone)

    def write_card(self) -> None:
        """Write the model card, ``README.md``, with the figures and what the data set's card says."""
        if distributed.is_main():
            write_card(self.path)


def _check_free(out: Path, resume: bool) -> None:
    """Refuse a folder that is taken, that has no run to resume, or whose name no model can be saved under."""
    check_utf8(out)
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


def _lock(out: Path, stack: ExitStack) -> None:
    """Keep others from the folder while the run trains: saving it removes the parts of an earlier run there."""
    out.mkdir(parents=True, exist_ok=True)
    busy = f"{out}: in use by a server or another ramen train; stop it, or name another --out"
    stack.enter_context(locked(out, exclusive=True, busy=busy))


def _open(out: Path, config: Config, dataset: Dataset) -> None:
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
