"""State shared by the phases: the data set, the texts that teacher and student read, and the output folder."""

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
from ramen.checkpoint import Checkpoint
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
from ramen.files import check_utf8, replacing
from ramen.settings import flat
from ramen.training.log import Log, log_every_figure
from ramen.training.loop import Stage, Stateful, Step, run_steps
from ramen.training.run_folder import chosen_graphs
from ramen.training.schedule import Schedule
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
        dataset: titles or full texts, with the pairs of a fraction of the points, as the settings say.
        log: writes lines to the terminal and ``log.jsonl``.

    Raises:
        InputError: there is no data set, or ``out`` is a file.
    """

    def __init__(self, config: HlmConfig) -> None:
        self.config, self.out = config, Path(config.out)
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"{self.out}: expected a folder, found a file")
        dataset = ramen.load_dataset(config.data.path)
        self.dataset: Dataset = with_pairs(with_texts(dataset, config.data.text), config.data.pairs, config.seed)
        if not self.dataset.train_targets.nnz:
            raise InputError(f"{self.dataset.path}: no training point has a label")
        check_utf8(self.out)
        (self.out / "phases").mkdir(parents=True, exist_ok=True)
        self.log = Log(self.out / "log.jsonl", [log_every_figure])

    def check(self) -> None:
        """Check the inputs of all phases first, so that a misspelt name fails before hours of work.

        Raises:
            InputError: a backbone or a file of ``align.texts`` is missing, or such a file has no text.
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
        """Save a student, and the uids of the points whose pairs no phase has seen."""
        save_folder(student, folder)
        write_held_out(folder, [self.dataset.train.uids[row] for row in self.split.held_out_rows])

    # Inputs.

    @cached_property
    def points(self) -> list[str]:
        """Texts of the training points as the student reads them."""
        return self.dataset.train.joined()

    @cached_property
    def labels(self) -> list[str]:
        """Texts of the labels as the student reads them."""
        return self.dataset.labels.joined()

    @cached_property
    def test(self) -> list[str]:
        """Texts of the test points."""
        return self.dataset.test.joined()

    @cached_property
    def unlabelled(self) -> list[tuple[list[str], float]]:
        """Texts and weight of each file of ``align.texts``, with at most ``align.max_texts`` texts in total."""
        files = [(self._lines(path), weight) for path, weight in sources(self.config.align.texts)]
        total = sum(weight for _, weight in files)
        sampled = []
        for number, (lines, weight) in enumerate(files):
            most = round(self.config.align.max_texts * weight / total)
            rows = np.random.default_rng([self.config.seed, number]).permutation(len(lines))[:most]
            sampled.append(([lines[row] for row in np.sort(rows)], weight))
        return sampled

    def _read(self, line: str) -> str:
        """Parse a line into a text like those of the data set: its title, or its title and content."""
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
            raise InputError(f"{path}: not a text file, or truncated: {error}") from error
        test = set(self.test)
        lines = [line for line in dict.fromkeys(lines) if line and line not in test]
        if not lines:
            raise InputError(f"{path}: expected one text per line, found none besides test points")
        return lines

    @cached_property
    def teacher_queries(self) -> list[str]:
        """Texts of the training points as the teacher reads them; held-out points are plain, like test points."""
        settings = self.config.teacher
        texts = self.points
        if settings.reads == "text+anchors":
            links = {kind: self.dataset.graphs[kind].points for kind in self._graphs}
            extended = with_anchors(texts, links, self._anchors, settings.anchors)
            held_out = set(self.split.held_out_rows.tolist())
            texts = [text if row in held_out else extended[row] for row, text in enumerate(texts)]
        return self.with_prompt(texts)

    @cached_property
    def teacher_labels(self) -> list[str]:
        """Texts of the labels as the teacher reads them."""
        settings = self.config.teacher
        if settings.reads == "text":
            return self.labels
        links = {kind: self.dataset.graphs[kind].labels for kind in self._graphs}
        return with_anchors(self.labels, links, self._anchors, settings.anchors)

    def with_prompt(self, texts: list[str]) -> list[str]:
        """Prepend the teacher's query prompt to plain texts."""
        prompt = self.config.teacher.prompt
        return [prompt + text for text in texts] if prompt else texts

    @cached_property
    def _graphs(self) -> list[str]:
        kinds = chosen_graphs(self.config.teacher.graphs, self.dataset)
        if not kinds:
            raise InputError(f"teacher.reads=text+anchors: {self.dataset.path}: expected a graph, found none")
        return kinds

    @property
    def _anchors(self) -> dict[str, list[str]]:
        return {kind: self.dataset.graphs[kind].anchors for kind in self._graphs}

    @cached_property
    def split(self) -> Split:
        """Points held out from every phase, for the gates; stored on disk, so that all phases use the same."""
        path = self.out / "split.npz"
        settings = self.config.gate
        if not path.exists():
            corpus = EncoderConfig(backbone=self.config.teacher.backbone)
            encoder = build_static_encoder(self.points + self.labels, corpus)
            vectors = encoder.encode(encoder.tokenize(self.points)).numpy()
            split = cut(self.dataset, vectors, settings.share, settings.max_points, self.config.seed)
            targets, held_out_targets = split.targets.tocoo(), split.held_out_targets.tocoo()
            with replacing(path) as part, part.open("wb") as file:
                np.savez_compressed(
                    file, rows=split.train_rows, texts=split.visible_rows, held_out=split.held_out_rows,
                    targets=np.stack([targets.row, targets.col]),
                    truth=np.stack([held_out_targets.row, held_out_targets.col]),
                )  # fmt: skip
        with np.load(path) as stored:
            shape = self.dataset.train_targets.shape
            held_out = len(stored["held_out"]), shape[1]
            return Split(
                stored["rows"], stored["texts"], stored["held_out"],
                pair_matrix(stored["targets"].T, shape), pair_matrix(stored["truth"].T, held_out),
                *(sp.csr_matrix(held_out, dtype=np.float32) for _ in range(2)),
            )  # fmt: skip

    @cached_property
    def not_negative(self) -> sp.csr_matrix:
        """Training pairs that are not negatives, CSR (N, L): targets and filtered pairs."""
        targets = self.split.targets
        return sp.csr_matrix(targets + pair_matrix(self.dataset.train_filter, targets.shape))

    @cached_property
    def filtered(self) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """Filtered pairs of the held-out points and of the test points, CSR."""
        dataset = self.dataset
        training = pair_matrix(dataset.train_filter, dataset.train_targets.shape)
        return training[self.split.held_out_rows], pair_matrix(dataset.test_filter, dataset.test_targets.shape)

    # Outputs.

    def record(self, phase: str) -> dict[str, Any] | None:
        """Return the notes of a finished phase, or None.

        Raises:
            InputError: the phase ran with other settings.
        """
        path = self.out / "phases" / f"{phase}.json"
        if not path.exists() or not (self.out / phase).is_dir():
            return None
        try:
            notes = json.loads(path.read_text(encoding="utf-8"))
            made_with = dict(flat(notes["settings"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: not the notes of a phase: {error}; remove it to run the phase again") from error
        now = dict(flat(self._settings(phase)))
        changed = [f"{k}={v!r} (was {made_with.get(k)!r})" for k, v in now.items() if made_with.get(k) != v]
        if changed:
            raise InputError(
                f"{self.out / phase}: made with other settings: {', '.join(changed)}; choose another out, or remove "
                f"{path} to run the phase again"
            )
        return notes

    def needs(self, phase: str) -> Path:
        """Return the folder of an earlier phase.

        Raises:
            InputError: the phase has not run yet.
        """
        if self.record(phase) is None:
            raise InputError(f"{self.out / phase}: does not exist yet; first run: hlm {phase} CONFIG")
        return self.out / phase

    def _settings(self, phase: str) -> dict[str, Any]:
        """Return the settings that a phase (or its step, such as ``prune-2``) and the phases before it depend on."""
        phase, tree = phase.partition("-")[0], asdict(self.config)
        before = PHASES[: PHASES.index(phase) + 1]
        if phase == "refine" and not self.config.prune.ladder:
            before = tuple(name for name in before if name != "prune")
        held_out = {"share": tree["gate"]["share"], "max_points": tree["gate"]["max_points"]}
        return {"seed": tree["seed"], "data": tree["data"], "gate": held_out} | {name: tree[name] for name in before}

    @contextmanager
    def writes(self, phase: str, notes: dict[str, Any]) -> Iterator[Path]:
        """Yield an empty folder for the phase's output; it replaces the old one only when complete."""
        part = self.out / f"{phase}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        yield part
        shutil.rmtree(self.out / phase, ignore_errors=True)
        part.rename(self.out / phase)
        self.note(phase, notes)
        self.checkpoint(phase).remove()

    def note(self, phase: str, notes: dict[str, Any]) -> None:
        """Write the notes of a phase, with its settings."""
        path = self.out / "phases" / f"{phase}.json"
        with replacing(path) as part:
            part.write_text(json.dumps({"settings": self._settings(phase), **notes}, indent=1), encoding="utf-8")

    def checkpoint(self, phase: str) -> Checkpoint:
        """Return the checkpoint from which an interrupted phase resumes."""
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
        """Train a model in place, from the phase's checkpoint if there is one; logs ten lines.

        See :func:`ramen.training.loop.run_steps` for the arguments.
        """
        schedule = Schedule(steps, steps, warmup=max(1.0, min(_MOST_WARMUP, _WARMUP * steps)), clip=_CLIP)
        stage = Stage(name, seed, self.log, max(1, steps // _LINES), lr_setting or "")
        run_steps(model, groups, schedule, step, stage, self.checkpoint(name), state)
