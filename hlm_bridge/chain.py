"""What the phases share: the task, what teacher and student read of it, and the folder where each leaves its result."""

from __future__ import annotations

import gzip
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from torch import nn

import ramen
from hlm_bridge.config import HlmConfig, sources
from hlm_bridge.oracle import with_anchors
from ramen.config import EncoderConfig
from ramen.data import Dataset
from ramen.data.matrices import pair_matrix
from ramen.data.options import with_pairs, with_texts
from ramen.encoders.backbone import find_backbone
from ramen.encoders.base import Encoder
from ramen.encoders.distilled import write_held_out
from ramen.encoders.folder import save_folder
from ramen.encoders.static import build_static_encoder
from ramen.errors import InputError
from ramen.files import replacing
from ramen.settings import flat
from ramen.training.checkpoint import Checkpoint
from ramen.training.log import Log
from ramen.training.loop import Stage, Stateful, Step, run_steps
from ramen.training.optimiser import Schedule
from ramen.training.run_folder import chosen_graphs
from ramen.training.split import Split, cut

PHASES = ("teacher", "align", "prune", "refine")
_WARMUP, _MOST_WARMUP = 0.1, 50.0  # share of the steps, and steps at most
_CLIP = 1.0
_LINES = 10  # of a phase, in the log

logger = logging.getLogger("ramen")


