"""``ramen export``: a run's encoder in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramen.cli.console import show

EXAMPLES = """\b
Examples:
  ramen export runs/planted --to onnx --out exported
  ramen export runs/planted --to sentence-transformers --out encoder
"""


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    to: Annotated[str, typer.Option(metavar="KIND", help="onnx or sentence-transformers.")],
    int8: Annotated[bool, typer.Option("--int8", help="With --to onnx: weights in a byte each.")] = False,
) -> None:
    """Write a run's encoder as ONNX or sentence-transformers.

    The ONNX model takes input_ids and attention_mask of any batch and length and gives sentence_embedding; its vectors
    are compared with the encoder's.
    """
    from ramen.inference.export import export_encoder

    cosine = export_encoder(run, out, to, int8)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    show(f"{out}: {to}{' int8' if int8 else ''}, {size / 1e6:.2f} MB, lowest cosine with the encoder {cosine:.6f}")
