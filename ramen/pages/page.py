"""An HTML page of tables, plots, lists and example texts, written as one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from ramen.files import replacing


@dataclass(frozen=True)
class Example:
    """One text with its labels.

    Attributes:
        text: of the point.
        predicted: ranked labels, each with whether it is right.
        missed: true labels that were not predicted.
    """

    text: str
    predicted: list[tuple[str, bool]]
    missed: list[str]


@dataclass(frozen=True)
class Part:
    """One part of a page; empty fields are not shown.

    Attributes:
        heading: above it.
        text: one explanatory paragraph.
        lines: a list.
        head, rows: a table; the first column names the row.
        plot: SVG as a ``data:`` address, of :func:`ramen.pages.plots.drawn`.
        alt: alternative text of the plot.
        examples: texts with right and wrong labels.
    """

    heading: str
    text: str = ""
    lines: Sequence[str] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    plot: str = ""
    alt: str = ""
    examples: Sequence[Example] = ()


@dataclass(frozen=True)
class Page:
    """A page: its title, a subtitle, and the parts in order."""

    title: str
    subtitle: str
    parts: list[Part] = field(default_factory=list)


def write_page(path: Path, page: Page) -> None:
    """Write the page next to ``path``, then rename it.

    Raises:
        InputError: the file is not writable.
        WorkError: the disk is full.
    """
    from jinja2 import Environment, StrictUndefined

    source = resources.files("ramen.pages").joinpath("page.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = template.from_string(source).render(page=page)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="replace")
