"""The Typer application that every command of this package starts from."""

from __future__ import annotations

from typing import Annotated

import typer

from ramen._version import __version__
from ramen.cli.console import show


def make_app(name: str, help: str, epilog: str) -> typer.Typer:
    """An application with ``-h``, ``--help`` and ``--version``, plain help texts and short errors.

    Args:
        name: of the command.
        help: its help text.
        epilog: examples below it.
    """
    app = typer.Typer(
        help=help,
        epilog=epilog,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def show_version(wanted: bool) -> None:
        if wanted:
            show(f"{name} {__version__}")
            raise typer.Exit

    option = typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")

    @app.callback()
    def root(version: bool = False) -> None:
        pass

    root.__annotations__["version"] = Annotated[bool, option]  # a string could not name a local option

    return app
