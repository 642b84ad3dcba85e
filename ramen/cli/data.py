"""``ramen data``: list, download, build, import and check data sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ramen.cli.console import assignments, check_file, say, say_next, show, write_json

if TYPE_CHECKING:
    from ramen.data.check import Report

PREPARE_EXAMPLES = """\b
Examples:
  ramen data prepare wordnet --out data/wordnet
  ramen data prepare planted --out data/small points=300 labels=120 seed=7
"""

LIST_EXAMPLES = """\b
Examples:
  ramen data list
  ramen data list --json cards.json
"""

GET_EXAMPLES = """\b
Examples:
  ramen data get LF-AmazonTitles-131K --from LF-AmazonTitles-131K.zip --out data/LF-AmazonTitles-131K
  ramen data get Bibtex --from https://example.org/Bibtex.tar.gz --out data/Bibtex
"""

IMPORT_EXAMPLES = """\b
Examples:
  ramen data import articles.csv --text title,body --labels tags --out data/articles
  ramen data import a.jsonl --text name --labels tags --label-file tags.csv --label-uid tag --label-text description \\
    --graph shelf=shelves --label-graph shelf=shelves --out data/a
  ramen data import excel.csv --delimiter ';' --encoding cp1252 --text title --labels music,wood,stone --out data/e
  ramen data import bare.tsv --no-header --text 1,2 --labels 3 --separator , --out data/bare
"""

CHECK_EXAMPLES = """\b
Examples:
  ramen data check data/planted
  ramen data check data/LF-AmazonTitles-131K --html page.html && echo sound
