"""``ramen export``: a run or its encoder in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramen.cli.console import say, say_next, show
from ramen.errors import InputError

EXAMPLES = """\b
Examples:
  ramen export runs/planted --to onnx --out exported
  ramen export runs/planted --prune 32 --out runs/small
"""


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    to: Annotated[
        str | None, typer.Option(metavar="KIND", help="The encoder alone, as onnx or sentence-transformers.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="With --to onnx: weights in a byte each.")] = False,
    prune: Annotated[
        int | None, typer.Option(min=1, help="A run whose one-vs-all head keeps so many weights of each label.")
    ] = None,
) -> None:
    """Write a run's encoder as ONNX or sentence-transformers, or a copy of the run with a sparse head.

    The ONNX model takes input_ids and attention_mask of any batch and length and gives sentence_embedding; its vectors
    are compared with the encoder's. A sparse head has of each label the weights of a few atoms that all labels share.
    """
    if (to is None) == (prune is None):
        raise InputError("expected --to KIND or --prune WEIGHTS, one of the two")
    if int8 and to is None:
        raise InputError("--int8: found without --to onnx")
    from ramen.inference.export import export_encoder, prune_head

    if to is not None:
        cosine = export_encoder(run, out, to, int8)
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        show(f"{out}: {to}{' int8' if int8 else ''}, {size / 1e6:.2f} MB, lowest cosine with the encoder {cosine:.6f}")
        return
    assert prune is not None
    before, after = prune_head(run, out, prune)
    show(f"{out}: {prune} weights a label, {after / 1e6:.2f} MB instead of {before / 1e6:.2f} MB")
    if after >= before:
        say(f"{out}: with so few labels the atoms take more than they save")
    say_next("ramen", "eval", out, "--data", "DATA")
