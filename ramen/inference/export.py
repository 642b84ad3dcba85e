"""A run's encoder in another form."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ramen.errors import InputError, nearest
from ramen.files import raise_clearly
from ramen.inference.artefact import check_run
from ramen.inference.onnx_export import export_onnx, export_sentence_transformers

KINDS = ("onnx", "sentence-transformers")


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
