"""``ramen train``: trains on a data set and writes a run folder."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ramen.cli.console import Stopped, assignments, insistent_interrupt, say_next, show_log
from ramen.errors import InputError

EXAMPLES = """\b
Examples:
  ramen train data/planted --preset static --out runs/planted
  ramen train data/planted --from runs/planted --out runs/more
"""


def train(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of a data set.")],
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    start: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="Go on from a finished run, with other data.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Settings to start from: static, or with --from those of RUN.")
    ] = None,
    graphs: Annotated[
        str, typer.Option(help="Graphs that regularise training: none, all, or names as in a,b.")
    ] = "all",
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where this run was stopped.")] = False,
    track: Annotated[str | None, typer.Option(help="Record all figures by mlflow, wandb or tensorboard.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show every figure.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show nothing but warnings.")] = False,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings in place of the preset's.")
    ] = None,
) -> None:
    """Train an encoder and the scorers."""
    overrides = overrides or []
    assignments(overrides)  # catches a stray word before the training code loads
    if verbose and quiet:
        raise InputError("--verbose and --quiet: expected one of them")
    if start is not None and preset is not None:
        raise InputError(f"--preset {preset}: with --from the settings are those of {start}")
    show_log(quiet)
    try:
        import ramen

        tracker = ramen.tracking.of(track, out) if track else None

        with insistent_interrupt():
            anew = partial(ramen.train, preset=preset or "static")
            train = partial(ramen.train_from, start) if start else anew
            run = train(
                data, out=out, graphs=graphs, seed=seed, overrides=overrides, resume=resume,
                verbose=0 if quiet else 2 if verbose else 1, on_log=tracker,
            )  # fmt: skip
    except (KeyboardInterrupt, RuntimeError) as error:
        # A class that was being made, in an import, turns an interrupt into an error of its own.
        if isinstance(error, RuntimeError) and not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        typed = ["ramen", *sys.argv[1:], *([] if resume else ["--resume"])]
        raise Stopped(f"stopped; to go on: {shlex.join(typed)}") from None
    if verbose:
        say_next("ramen", "eval", run, "--data", data)
