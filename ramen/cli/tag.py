"""``ramen tag``: texts in, labels out, one JSON object per line."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from ramen.cli.console import say
from ramen.errors import InputError

if TYPE_CHECKING:
    from ramen import Tagger

EXAMPLES = """\b
Examples:
  ramen tag runs/planted "lead acid battery charger"
  ramen tag runs/planted --k 3 --precision 0.9 < titles.txt > tags.jsonl
"""

BATCH = 256
MAX_NAMED = 10

T = TypeVar("T")


class Entry(NamedTuple):
    """An input text with its origin and its error ("" for none)."""

    where: str
    text: str
    problem: str


def tag(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts; without any, the lines of stdin.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Labels per text, at most.")] = 5,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Leave out labels of a lower probability.")
    ] = None,
    precision: Annotated[
        float | None, typer.Option(help="Leave out labels so that this share of validation's answers was right.")
    ] = None,
) -> None:
    """Tag texts with a run.

    Prints one JSON object per text, in order: {"text": ..., "labels": [{"uid", "text", "score", "probability"}, ...]};
    with --threshold or --precision a text may have none. A run of too few validation points has no probabilities.

    A text that is blank, not UTF-8 or too long does not stop the others: {"text": ..., "error": ...} stands in its
    place, stderr names it (the first 10, then a count), and the exit code is 2 at the end.
    """
    from ramen import Tagger

    tagger = Tagger.load(run)
    lowest = tagger.threshold(threshold, precision) or None
    if not texts and sys.stdin.isatty():
        say("reading texts from the terminal, one per line; end with Ctrl-D")
    source = _arguments(texts) if texts else _lines(sys.stdin.buffer)
    out = sys.stdout.buffer
    n = n_bad = 0
    for batch in batches(source, BATCH):
        for entry, record in zip(batch, _records(tagger, batch, k, lowest), strict=True):
            if "error" in record:
                n_bad += 1
                if n_bad <= MAX_NAMED:
                    say(f"ramen: {entry.where}: {record['error']}")
            out.write(json.dumps({"text": entry.text, **record}, ensure_ascii=False).encode() + b"\n")
        out.flush()
        n += len(batch)
    if n_bad > MAX_NAMED:
        say(f"ramen: {n_bad} of {n} {'texts' if texts else 'lines'} were not tagged")
    if n_bad:
        raise typer.Exit(2)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of up to ``size`` items."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def _records(tagger: Tagger, batch: list[Entry], k: int, lowest: float | None) -> list[dict[str, Any]]:
    """Return ``{"labels": ...}`` or ``{"error": ...}`` for each entry."""
    good = [entry.text for entry in batch if not entry.problem]
    try:
        tagged = iter([{"labels": labels} for labels in tagger.tag(good, k, lowest)] if good else [])
    except InputError:  # one invalid text rejects the whole batch
        tagged = iter([_alone(tagger, text, k, lowest) for text in good])
    return [{"error": entry.problem} if entry.problem else next(tagged) for entry in batch]


def _alone(tagger: Tagger, text: str, k: int, lowest: float | None) -> dict[str, Any]:
    try:
        return {"labels": tagger.tag([text], k, lowest)[0]}
    except InputError as error:
        return {"error": str(error).removeprefix("text 1: ")}


def _arguments(texts: Iterable[str]) -> Iterator[Entry]:
    for number, text in enumerate(texts, start=1):
        # Bytes of an argument that are not UTF-8 arrive as lone surrogates.
        yield _entry(text.encode("utf-8", "surrogateescape"), f"text {number}")


def _lines(stream: Iterable[bytes]) -> Iterator[Entry]:
    for number, line in enumerate(stream, start=1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        yield _entry(line.rstrip(b"\r\n"), f"stdin, line {number}")


def _entry(raw: bytes, where: str) -> Entry:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return Entry(where, raw.decode("utf-8", "replace"), f"byte {error.start + 1} is not UTF-8")
    return Entry(where, text, "" if text.strip() else "blank, expected a text")
