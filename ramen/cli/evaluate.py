"""``ramen eval``: the metrics of a run on the test split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ramen.cli.console import assignments, say_next, show, write_json
from ramen.errors import InputError

EXAMPLES = """\b
Examples:
  ramen eval runs/planted --data data/planted
  ramen eval runs/planted --data data/planted data.text=title --scorer encoder --json encoder.json
"""

METRICS = ("P", "nDCG", "R", "PSP", "PSnDCG", "PSR")


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    data: Annotated[Path, typer.Option(help="Folder of the data set.")],
    scorer: Annotated[str | None, typer.Option(help="Measure this one alone, such as encoder or sparse.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="data.text=title or full; default: the run's.")
    ] = None,
) -> None:
    """Measure a run on the test split.

    Prints P, nDCG, R, PSP, PSnDCG and PSR in percent. Those of the joint ranking, and of each scorer alone, also go
    into the run's metrics.json; with --scorer or another data.text nothing is written there.
    """
    if json is not None and not json.parent.is_dir():
        raise InputError(f"--json {json}: folder {json.parent} is missing")
    options = assignments(overrides or [])
    for key in options.keys() - {"data.text"}:
        raise InputError(f"argument {key}={options[key]!r}: expected data.text=title or data.text=full")
    text = options.get("data.text")
    if text not in (None, "title", "full"):
        raise InputError(f"data.text={text!r}: expected one of title, full")
    import ramen

    figures = ramen.evaluate(run, data, save=True, scorer=scorer, text=text)
    for line in table(figures["test"], figures["propensity"]):
        show(line)
    if json is not None:
        write_json(json, figures)
    say_next("ramen", "tag", run, "a text to tag")


def table(test: Mapping[str, float], propensity: Mapping[str, Any]) -> list[str]:
    """Figures in percent, a metric per line; the PSP line says which constants it was made with.

    Args:
        test: ``{"P@1": 41.0, ...}``, the same cut-offs for every metric; ``"R@100"`` may come on top.
        propensity: ``{"A": ..., "B": ..., "source": ...}``.

    Example:
        >>> figures = {f"{metric}@1": 50.0 for metric in METRICS}
        >>> table(figures, {"A": 0.5, "B": 0.4, "source": "card"})[4]
        'PSP      50.00   A 0.5, B 0.4 (card)'
    """
    cut_offs = [key.removeprefix("P@") for key in test if key.startswith("P@")]
    lines = ["      " + "".join(f"{'@' + cut_off:>8}" for cut_off in cut_offs)]
    for metric in METRICS:
        line = f"{metric:<6}" + "".join(f"{test[f'{metric}@{cut_off}']:8.2f}" for cut_off in cut_offs)
        if metric == "R" and "R@100" in test:
            line += f"   @100 {test['R@100']:.2f}"
        if metric == "PSP":
            line += f"   A {propensity['A']}, B {propensity['B']} ({propensity['source']})"
        lines.append(line)
    return lines
