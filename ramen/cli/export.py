"""``ramen export``: a copy of a run in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramen.cli.console import say, say_next, show

EXAMPLES = """\b
Examples:
  ramen export runs/planted --prune 32 --out runs/small
  ramen export runs/planted --prune 64 --out runs/medium
"""


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    prune: Annotated[int, typer.Option(min=1, help="Weights that the one-vs-all head keeps of each label.")],
) -> None:
    """Copy a run with a sparse head: of each label the weights of a few atoms that all labels share."""
    from ramen.inference.export import prune_head

    before, after = prune_head(run, out, prune)
    show(f"{out}: {prune} weights a label, {after / 1e6:.2f} MB instead of {before / 1e6:.2f} MB")
    if after >= before:
        say(f"{out}: with so few labels the atoms take more than they save")
    say_next("ramen", "eval", out, "--data", "DATA")
