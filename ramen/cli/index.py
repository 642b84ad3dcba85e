"""``ramen index``: builds an index for approximate search and fast loading."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramen.cli.console import say, say_next, show

EXAMPLES = """\b
Examples:
  ramen index runs/planted
  ramen index runs/planted --recall 0.999
"""


def index(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    recall: Annotated[float, typer.Option(help="Wanted recall of the ten best of each scorer.")] = 0.995,
    always: Annotated[bool, typer.Option("--always", help="Index every scorer, faster or not.")] = False,
) -> None:
    """Build an index that speeds up tagging with many labels, and loading.

    Each scorer over vectors stores sign bits of its rows to find candidates, which it then scores exactly. The number
    of candidates for the wanted recall is measured on label texts and training points, and so is the time. A scorer
    whose index is not faster by a tenth, on average over texts alone and texts in batches of 32, searches exactly.
    Names are stored for fast loading.
    Tagging uses an index if there is one; build it anew after training or after copying without modification times.
    """
    from ramen.inference.build_index import build_index

    for scorer in build_index(run, recall, always, say):
        show(str(scorer))
    say_next("ramen", "tag", run, "TEXT")
