"""``ramen labels``: adds, removes, renames and lists labels without training."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ramen.cli.console import as_typed, say_next, show
from ramen.errors import InputError

ADD_EXAMPLES = """\b
Examples:
  ramen labels add runs/planted new-labels.jsonl
  ramen labels add runs/planted - < new-labels.jsonl
"""
REMOVE_EXAMPLES = """\b
Examples:
  ramen labels remove runs/planted label-0000007
  ramen labels remove runs/planted label-0000007 label-0000008
"""
RENAME_EXAMPLES = """\b
Examples:
  ramen labels rename runs/planted label-0000007 "solar charger"
  ramen labels rename runs/planted B07 "battery (lead acid)"
"""
LIST_EXAMPLES = """\b
Examples:
  ramen labels list runs/planted > labels.jsonl
  ramen labels list runs/planted --added
"""

app = typer.Typer(help="Add, remove, rename and list labels without training.", no_args_is_help=False)
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]


@app.command("add", epilog=ADD_EXAMPLES)
def add(
    run: Run, file: Annotated[Path, typer.Argument(metavar="FILE", help="Labels as JSON lines; - for stdin.")]
) -> None:
    """Add labels from their texts.

    Each line is {"uid": ..., "text": ...}, perhaps with "examples": a list of texts that the label fits. They are found
    from the next load of the run on, by the encoder, by their words and by the examples. All are added or none.
    """
    from ramen.inference.labels import add_labels, read_labels

    try:
        lines = (sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()).decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start + 1} is not UTF-8") from error
    except FileNotFoundError as error:
        raise InputError(f"{file}: expected a file of JSON lines, found nothing there") from error
    except IsADirectoryError as error:
        raise InputError(f"{file}: expected a file of JSON lines, found a folder") from error
    count = add_labels(run, read_labels(file, lines))
    show(f"{run}: {count:,} labels added")
    say_next("ramen", "tag", run, "TEXT")


@app.command("remove", epilog=REMOVE_EXAMPLES)
def remove(run: Run, uids: Annotated[list[str], typer.Argument(metavar="UID", help="Of the labels.")]) -> None:
    """Remove labels: no text gets them any more."""
    from ramen.inference.labels import remove_labels

    show(f"{run}: {remove_labels(run, list(map(as_typed, uids))):,} labels removed")


@app.command("rename", epilog=RENAME_EXAMPLES)
def rename(
    run: Run,
    uid: Annotated[str, typer.Argument(metavar="UID", help="Of the label.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is shown from now on.")],
) -> None:
    """Show another text for a label; what finds it stays as it is."""
    from ramen.inference.labels import rename_label

    uid, text = as_typed(uid), as_typed(text)
    rename_label(run, uid, text)
    show(f"{run}: {uid} renamed")


@app.command("list", epilog=LIST_EXAMPLES)
def list_labels(
    run: Run,
    added: Annotated[bool, typer.Option("--added", help="Only labels that came after training.")] = False,
) -> None:
    """Print the labels that a text can get, one JSON object a line: {"uid": ..., "text": ...}."""
    from ramen.inference.run import load_run

    loaded = load_run(run)
    trained = next(iter(loaded.trained.values())).n_labels
    for label in range(trained if added else 0, len(loaded.uids)):
        if loaded.removed is None or not loaded.removed[label]:
            record = {"uid": loaded.uids[label], "text": loaded.texts[label]}
            sys.stdout.buffer.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")  # whatever the locale
