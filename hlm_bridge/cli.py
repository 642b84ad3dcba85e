"""The ``hlm`` command: one subcommand per phase, and one for the whole chain."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hlm_bridge.config import load_hlm_config
from ramen.cli.console import Stopped, assignments, insistent_interrupt, quiet_libraries, say_next, show, show_log
from ramen.cli.exits import exits
from ramen.cli.shell import make_app
from ramen.extras import needing

EXAMPLES = """\b
Examples:
  hlm run examples/hlm.yaml
  hlm run examples/hlm.yaml out=runs/deeper align.steps=1200
"""
_PHASES = """\b
Examples:
  hlm {verb} examples/hlm.yaml
  hlm {verb} examples/hlm.yaml out=runs/mine seed=1
"""

app = make_app(
    "hlm",
    "Distil a large teacher retriever into the small backbone that RAMEN trains on.",
    EXAMPLES,
)

Settings = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of a chain's settings.")]
Words = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings in place of the file's.")]


@app.command("teacher", epilog=_PHASES.format(verb="teacher"))
def teacher(config: Settings, words: Words = None) -> None:
    """Phase 1: train the large retriever on the task's pairs."""
    _phase("teacher", config, words or [], "align")


@app.command("align", epilog=_PHASES.format(verb="align"))
def align(config: Settings, words: Words = None) -> None:
    """Phase 2: store the teacher's vectors, and align a small query encoder with them on text without labels."""
    _phase("align", config, words or [], "refine")


@app.command("prune", epilog=_PHASES.format(verb="prune"))
def prune(config: Settings, words: Words = None) -> None:
    """Phase 2b: prune a transformer student step by step, and align it again after each cut."""
    _phase("prune", config, words or [], "refine")


@app.command("refine", epilog=_PHASES.format(verb="refine"))
def refine(config: Settings, words: Words = None) -> None:
    """Phase 3: train the student's queries on the task's pairs against the teacher's frozen label vectors."""
    _phase("refine", config, words or [], "run")


@app.command("run", epilog=EXAMPLES)
def run(config: Settings, words: Words = None) -> None:
    """Run all unfinished phases with a gate after each, then report size, retrieval and speed."""
    _phase("run", config, words or [], None)


def _phase(name: str, path: Path, words: list[str], after: str | None) -> None:
    assignments(words)
    config = load_hlm_config(path, words)
    show_log()
    try:
        with needing("train", "distilling"):
            from hlm_bridge.run import run_phase

        with insistent_interrupt():
            out = run_phase(config, name)
    except KeyboardInterrupt:
        raise Stopped(f"stopped; to resume: {shlex.join(['hlm', *sys.argv[1:]])}") from None
    if after is None:
        report = out / "report.md"
        if report.exists():
            show(report.read_text(encoding="utf-8").rstrip())
        preset = [] if config.align.student == "static" else ["--preset", "transformer"]
        text = [] if config.data.text == "full" else [f"data.text={config.data.text}"]
        say_next("ramen", "train", config.data.path, *preset, "--out", "RUN", f"encoder=hlm:{out}", *text)
    else:
        say_next("hlm", after, path, *words)


def main() -> NoReturn:
    """Run the command line and exit with its code; an expected error is one line on stderr."""
    quiet_libraries()
    exits(app, "hlm")


if __name__ == "__main__":
    main()
