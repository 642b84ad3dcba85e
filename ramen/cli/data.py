"""``ramen data``: build a data set, check one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramen.cli.console import assignments, say, say_next, show

PREPARE_EXAMPLES = """\b
Examples:
  ramen data prepare planted --out data/planted
  ramen data prepare planted --out data/small points=300 labels=120 seed=7
"""

CHECK_EXAMPLES = """\b
Examples:
  ramen data check data/planted
  ramen data check data/LF-AmazonTitles-131K && echo sound
"""

app = typer.Typer(help="Build data sets and check them.")


@app.command(epilog=PREPARE_EXAMPLES)
def prepare(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Recipe, such as planted.")],
    out: Annotated[Path, typer.Option(help="Folder to write: new or empty.")],
    options: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Options of the recipe.")] = None,
) -> None:
    """Build the data set of a recipe."""
    from ramen.data.prepare import prepare as build

    build(name, out, report=say, **assignments(options or []))
    say_next("ramen", "data", "check", out)


@app.command(epilog=CHECK_EXAMPLES)
def check(data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of a data set.")]) -> None:
    """Check a data set and show its statistics.

    Prints all problems at once, and exits with 2 when there are any. Otherwise says, too, what each graph tells of the
    labels that the text does not.
    """
    from ramen.data import load_dataset
    from ramen.data.check import check as check_folder
    from ramen.graph.forecast import forecast_lines

    report = check_folder(data)
    for line in report.lines():
        show(line)
    if report.problems:
        raise typer.Exit(2)
    for line in forecast_lines(load_dataset(data)):
        show(line)
    say_next("ramen", "train", data, "--out", Path("runs") / data.resolve().name)
