"""``ramen check``: reads all of a run folder and says whether it is sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramen.cli.console import show

EXAMPLES = """\b
Examples:
  ramen check runs/planted
  ramen check runs/planted && ramen serve runs/planted
"""


def check(run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]) -> None:
    """Check a run folder: hashes, and whether every file holds what it should.

    Loading does the same, but hashes only files that changed since `ramen index`, and looks at all values of an array
    once. This looks at all that tagging reads, with the index and added labels. Nothing is written into the folder.
    """
    from ramen.inference.check import check_folder

    for part in check_folder(run):
        show(f"{part.name}: {part.files} {'file' if part.files == 1 else 'files'}, {part.size:,} bytes, ok")
