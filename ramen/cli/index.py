"""``ramen index``: builds an index for approximate search and fast loading."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramen.cli.console import say, say_next, show

EXAMPLES = """\b
Examples:
  ramen index runs/planted
  ramen index runs/planted --recall 0.999 --min-rows 0
"""


def index(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    recall: Annotated[float, typer.Option(help="Wanted recall of the ten best of each scorer.")] = 0.995,
    min_rows: Annotated[int, typer.Option(min=0, help="Rows below which a scorer searches exactly.")] = 50_000,
) -> None:
    """Build an index that speeds up tagging with many labels, and loading.

    Each scorer over vectors stores sign bits of its rows to find candidates, which it then scores exactly. The number
    of candidates for the wanted recall is measured on label texts and training points. Names are stored for fast
    loading.
    Tagging uses an index if there is one; build it anew after training or after copying without modification times.
    """
    from ramen.inference.build_index import build_index

    for one in build_index(run, min_rows, recall, say):
        if one.candidates:
            show(
                f"{one.name}: {one.rows:,} rows, {one.candidates:,} candidates, recall {one.recall:.4f}, "
                f"{one.milliseconds:.1f} ms a text instead of {one.exact_milliseconds:.1f}"
            )
        else:
            show(f"{one.name}: {one.rows:,} rows, looks at all of them")
    say_next("ramen", "tag", run, "TEXT")
