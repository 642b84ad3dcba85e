"""``ramen labels``: adds, removes, renames and lists labels without training."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ramen.cli.console import as_typed, say, say_next, show
from ramen.cli.entries import open_table
from ramen.errors import InputError

ADD_EXAMPLES = """\b
Examples:
  ramen labels add runs/planted new-labels.jsonl
  ramen labels add runs/planted new-labels.csv --text description
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
TABLES = (".csv", ".tsv", ".parquet")
Kind = Literal["csv", "tsv", "jsonl"]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]


@app.command("add", epilog=ADD_EXAMPLES)
def add(
    run: Run,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Labels: JSON lines, or a table: .csv, .tsv (.gz), .parquet; - for stdin."),
    ],
    uid: Annotated[str | None, typer.Option(help="Table: column with the name; default: uid, label or name.")] = None,
    text: Annotated[
        str | None, typer.Option(help="Table: column of the text; default: text or description, else the name is it.")
    ] = None,
    examples: Annotated[
        str | None, typer.Option(help="Table: column of texts that the label fits; default: examples.")
    ] = None,
    label_names: Annotated[
        bool | None,
        typer.Option(
            "--label-names/--no-label-names",
            help="Put a label's name before its description; default: unless names are codes.",
            show_default=False,
        ),
    ] = None,
    separator: Annotated[str | None, typer.Option(help="Between the examples in a cell, such as '|' or '\\n'.")] = None,
    kind: Annotated[
        Kind | None, typer.Option("--format", help="Table: of what kind it is, if its ending does not say so.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Between the cells of .csv and .tsv, such as ';' or '\\t'.")
    ] = None,
    quote: Annotated[bool, typer.Option("--quote", help="Cells of .tsv may stand in quotes.")] = False,
    encoding: Annotated[
        str | None, typer.Option(help="Of tables of text, such as cp1252 or utf-16; default: utf-8.")
    ] = None,
) -> None:
    """Add labels from their texts.

    Each line is {"uid": ..., "text": ...}, perhaps with "examples": a list of texts that the label fits. A table has a
    label per row and such columns; a cell of examples is a list such as ["one text", "another"], or one text.

    Labels are found from the next load of the run on, by the encoder, by their words and by the examples. All are added
    or none.
    """
    from ramen.inference.labels import add_labels, read_labels

    if kind is not None or Path(file.name.removesuffix(".gz")).suffix.lower() in TABLES:
        from ramen.data.label_table import read_label_table

        table = open_table(file, kind, delimiter, quote, True, encoding or "utf-8")
        entries: Iterable[dict[str, Any]] = read_label_table(table, uid, text, examples, separator, label_names, say)
    else:
        options = {
            "--uid": uid, "--text": text, "--examples": examples, "--label-names": label_names,
            "--separator": separator, "--delimiter": delimiter, "--quote": quote or None, "--encoding": encoding,
        }  # fmt: skip
        if told := [name for name, value in options.items() if value is not None]:
            raise InputError(f"{told[0]}: found {file}, expected a table: {', '.join(TABLES)}, or --format")
        entries = read_labels(file, _json_lines(file))
    try:
        count = add_labels(run, entries)
    except InputError as error:
        raise InputError(f"{file}: {error}" if str(error).startswith("label ") else str(error)) from error
    show(f"{run}: {count:,} labels added")
    say_next("ramen", "tag", run, "TEXT")


def _json_lines(file: Path) -> list[str]:
    try:
        return (sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()).decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start + 1} is not UTF-8") from error
    except FileNotFoundError as error:
        raise InputError(f"{file}: expected a file of labels, found nothing there") from error
    except IsADirectoryError as error:
        raise InputError(f"{file}: expected a file of labels, found a folder") from error


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