"""

app = typer.Typer(help="Build data sets and check them.")


@app.command(name="list", epilog=LIST_EXAMPLES)
def list_(json: Annotated[Path | None, typer.Option(help="Also write all facts to this file.")] = None) -> None:
    """Show the cards of known data sets: sizes, propensity constants and the best published P@1.

    --json has all facts, such as the files of an archive, the codes that disagree on A and B, and published figures
    with their sources.

    A folder with the name of a card is evaluated with its constants; `ramen data check` warns if its sizes differ.
    """
    from ramen.data.cards import shipped_facts

    cards = shipped_facts()
    show(f"{'set':<26}{'train':>10}{'test':>9}{'labels':>10}   {'A':<5}{'B':<5}{'P@1 up to':<11}what it is")
    for name, facts in cards.items():
        sizes = [f"{facts[key]:,}" if key in facts else "" for key in ("train", "test", "labels")]
        constants = f"{facts.get('A', 0.55)!s:<5}{facts.get('B', 1.5)!s:<5}"
        best = max((one["P@1"] for one in facts.get("published", []) if "P@1" in one), default="")
        show(f"{name:<26}{sizes[0]:>10}{sizes[1]:>9}{sizes[2]:>10}   {constants}{best!s:<11}{facts['title']}")
    if json is not None:
        write_json(json, cards)


@app.command(epilog=GET_EXAMPLES)
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a card; see ramen data list.")],
    source: Annotated[str, typer.Option("--from", metavar="ARCHIVE_OR_URL", help="A .zip or .tar.*, or its address.")],
    out: Annotated[Path, typer.Option(help="Folder to write: new or empty.")],
) -> None:
    """Unpack the archive of a known data set and check it against its card.

    A URL is downloaded first; an interrupted download resumes.
    """
    from ramen.data.get import get as get_set

    get_set(name, source, out, say)
    say_next("ramen", "data", "check", out)


@app.command(epilog=PREPARE_EXAMPLES)
def prepare(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Recipe: debian, debian-files, debian-tags, planted or wordnet.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write: new or empty.")],
    options: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Options of the recipe.")] = None,
) -> None:
    """Build the data set of a recipe."""
    from ramen.data.prepare import prepare as build

    build(name, out, report=say, **assignments(options or []))
    say_next("ramen", "data", "check", out)


@app.command(name="import", epilog=IMPORT_EXAMPLES)
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Points, one per row: .jsonl, .json, .csv, .tsv (.gz), .parquet.")
    ],
    text: Annotated[str, typer.Option(help="Column of the text; two as in title,body.")],
    labels: Annotated[
        str,
        typer.Option(help="Column with the names of the labels; or a column of 0 and 1 for each, as in music,wood."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write: new or empty.")],
    uid: Annotated[str | None, typer.Option(help="Column with a name of the point.")] = None,
    test_file: Annotated[Path | None, typer.Option(help="Test points, with the same columns.")] = None,
    test: Annotated[float, typer.Option(help="Share that is held out for the test, without a test file.")] = 0.2,
    label_file: Annotated[Path | None, typer.Option(help="Labels, one per row.")] = None,
    label_uid: Annotated[str, typer.Option(help="Label file: column with the name of the label.")] = "uid",
    label_text: Annotated[str, typer.Option(help="Label file: column of the text.")] = "text",
    label_names: Annotated[
        bool | None,
        typer.Option(
            "--label-names/--no-label-names",
            help="Put a label's name before its description; default: unless names are codes.",
            show_default=False,
        ),
    ] = None,
    graph: Annotated[
        list[str] | None, typer.Option(metavar="KIND=COLUMN", help="Column with anchors of points.")
    ] = None,
    label_graph: Annotated[
        list[str] | None, typer.Option(metavar="KIND=COLUMN", help="Label file: column with anchors of labels.")
    ] = None,
    separator: Annotated[
        str | None, typer.Option(help="Between the names in a cell, such as ';' or '\\n'; default: noticed and shown.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Between the cells of .csv and .tsv, such as ';' or '\\t'.")
    ] = None,
    quote: Annotated[bool, typer.Option("--quote", help="Cells of .tsv may stand in quotes.")] = False,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="The first line has no names; columns are called 1, 2, 3 ...")
    ] = False,
    encoding: Annotated[str, typer.Option(help="Of files of text, such as cp1252 or utf-16.")] = "utf-8",
) -> None:
    """Build a data set from your own tables.

    Equal texts stay in one split, and every label keeps a training point. Anchors are texts that points or labels
    share, such as categories or pages that link to them.

    Names in a cell are a list such as ['music', 'wood'], or stand between marks such as ";", "|" or ","; what was
    noticed is shown.
    """
    from ramen.data import write_dataset
    from ramen.data.delimited import Format
    from ramen.data.own import Columns, read_own

    columns = Columns(
        text, labels, uid, label_uid, label_text, assignments(graph or []), assignments(label_graph or [])
    )
    dataset = read_own(
        file,
        columns,
        test_file=test_file,
        test=test,
        label_file=label_file,
        separator=separator,
        keep_names=label_names,
        form=Format(delimiter, quote, not no_header, encoding),
        report=say,
    )
    dataset = replace(dataset, card=replace(dataset.card, name=out.resolve().name))
    write_dataset(dataset, out)
    say(f"{len(dataset.train):,} training points, {len(dataset.test):,} test points, {dataset.n_labels:,} labels")
    say_next("ramen", "data", "check", out)


@app.command(epilog=CHECK_EXAMPLES)
def check(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of a data set.")],
    make_filters: Annotated[
        bool, typer.Option("--make-filters", help="Write the filters of reciprocal pairs: filter_labels_*.txt.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page for a browser, with plots of the labels and graphs.")
    ] = None,
) -> None:
    """Check a data set and show its statistics.

    Prints all problems and exits with 2 if there are any. Otherwise it also shows how informative each graph is about
    the labels beyond the text.
    """
    from ramen.data import load_dataset
    from ramen.data.check import check as check_folder
    from ramen.graph.forecast import forecast_lines
    from ramen.pages.plots import check_plots

    if html is not None:
        check_plots()
        check_file(html, "--html")
    report = check_folder(data)
    for line in report.lines():
        show(line)
    dataset = report.dataset
    if dataset is None:
        _write_page(html, report, [])
        raise typer.Exit(2)
    if make_filters:
        from ramen.data.filters import write_filters

        for name, count in write_filters(dataset).items():
            say(f"{data / name}: {count:,} pairs")
        report.dataset = dataset = load_dataset(data)
    forecast = forecast_lines(dataset)
    for line in forecast:
        show(line)
    _write_page(html, report, forecast)
    say_next("ramen", "train", data, "--out", Path("runs") / data.resolve().name)


def _write_page(html: Path | None, report: Report, forecast: list[str]) -> None:
    if html is not None:
        from ramen.pages import write_data_page

        write_data_page(html, report, forecast)
        say(f"page: {html}")