class Chain:
    """A chain's settings, data and folder.

    Args:
        config: settings; ``config.out`` is made.

    Attributes:
        dataset: titles or whole texts, and the pairs of a share of the points, as the settings say.
        log: lines for the terminal and ``log.jsonl``.

    Raises:
        InputError: no data set, or an ``out`` that is a file.
    """

    def __init__(self, config: HlmConfig) -> None:
        self.config, self.out = config, Path(config.out)
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"{self.out}: expected a folder, found a file")
        read = ramen.load_dataset(config.data.path)
        self.dataset: Dataset = with_pairs(with_texts(read, config.data.text), config.data.pairs, config.seed)
        if not self.dataset.train_targets.nnz:
            raise InputError(f"{self.dataset.path}: no training point has a label")
        (self.out / "phases").mkdir(parents=True, exist_ok=True)
        self.log = Log(self.out / "log.jsonl")

    def check(self) -> None:
        """Find what later phases read, so that a misspelt name is told before hours of work.

        Raises:
            InputError: a backbone or a file of ``align.texts`` is not there, or one of these has no text.
        """
        names = {"teacher.backbone": self.config.teacher.backbone, "align.backbone": self.config.align.backbone}
        for key, name in names.items():
            if name:
                try:
                    find_backbone(name)
                except InputError as error:
                    raise InputError(str(error).replace("encoder.backbone", key)) from None
        self.unlabelled  # noqa: B018

    def save(self, student: Encoder, folder: Path) -> None:
        """A student's folder, with the names of the points that no phase has seen the pairs of."""
        save_folder(student, folder)
        write_held_out(folder, [self.dataset.train.uids[row] for row in self.split.held_out])

    # What is read.

    @cached_property
    def points(self) -> list[str]:
        """Texts of the training points, as a student reads them."""
        return self.dataset.train.joined()

    @cached_property
    def labels(self) -> list[str]:
        """Texts of the labels, as a student reads them."""
        return self.dataset.labels.joined()

    @cached_property
    def test(self) -> list[str]:
        """Texts of the test points."""
        return self.dataset.test.joined()

    @cached_property
    def unlabelled(self) -> list[tuple[list[str], float]]:
        """Texts of each file of ``align.texts`` and the file's weight, at most ``align.max_texts`` together."""
        files = [(self._lines(path), weight) for path, weight in sources(self.config.align.texts)]
        total = sum(weight for _, weight in files)
        kept = []
        for number, (lines, weight) in enumerate(files):
            most = round(self.config.align.max_texts * weight / total)
            rows = np.random.default_rng([self.config.seed, number]).permutation(len(lines))[:most]
            kept.append(([lines[row] for row in np.sort(rows)], weight))
        return kept

    def _read(self, line: str) -> str:
        """A text as those of the data set are read: its title alone, or title and content."""
        title, _, content = line.strip().partition("\t")
        return f"{title}\n{content}" if content and self.config.data.text == "full" else title

    def _lines(self, name: str) -> list[str]:
        path = Path(name)
        try:
            with (
                gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file
            ):
                lines = [self._read(line) for line in file]
        except FileNotFoundError:
            raise InputError(f"align.texts: {path}: no such file") from None
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a text file, or a cut one: {error}") from error
        asked = set(self.test)
        lines = [line for line in dict.fromkeys(lines) if line and line not in asked]
        if not lines:
            raise InputError(f"{path}: expected a text on each line, found none that is no test point")
        return lines

    @cached_property
    def queries_read(self) -> list[str]:
        """What the teacher reads of the training points; held-out ones are plain, as test points are."""
        settings = self.config.teacher
        texts = self.points
        if settings.reads == "text+anchors":
            sides = {kind: self.dataset.graphs[kind].points for kind in self._graphs}
            read = with_anchors(texts, sides, self._anchors, settings.anchors)
            held_out = set(self.split.held_out.tolist())
            texts = [text if row in held_out else read[row] for row, text in enumerate(texts)]
        return self.asked(texts)

    @cached_property
    def labels_read(self) -> list[str]:
        """What the teacher reads of the labels."""
        settings = self.config.teacher
        if settings.reads == "text":
            return self.labels
        sides = {kind: self.dataset.graphs[kind].labels for kind in self._graphs}
        return with_anchors(self.labels, sides, self._anchors, settings.anchors)

    def asked(self, texts: list[str]) -> list[str]:
        """Plain texts as the teacher reads queries."""
        prompt = self.config.teacher.prompt
        return [prompt + text for text in texts] if prompt else texts

    @cached_property
    def _graphs(self) -> list[str]:
        kinds = chosen_graphs(self.config.teacher.graphs, self.dataset)
        if not kinds:
            raise InputError(f"teacher.reads=text+anchors: {self.dataset.path} has no graphs whose texts it could read")
        return kinds

    @property
    def _anchors(self) -> dict[str, list[str]]:
        return {kind: self.dataset.graphs[kind].anchors for kind in self._graphs}

    @cached_property
    def split(self) -> Split:
        """Points held out from every phase, for the gates; kept on disk, so that all phases agree."""
        path = self.out / "split.npz"
        settings = self.config.gate
        if not path.exists():
            corpus = EncoderConfig(backbone=self.config.teacher.backbone)
            encoder = build_static_encoder(self.points + self.labels, corpus)
            vectors = encoder.encode(encoder.tokenize(self.points)).numpy()
            found = cut(self.dataset, vectors, settings.share, settings.max_points, self.config.seed)
            targets, truth = found.targets.tocoo(), found.truth.tocoo()
            with replacing(path) as part, part.open("wb") as file:
                np.savez_compressed(
                    file, rows=found.rows, texts=found.texts, held_out=found.held_out,
                    targets=np.stack([targets.row, targets.col]), truth=np.stack([truth.row, truth.col]),
                )  # fmt: skip
        with np.load(path) as kept:
            shape = self.dataset.train_targets.shape
            held_out = len(kept["held_out"]), shape[1]
            return Split(
                kept["rows"], kept["texts"], kept["held_out"],
                pair_matrix(kept["targets"].T, shape), pair_matrix(kept["truth"].T, held_out),
                *(sp.csr_matrix(held_out, dtype=np.float32) for _ in range(2)),
            )  # fmt: skip

    @cached_property
    def not_negative(self) -> sp.csr_matrix:
        """Training pairs that are no negatives, CSR (N, L): targets and filtered pairs."""
        targets = self.split.targets
        return sp.csr_matrix(targets + pair_matrix(self.dataset.train_filter, targets.shape))

    @cached_property
    def filtered(self) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """Filtered pairs of the held-out points and of the test points, CSR."""
        dataset = self.dataset
        training = pair_matrix(dataset.train_filter, dataset.train_targets.shape)
        return training[self.split.held_out], pair_matrix(dataset.test_filter, dataset.test_targets.shape)

    # Where results are.

    def record(self, phase: str) -> dict[str, Any] | None:
        """What a finished phase noted, or None.

        Raises:
            InputError: it was made with other settings.
        """
        path = self.out / "phases" / f"{phase}.json"
        if not path.exists() or not (self.out / phase).is_dir():
            return None
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            made_with = dict(flat(kept["settings"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: not what a phase noted: {error}; remove it to run the phase anew") from error
        now = dict(flat(self._settings(phase)))
        changed = [f"{k}={v!r} (was {made_with.get(k)!r})" for k, v in now.items() if made_with.get(k) != v]
        if changed:
            raise InputError(
                f"{self.out / phase}: made with other settings: {', '.join(changed)}; name another out, or remove "
                f"{path} to run the phase anew"
            )
        return kept

    def needs(self, phase: str) -> Path:
        """The folder of an earlier phase.

        Raises:
            InputError: it was not run yet.
        """
        if self.record(phase) is None:
            raise InputError(f"{self.out / phase}: not there yet; run it first: hlm {phase} CONFIG")
        return self.out / phase

    def _settings(self, phase: str) -> dict[str, Any]:
        """What a phase, or a step of it as in ``prune-2``, depends on: its own settings and those of earlier ones."""
        phase, tree = phase.partition("-")[0], asdict(self.config)
        before = PHASES[: PHASES.index(phase) + 1]
        if phase == "refine" and not self.config.prune.ladder:
            before = tuple(name for name in before if name != "prune")
        held_out = {"share": tree["gate"]["share"], "max_points": tree["gate"]["max_points"]}
        return {"seed": tree["seed"], "data": tree["data"], "gate": held_out} | {name: tree[name] for name in before}

    @contextmanager
    def writes(self, phase: str, notes: dict[str, Any]) -> Iterator[Path]:
        """An empty folder to write the phase's result into; whole or not there."""
        part = self.out / f"{phase}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        yield part
        shutil.rmtree(self.out / phase, ignore_errors=True)
        part.rename(self.out / phase)
        self.note(phase, notes)
        self.checkpoint(phase).remove()

    def note(self, phase: str, notes: dict[str, Any]) -> None:
        """Keep what a phase has to say, with its settings."""
        path = self.out / "phases" / f"{phase}.json"
        with replacing(path) as part:
            part.write_text(json.dumps({"settings": self._settings(phase), **notes}, indent=1), encoding="utf-8")

    def checkpoint(self, phase: str) -> Checkpoint:
        """What a stopped phase goes on from."""
        return Checkpoint(self.out / "phases" / f"{phase}.safetensors")

    def train(
        self,
        model: nn.Module,
        groups: list[dict[str, Any]],
        steps: int,
        step: Step,
        name: str,
        seed: int,
        state: Stateful | None = None,
        lr_setting: str | None = None,
    ) -> None:
        """Train a model in place, going on from the checkpoint of the phase; ten lines of figures go to the log.

        The arguments are those of :func:`ramen.training.loop.run_steps`.
        """
        schedule = Schedule(steps, steps, warmup=max(1.0, min(_MOST_WARMUP, _WARMUP * steps)), clip=_CLIP)
        stage = Stage(name, seed, self.log, max(1, steps // _LINES), lr_setting or "")
        run_steps(model, groups, schedule, step, stage, self.checkpoint(name), state)
