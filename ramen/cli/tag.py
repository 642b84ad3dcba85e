"""``ramen tag``: texts in, labels out, one JSON object per line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from ramen.cli.console import say
from ramen.cli.entries import Entry, arguments, lines, open_table, rows
from ramen.cli.reasons import lines_of
from ramen.errors import InputError

if TYPE_CHECKING:
    from ramen.inference.tagger import Tagger, Threshold

EXAMPLES = """\b
Examples:
  ramen tag runs/planted --k 3 "lead acid battery charger"
  ramen tag runs/planted --file articles.csv --text title,body --uid id --precision 0.9 > tags.jsonl
"""

BATCH = 256
MAX_NAMED = 10

Kind = Literal["csv", "tsv", "jsonl"]
Tag = Callable[[list[str]], list[list[dict[str, Any]]]]
T = TypeVar("T")


def tag(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or USER/NAME on the Hugging Face hub.")],
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts; without any, the lines of stdin.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Tag a table's rows: .jsonl, .json, .csv, .tsv (.gz), .parquet; - for stdin.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="File: column of the text; two as in title,body. Default: the column text.")
    ] = None,
    uid: Annotated[str | None, typer.Option(help="File: column with a name of the text, to print with it.")] = None,
    kind: Annotated[
        Kind | None, typer.Option("--format", help="File: of what kind it is, if its ending does not say so.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Between the cells of .csv and .tsv, such as ';' or '\\t'.")
    ] = None,
    quote: Annotated[bool, typer.Option("--quote", help="Cells of .tsv may stand in quotes.")] = False,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="The first line has no names; columns are called 1, 2, 3 ...")
    ] = False,
    encoding: Annotated[
        str | None, typer.Option(help="Of files of text, such as cp1252 or utf-16; default: utf-8.")
    ] = None,
    tab: Annotated[
        bool, typer.Option("--tab", help="In TEXT and lines of stdin, the first tab separates title and content.")
    ] = False,
    k: Annotated[
        int | None,
        typer.Option(
            "--k", min=1, help="Labels per text, at most. Default: 5; with --threshold or --precision all, up to 1,000."
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="auto|labels|P",
            help="Leave out labels of a lower probability than P, 0 to 1; auto: than the best for micro-F1 on held-out "
            "points; labels: than the best of each label.",
        ),
    ] = None,
    precision: Annotated[
        float | None, typer.Option(help="Leave out labels so that this share of validation's answers was right.")
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Explain each label: terms of the scorers, words and neighbours.")
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print JSON on a terminal, too, where --why prints lines for people.")
    ] = False,
) -> None:
    """Tag texts with a run.

    Prints one JSON object per text, in order: {"text": ..., "labels": [{"uid", "text", "score", "probability"}, ...]};
    with --threshold or --precision a text may have none. A run of too few validation points has no probabilities.
    With --uid an object starts with "uid"; with --why each label has "why": {"scorers", "words", "neighbours"}. On a
    terminal --why prints lines for people instead: the words and training points that speak for each label.

    A text that is blank, not UTF-8, no text or too long does not stop the others: {"text": ..., "error": ...} stands in
    its place, stderr names it (the first 10, then a count), and the exit code is 2 at the end. A file that is broken
    is refused as a whole.
    """
    options = {"--text": text, "--uid": uid, "--format": kind, "--delimiter": delimiter, "--quote": quote,
               "--no-header": no_header, "--encoding": encoding}  # fmt: skip
    _check_source(file, texts, tab, [name for name, value in options.items() if value])
    if file is not None:
        table = open_table(file, kind, delimiter, quote, not no_header, encoding or "utf-8")
        source, what = rows(table, text, uid), "rows"
    elif texts:
        source, what = arguments(texts, tab), "texts"
    else:
        source, what = lines(sys.stdin.buffer, tab), "lines"
    lowest = _threshold(threshold)
    tagger = _load(run, lowest, precision)
    if what == "lines" and sys.stdin.isatty():
        say("reading texts from the terminal, one per line; end with Ctrl-D")
    as_line = _readable if why and not json_lines and sys.stdout.isatty() else _as_json
    _write(source, what, lambda batch: tagger.tag(batch, k, lowest, precision, why), as_line)


def _load(run: str, lowest: Threshold | None, precision: float | None) -> Tagger:
    """Load a run; a threshold that it does not have is refused before any text is read."""
    import ramen

    tagger = ramen.load(run)
    if lowest is not None or precision is not None:
        tagger.threshold(lowest, precision)
    return tagger


def _threshold(value: str | None) -> Threshold | None:
    if value is None:
        return None
    if value == "auto":
        return "auto"
    if value == "labels":
        return "labels"
    try:
        if 0 <= float(value) <= 1:
            return float(value)
    except ValueError:
        pass
    raise InputError(f"--threshold {value}: expected a number from 0 to 1, auto or labels")


def _check_source(file: Path | None, texts: list[str] | None, tab: bool, of_file: list[str]) -> None:
    """Raise where options of one source of texts stand beside another source."""
    if file is None and of_file:
        raise InputError(f"{of_file[0]}: expected --file FILE with it, or --file - for standard input")
    if file is not None and texts:
        raise InputError(f"--file {file}: found TEXT {texts[0]!r:.40} as well, expected one of the two")
    if file is not None and tab:
        raise InputError(f"--tab: found --file {file} as well, expected --text title,content with it")


def _as_json(entry: Entry, record: dict[str, Any]) -> str:
    of_uid = {} if entry.uid is None else {"uid": entry.uid}
    return json.dumps({**of_uid, "text": entry.text, **record}, ensure_ascii=False) + "\n"


def _readable(entry: Entry, record: dict[str, Any]) -> str:
    return "".join(line + "\n" for line in lines_of(entry, record))


def _write(
    source: Iterable[Entry], what: str, tag_all: Tag, as_line: Callable[[Entry, dict[str, Any]], str] = _as_json
) -> None:
    """Write what ``as_line`` makes of each entry; exits with 2 if some were bad."""
    out = sys.stdout.buffer
    n = n_bad = 0
    for batch in batches(source, BATCH):
        for entry, record in zip(batch, _records(batch, tag_all), strict=True):
            if "error" in record:
                n_bad += 1
                if n_bad <= MAX_NAMED:
                    say(f"ramen: {entry.where}: {record['error']}")
            out.write(as_line(entry, record).encode())
        out.flush()
        n += len(batch)
    if n_bad > MAX_NAMED:
        say(f"ramen: {n_bad} of {n} {what} were not tagged")
    if n_bad:
        raise typer.Exit(2)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of up to ``size`` items."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def _records(batch: list[Entry], tag_all: Tag) -> list[dict[str, Any]]:
    """Return ``{"labels": ...}`` or ``{"error": ...}`` for each entry."""
    good = [entry.text for entry in batch if not entry.problem]
    try:
        tagged = iter([{"labels": labels} for labels in tag_all(good)] if good else [])
    except InputError:  # one invalid text rejects the whole batch
        tagged = iter([_alone(text, tag_all) for text in good])
    return [{"error": entry.problem} if entry.problem else next(tagged) for entry in batch]


def _alone(text: str, tag_all: Tag) -> dict[str, Any]:
    try:
        return {"labels": tag_all([text])[0]}
    except InputError as error:
        return {"error": str(error).removeprefix("text 1: ")}
