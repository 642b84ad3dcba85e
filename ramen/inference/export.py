"""A copy of a run in another form."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ramen.errors import InputError, nearest
from ramen.files import digest, raise_clearly, replacing
from ramen.heads.fan_in_rows import FanInRows, pruned
from ramen.heads.rows import DenseRows, HalfRows, widened
from ramen.inference.artefact import MANIFEST, check_run, load_run
from ramen.inference.onnx_export import export_onnx, export_sentence_transformers
from ramen.scorers.vectors import LabelVectors

KINDS = ("onnx", "sentence-transformers")


def prune_head(run: str | Path, out: str | Path, weights: int) -> tuple[int, int]:
    """Copy a run whose one-vs-all head has few weights a label: see :func:`ramen.heads.fan_in_rows.pruned`.

    ``metrics.json`` keeps what was chosen; figures were of the whole head, so they go: ``ramen eval`` writes new ones.

    Args:
        run: finished run folder.
        out: new folder.
        weights: kept a label.

    Returns:
        Bytes of the head's weights before and after.

    Raises:
        InputError: no finished run, no head, a head that is sparse already, more weights than dimensions, or ``out`` is
            there.
        WorkError: the disk is full; nothing is left at ``out``.

    Example:
        ``prune_head("runs/a", "runs/small", weights=32)``
    """
    run, out = Path(run), Path(out)
    if out.exists():
        raise InputError(f"{out}: already exists, expected a new folder")
    head = load_run(run, labels=False).ranker.scorers.get("head")
    if not isinstance(head, LabelVectors):
        raise InputError(f"{run}: has no one-vs-all head to prune; a run of head.epochs above 0 may have one")
    rows = head.rows
    if isinstance(rows, FanInRows):
        raise InputError(f"{run}: its head is sparse already, with {rows.values.shape[1]} weights a label")
    assert isinstance(rows, DenseRows | HalfRows)
    small = pruned(rows.vectors if isinstance(rows, DenseRows) else widened(rows.bits), weights)
    with _whole_or_not_at_all(out) as part:
        # An index is of the whole head; labels that were added have no row in the small one.
        shutil.copytree(run, part, ignore=lambda path, _: ("index", "labels") if Path(path) == run else ())
        folder = part / "scorers/head"
        LabelVectors(small).save(folder)
        metrics = json.loads((part / "metrics.json").read_text(encoding="utf-8"))
        kept = {"chosen": metrics.get("chosen"), "pruned_to": weights}
        (part / "metrics.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
        manifest = json.loads((part / MANIFEST).read_text())
        for name in manifest["blake2b"]:
            manifest["blake2b"][name] = digest(part / name)
        with replacing(part / MANIFEST) as beside:
            beside.write_text(json.dumps(manifest, indent=1) + "\n")
    return rows.nbytes, small.nbytes


def export_encoder(run: str | Path, out: str | Path, to: str, int8: bool = False) -> float:
    """Write a run's encoder as a folder of another kind.

    Args:
        run: finished run folder.
        out: new folder.
        to: ``onnx`` or ``sentence-transformers``.
        int8: of ONNX, with a byte a weight.

    Returns:
        The lowest cosine between its vectors and the encoder's, over some texts.

    Raises:
        InputError: no finished run, one without encoder, a kind that is none, ``out`` is there, a missing library.
        WorkError: the disk is full, or vectors differ; nothing is left at ``out``.

    Example:
        ``export_encoder("runs/a", "exported", to="onnx")``
    """
    run, out = Path(run), Path(out)
    if to not in KINDS:
        raise InputError(f"--to {to}: {nearest(to, KINDS)}")
    if int8 and to != "onnx":
        raise InputError(f"--int8: found with --to {to}, expected with --to onnx")
    if out.exists():
        raise InputError(f"{out}: already exists, expected a new folder")
    check_run(run)
    with _whole_or_not_at_all(out) as part:
        if to == "onnx":
            return export_onnx(run, part, int8)
        export_sentence_transformers(run, part)
        return 1.0


@contextmanager
def _whole_or_not_at_all(out: Path) -> Iterator[Path]:
    """A folder to make beside ``out``, which it becomes."""
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        yield part
        part.rename(out)
    except OSError as error:
        raise_clearly(error, out)
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
