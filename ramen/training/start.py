"""What a run leaves beside its encoder for another that starts from it, and what is said of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ramen.config import Config, read_config
from ramen.encoders.base import Encoder
from ramen.encoders.build import run_of, student_folder
from ramen.encoders.distilled import point_digests, read_seen, write_held_out, write_seen, write_teacher_labels
from ramen.encoders.folder import LABEL_MAP, save_label_map
from ramen.encoders.precision import computes_bfloat16
from ramen.errors import InputError
from ramen.files import replacing
from ramen.inference.run import LABELS, read_label_file
from ramen.scorers.dense.scorer import DenseScorer

if TYPE_CHECKING:
    from ramen.data import Dataset
    from ramen.training.model import Model, Params
    from ramen.training.split import Split

SEARCH = "search.json"  # beside the encoder: all that a run's search has chosen


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


def seen_digests(config: Config, dataset: Dataset, rows: np.ndarray) -> np.ndarray | None:
    """Return digests of the uids and texts that a run's encoder was trained on, with those of the run it started from.

    Args:
        config: settings of the run.
        dataset: of the run.
        rows: int64, its training points.

    Returns:
        uint64, ascending; None where it is not known what the encoder to start from was trained on.

    Example:
        ``seen_digests(config, dataset, model.views.rows)``
    """
    folder = start_folder(config)
    before = np.empty(0, dtype=np.uint64) if folder is None else read_seen(folder)
    if before is None or not config.training.epochs:
        return before
    return np.union1d(before, np.concatenate(_digests(dataset, rows)))


def is_new(config: Config, dataset: Dataset) -> np.ndarray | None:
    """Return which training points the encoder to start from was not trained on, by uid and by text, bool (N,).

    None where it does not say what it was trained on.

    Example:
        ``is_new(config, dataset).sum()``
    """
    folder = start_folder(config)
    seen = None if folder is None else read_seen(folder)
    if seen is None:
        return None
    uids, texts = _digests(dataset, np.arange(len(dataset.train)))
    return ~(np.isin(uids, seen) | (np.isin(texts, seen) & (texts > 0)))


def log_seen_test(config: Config, dataset: Dataset, log: Callable[..., None]) -> None:
    """Warn of test points whose texts the encoder to start from was trained on, as a table split anew may have.

    Args:
        config: settings of the new run.
        dataset: of the new run.
        log: called with a warning.

    Example:
        ``log_seen_test(config, ramen.load_dataset("data/more"), print)``
    """
    folder = start_folder(config)
    if folder is None or not len(dataset.test):
        return
    seen = read_seen(folder)
    if seen is None:
        return
    texts = point_digests(dataset.test.joined())
    known = int((np.isin(texts, seen) & (texts > 0)).sum())
    if known:
        points = f"{known:,} of {len(texts):,} test points have a text that {run_of(folder) or folder} was trained on"
        log(stage="prepare", warning=f"{points}: figures on the test split are optimistic")


def dense_weights(run: Path, uids: Sequence[str], labels: np.ndarray) -> np.ndarray | None:
    """Return the weights of a run's dense classifiers for other labels, float32 (L, d); None if the run has none.

    A label that the run does not have gets what ``ramen labels add`` would give it, by the vector of its text.

    Args:
        run: folder of a finished run.
        uids: of the labels.
        labels: float32 (L, d), their vectors by the run's encoder.

    Raises:
        InputError: the run's files are damaged.

    Example:
        ``dense_weights(Path("runs/a"), ["apple"], vectors)``
    """
    folder = run / "scorers" / DenseScorer.name
    if not folder.is_dir():
        return None
    before, scorer = read_label_file(run / LABELS)[0], DenseScorer.load(folder)
    row_of = {uid: row for row, uid in enumerate(before)}
    assert scorer.extension_map is not None
    weights = labels @ scorer.extension_map
    for row, uid in enumerate(uids):
        if uid in row_of:
            weights[row] = scorer.weights.block(row_of[uid], row_of[uid] + 1)[0]
    return np.ascontiguousarray(weights, dtype=np.float32)


def _digests(dataset: Dataset, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Digests of the uids and of the texts of some training points."""
    points, texts = dataset.train, dataset.train.joined()
    chosen = rows.tolist()
    return point_digests([points.uids[row] for row in chosen]), point_digests([texts[row] for row in chosen])


def write_beside(
    folder: Path, model: Model, params: Params, unseen: Sequence[str] = (), seen: np.ndarray | None = None
) -> None:
    """Write what the modules of an exported encoder lack, so that another run goes on where this one ended.

    Args:
        folder: of the exported encoder.
        model: that was trained. Its label map is written, and the teacher's label vectors, float (L, d), where the
            encoder itself was not trained and scores by them.
        params: all that the search chose.
        unseen: uids of points whose pairs the encoder has never seen; no file is written if there are none.
        seen: of :func:`seen_digests`; no file is written for None.

    Example:
        ``write_beside(Path("runs/a/encoder"), model, params)``
    """
    if not isinstance(model.encoder, Encoder):
        return
    save_label_map(model.encoder, folder)
    if not model.views.config.training.epochs and "teacher" in model.views.starts:
        write_teacher_labels(folder, list(model.labels.uids), model.views.starts["teacher"])
    if unseen:
        write_held_out(folder, list(unseen))
    if seen is not None:
        write_seen(folder, seen)
    with replacing(folder / SEARCH) as part:
        part.write_text(json.dumps(asdict(params)))
