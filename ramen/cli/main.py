"""The command ``ramen``: its verbs."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from ramen._version import __version__
from ramen.cli import cache, data, evaluate, index, labels, plan, serve, tag, train
from ramen.cli.console import quiet_libraries, show
from ramen.cli.exits import exits

EXAMPLES = """\b
Examples:
  ramen data prepare planted --out data/planted
  ramen train data/planted --preset static --out runs/planted
"""

app = typer.Typer(
    help="Extreme classification: train on a data set, evaluate, tag texts.",
    epilog=EXAMPLES,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data", epilog=data.PREPARE_EXAMPLES)
app.command("plan", epilog=plan.EXAMPLES)(plan.plan)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("eval", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("index", epilog=index.EXAMPLES)(index.index)
app.add_typer(labels.app, name="labels", epilog=labels.ADD_EXAMPLES)
app.command("tag", epilog=tag.EXAMPLES)(tag.tag)
app.command("serve", epilog=serve.EXAMPLES)(serve.serve)
app.add_typer(cache.app, name="cache", epilog=cache.SHOW_EXAMPLES)


def _show_version(wanted: bool) -> None:
    if wanted:
        show(f"ramen {__version__}")
        raise typer.Exit


@app.callback()
def _ramen(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line and exit with its code; an expected error is one line on stderr."""
    quiet_libraries()
    exits(app, "ramen")


if __name__ == "__main__":
    main()
