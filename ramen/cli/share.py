"""``ramen push`` and ``ramen pull``: a run to the Hugging Face hub, and from there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramen.cli.console import say_next, show
from ramen.errors import InputError

PUSH_EXAMPLES = """\b
Examples:
  ramen push runs/planted USER/planted
  ramen push runs/planted USER/planted --private
"""
PULL_EXAMPLES = """\b
Examples:
  ramen pull USER/planted --out runs/planted
  ramen pull USER/planted --revision v1 --out runs/planted-v1
"""

_NAME = "USER/NAME"


def push(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    repo: Annotated[str, typer.Argument(metavar=_NAME, help="Repository on the hub; it is made if it is missing.")],
    private: Annotated[bool, typer.Option("--private", help="If it is made: only for you and who you let in.")] = False,
    branch: Annotated[str | None, typer.Option(help="To write to; default: main.")] = None,
) -> None:
    """Upload a run to the Hugging Face hub, with its card, index and added labels.

    Log in first with hf auth login, or set HF_TOKEN. Read RUN/README.md, the model card, before you share: a run holds
    the texts of its labels, words of the training texts, and their titles or beginnings.
    """
    from ramen.inference.hub import push_run

    show(push_run(run, repo, private=private or None, branch=branch))
    say_next("ramen", "tag", repo, "TEXT")


def pull(
    repo: Annotated[str, typer.Argument(metavar=_NAME, help="Repository on the hub.")],
    out: Annotated[Path, typer.Option(help="Run folder to write: new or empty.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; default: main.")] = None,
) -> None:
    """Download a run from the Hugging Face hub into a folder of its own, and check it.

    ramen tag takes USER/NAME directly; every other command takes the folder.
    """
    from ramen.inference.hub import copy_run, download_run

    if out.exists() and (not out.is_dir() or any(out.iterdir())):  # before the download
        raise InputError(f"{out}: found files there, expected a new or empty folder; name another --out")
    copy_run(download_run(repo, revision), out)
    show(f"{out}: {repo}")
    say_next("ramen", "tag", out, "TEXT")
