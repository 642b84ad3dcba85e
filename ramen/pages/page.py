"""A page: a title and parts that are tables, plots, lines or marked texts; written as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from ramen.files import replacing


@dataclass(frozen=True)
class Answer:
    """One text with its labels.

    Attributes:
        text: what was asked.
        given: labels as ranked, each with whether it is right.
        missed: true labels that are not among them.
    """

    text: str
    given: list[tuple[str, bool]]
    missed: list[str]


@dataclass(frozen=True)
class Part:
    """One part of a page; what is empty does not show.

    Attributes:
        heading: above it.
        text: one paragraph that says how to read it.
        lines: a list.
        head, rows: a table; the first column names the row.
        plot: SVG as a ``data:`` address, of :func:`ramen.pages.plots.drawn`.
        alt: what the plot shows, for those who cannot see it.
        answers: texts with right and wrong labels.
    """

    heading: str
    text: str = ""
    lines: Sequence[str] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    plot: str = ""
    alt: str = ""
    answers: Sequence[Answer] = ()


@dataclass(frozen=True)
class Page:
    """Attributes: the title, one line below it, and the parts in order."""

    title: str
    subtitle: str
    parts: list[Part] = field(default_factory=list)


def write_page(path: Path, page: Page) -> None:
    """Writes the page beside ``path``, then renames it.

    Raises:
        InputError: no permission to write there.
        WorkError: the disk is full.
    """
    from jinja2 import Environment, StrictUndefined

    source = resources.files("ramen.pages").joinpath("page.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = template.from_string(source).render(page=page)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="replace")
