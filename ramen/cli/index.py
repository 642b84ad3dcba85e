"""``ramen index``: proposals without looking at every row, and a run that loads at once."""

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
    recall: Annotated[float, typer.Option(help="Share of each scorer's ten best that is to be found.")] = 0.995,
    min_rows: Annotated[int, typer.Option(min=0, help="Rows below which a scorer looks at all of them.")] = 50_000,
) -> None:
    """Make a run fast to tag with: of many labels, and to load.

    Each scorer over vectors gets the signs of its rows, by which it finds candidates that are then scored exactly; how
    many it takes for the wanted recall is measured on label texts and training points. Names are kept so that they need
    not be read. Tagging uses what is there; training again or copying without times of change asks for it anew.
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
