"""Training that starts from another run's encoder: what that run leaves for it, and what is said of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ramen.config import Config, read_config
from ramen.encoders.base import Encoder
from ramen.encoders.build import run_of, student_folder
from ramen.encoders.distilled import write_held_out, write_teacher_labels
from ramen.encoders.folder import LABEL_MAP, save_label_map
from ramen.encoders.precision import computes_bfloat16
from ramen.errors import InputError

if TYPE_CHECKING:
    from ramen.data import Dataset
    from ramen.training.model import Model
    from ramen.training.split import Split


def start_folder(config: Config) -> Path | None:
    """Return the folder of the encoder that training starts from; None for a new encoder.

    Raises:
        InputError: there is no such folder.

    Example:
        ``start_folder(load_config("static", ["encoder=runs/a"]))`` is ``Path("runs/a/encoder")``.
    """
    return student_folder(config.encoder.backbone) if config.encoder.kind == "distilled" else None


def log_start(config: Config, log: Callable[..., None]) -> None:
    """Log what differs from the run whose encoder training starts from, and that a GPU trains in float32.

    Args:
        config: settings of the new run.
        log: called with notes.

    Raises:
        InputError: there is no such folder.

    Example:
        ``log_start(load_config("static", ["encoder=runs/a"]), print)``
    """
    on_gpu = config.encoder.kind == "transformer" and config.training.epochs > 0 and torch.cuda.is_available()
    if on_gpu and not computes_bfloat16(torch.device("cuda")):
        log(stage="prepare", note="the GPU has no native bfloat16: the encoder is trained in float32")
    folder = start_folder(config)
    run = run_of(folder) if folder else None
    if folder is None or run is None:
        return
    note = partial(log, stage="prepare")
    if not (folder / LABEL_MAP).exists():
        note(note=f"{folder}: no {LABEL_MAP}, as an older version saved it: label vectors start as the texts' own")
    with contextlib.suppress(InputError):  # settings of an older version do not matter
        before = read_config(run / "config.yaml")
        if before.encoder.max_tokens > config.encoder.max_tokens:
            length = before.encoder.max_tokens
            note(note=f"{run}: it read up to {length} tokens of a text: encoder.max_tokens={length} does so again")
        if before.data.text != config.data.text:
            note(note=f"{run}: it was trained with data.text={before.data.text}, this one is with {config.data.text}")


def unseen_uids(config: Config, dataset: Dataset, split: Split) -> list[str]:
    """Return the uids of the held-out points whose pairs a run's finished encoder has never seen.

    There are none if the encoder was trained on all points in the end, or may have seen the pairs before the run.

    Args:
        config: settings of the run.
        dataset: of the run.
        split: that the search was judged by.

    Example:
        ``unseen_uids(load_config("static", ["validation.refit=false"]), dataset, split)``
    """
    refits = config.validation.refit and config.training.epochs > 0
    if refits or not split.unseen_by_start:
        return []
    return [dataset.train.uids[row] for row in split.held_out_rows.tolist()]


def write_beside(folder: Path, model: Model, unseen: Sequence[str]) -> None:
    """Write what the modules of an exported encoder lack, so that ``encoder=RUN`` goes on where the run ended.

    Args:
        folder: of the exported encoder.
        model: that was trained. Its label map is written, and the teacher's label vectors, float (L, d), where the
            encoder itself was not trained and scores by them.
        unseen: uids of points whose pairs the encoder has never seen; no file is written if there are none.

    Example:
        ``write_beside(Path("runs/a/encoder"), model, [])``
    """
    if not isinstance(model.encoder, Encoder):
        return
    save_label_map(model.encoder, folder)
    if not model.views.config.training.epochs and "teacher" in model.views.starts:
        write_teacher_labels(folder, list(model.labels.uids), model.views.starts["teacher"])
    if unseen:
        write_held_out(folder, list(unseen))
