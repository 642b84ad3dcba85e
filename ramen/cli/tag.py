"""``ramen tag``: texts in, labels out, one JSON object per line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from ramen.cli.console import say
from ramen.errors import InputError

EXAMPLES = """\b
Examples:
  ramen tag runs/planted "lead acid battery charger"
  ramen tag runs/planted --k 3 < titles.txt > tags.jsonl
"""

BATCH = 256


def tag(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts; without any, the lines of stdin.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Labels per text.")] = 5,
) -> None:
    """Tag texts with a run.

    Prints one JSON object per text: {"text": ..., "labels": [{"uid", "text", "score"}, ...]}.
    """
    from ramen import Tagger

    tagger = Tagger.load(run)
    if not texts and sys.stdin.isatty():
        say("reading texts from the terminal, one per line; end with Ctrl-D")
    source = _arguments(texts) if texts else _lines(sys.stdin.buffer)
    out = sys.stdout.buffer
    first = 1
    for batch in batches(source, BATCH):
        try:
            tagged = tagger.tag(batch, k=k)
        except InputError as error:  # it counts within the batch
            raise InputError(f"texts {first} to {first + len(batch) - 1}: {error}") from None
        for text, labels in zip(batch, tagged, strict=True):
            out.write(json.dumps({"text": text, "labels": labels}, ensure_ascii=False).encode() + b"\n")
        out.flush()
        first += len(batch)


def batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lists of up to ``size`` texts; an InputError of ``texts`` is raised after what came before it is given out."""
    source = iter(texts)
    while True:
        batch: list[str] = []
        try:
            for text in islice(source, size):
                batch.append(text)
        except InputError:
            if batch:
                yield batch
            raise
        if not batch:
            return
        yield batch


def _arguments(texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts, start=1):
        # Bytes of an argument that are not UTF-8 arrive as lone surrogates.
        yield _sound(text.encode("utf-8", "surrogateescape"), f"text {number}")


def _lines(stream: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(stream, start=1):
        yield _sound(line.rstrip(b"\r\n"), f"stdin, line {number}")


def _sound(raw: bytes, where: str) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: byte {error.start + 1} is not UTF-8") from None
    if not text.strip():
        raise InputError(f"{where}: blank, expected a text")
    return text
