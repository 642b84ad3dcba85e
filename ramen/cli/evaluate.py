"""``ramen eval``: the metrics of a run on the test split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ramen.cli.console import assignments, check_file, say, say_next, show, write_json
from ramen.errors import InputError

if TYPE_CHECKING:
    from ramen.data.dataset import Dataset
    from ramen.inference.evaluation import Rankings

EXAMPLES = """\b
Examples:
  ramen eval runs/planted --data data/planted --against runs/plain --json figures.json
  ramen eval --predictions scores.npz --data data/planted --html page.html
"""

WATCHED = ("P@1", "P@5", "nDCG@5", "PSP@1", "PSP@5", "R@10")


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder of the data set.")],
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="Run folder, or USER/NAME on the Hugging Face hub.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Another system's, instead of a run: .npz, .txt or .npy.")
    ] = None,
    scorer: Annotated[str | None, typer.Option(help="Measure this one alone, such as encoder or sparse.")] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="RUN2", help="Compare with this run or file of predictions, point by point.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page for a browser: plots, and ten texts with their labels.")
    ] = None,
    labels_csv: Annotated[
        Path | None, typer.Option(help="Also write support, precision, recall and F1 of every label to this file.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="data.text=title or full, else the run's; data.test_points=N.",
        ),
    ] = None,
) -> None:
    """Evaluate a run on the test split.

    Prints P, nDCG, R, PSP, PSnDCG and PSR in percent, and F1, precision and recall at the thresholds that the run chose
    on held-out points: one for all labels (as ramen tag --threshold auto), and one for each label. The figures, also
    those of each scorer alone, are written to the run's metrics.json, unless the run is on the hub, --scorer or another
    data.text is given, or with data.test_points=N only some test points are measured, drawn at random. --json adds 95 %
    intervals, and the contributions of rare and frequent labels to P@5.

    For a published data set, recognised by its sizes, also prints the published figures of its card, and a warning if A
    and B differ from the card's.

    Predictions for the test points are sparse scores, points x labels (.npz of scipy, .txt), or ranked labels (.npy of
    numpy, padded with -1).
    """
    _check_files({"--json": json, "--html": html, "--labels-csv": labels_csv})
    text, points = _data_options(overrides or [])
    import ramen
    from ramen.data.options import with_test_points
    from ramen.inference.comparison import compare_rankings, ranked_by
    from ramen.inference.evaluation import Rankings, measure, rankings, save_metrics
    from ramen.inference.f1_figures import write_label_csv

    source = _source(run, predictions)
    if predictions is not None or against is not None:
        _refuse("with predictions or --against", {"--scorer": scorer, "data.text": text})
    if predictions is not None or scorer is not None:
        _refuse("with predictions or --scorer", {"--labels-csv": labels_csv})
    folder = _ready_folder(run, labels_csv, html)
    dataset = whole = ramen.load_dataset(data)
    if points:
        dataset = with_test_points(whole, points, seed=0)
        say(f"measured on {len(dataset.test):,} of {len(whole.test):,} test points")
    ranked = Rankings({"": ranked_by(source, dataset)}) if folder is None else rankings(folder, dataset, scorer, text)
    figures = measure(ranked, dataset, scorer)
    if folder is not None and folder == run and dataset is whole:
        save_metrics(folder, figures, scorer, text)
    _show_figures(figures)
    if run is not None and scorer is None:
        _show_f1(figures.get("f1"))
    if against is not None:
        ranked[str(against)] = ranked_by(against, dataset)
        differences = compare_rankings(ranked[str(against)], ranked[""], dataset)
        figures["against"] = {"system": str(against), **differences}
        _show_differences(against, differences)
    if json is not None:
        write_json(json, figures)
    if labels_csv is not None:
        write_label_csv(labels_csv, ranked, dataset)
        say(f"labels: {labels_csv}")
    if html is not None:
        _write_page(html, source, folder, (ranked, figures, dataset))
    if run is not None:
        say_next("ramen", "tag", run, "TEXT")


def _ready_folder(run: Path | None, labels_csv: Path | None, html: Path | None) -> Path | None:
    """Return the folder of the run; what cannot be written is refused before anything is measured."""
    from ramen.inference.f1_figures import check_thresholds
    from ramen.inference.open import local_folder
    from ramen.pages.plots import check_plots

    if html is not None:
        check_plots()
    folder = None if run is None else local_folder(run)
    if folder is not None and labels_csv is not None:
        check_thresholds(folder, labels_csv)
    return folder


def _write_page(html: Path, source: Path, run: Path | None, measured: tuple[Rankings, dict[str, Any], Dataset]) -> None:
    from ramen.pages import write_report_page
    from ramen.training.story_words import decisions

    log = None if run is None else run / "log.jsonl"
    decided = [] if log is None else decisions(log)
    write_report_page(html, f"{source.name} on {measured[2].card.name}", *measured, log, decided)
    say(f"page: {html}")


def _check_files(files: Mapping[str, Path | None]) -> None:
    for option, path in files.items():
        if path is not None:
            check_file(path, option)


def _source(run: Path | None, predictions: Path | None) -> Path:
    source = predictions if run is None else run
    if source is None or (run is not None and predictions is not None):
        raise InputError("expected a run or --predictions FILE, one of the two")
    return source


def _refuse(where: str, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if value is not None:
            raise InputError(f"{name}: found {where}, expected with a run alone")


def _data_options(overrides: list[str]) -> tuple[str | None, int]:
    """The texts to read, None for those of training; and the number of test points to measure on, 0 for all."""
    options = assignments(overrides)
    for key in options.keys() - {"data.text", "data.test_points"}:
        raise InputError(
            f"argument {key}={options[key]!r}: expected data.text=title, data.text=full or data.test_points=N"
        )
    text = options.get("data.text")
    if text not in (None, "title", "full"):
        raise InputError(f"data.text={text!r}: expected one of title, full")
    points = options.get("data.test_points", "0")
    if not points.isdecimal():
        raise InputError(f"data.test_points={points!r}: expected a whole number of at least 0")
    return text, int(points)


def _show_figures(figures: Mapping[str, Any]) -> None:
    for line in table(figures["test"], figures["propensity"]):
        show(line)
    intervals = _watched(figures["intervals"])
    show("95 %: " + ", ".join(f"{name} {low:.1f} to {high:.1f}" for name, (low, high) in intervals))
    if "calibration" in figures:
        show(_calibration_line(figures["calibration"]))
    if "warning" in figures:
        say(f"warning: {figures['warning']}")
    for method in figures.get("published", []):
        show(f"published: {_published_line(method)}")


def _show_f1(f1: Mapping[str, Mapping[str, float]] | None) -> None:
    from ramen.inference.f1_figures import WITHOUT

    if f1 is None:
        say(f"no F1: the run has no thresholds: {WITHOUT}")
        return
    for kind, where in (("auto", f"from {f1['auto']['threshold']:.3f} on"), ("labels", "by label")):
        one = f1[kind]
        averages = [
            f"{average} {one[f'{average}-F1']:.2f} (precision {one[f'{average}-precision']:.2f}, "
            f"recall {one[f'{average}-recall']:.2f})"
            for average in ("micro", "macro")
        ]
        shown = f"{', '.join(averages)}, by text {one['example-F1']:.2f}; {one['labels per text']:.2f} labels per text"
        show(f"F1 {kind:<7}{shown}   threshold {where}")


def _show_differences(against: Path, differences: Mapping[str, Mapping[str, float]]) -> None:
    show(f"against {against}:")
    for name, metric in _watched(differences):
        interval = f"{metric['difference']:+.2f} ({metric['low']:+.2f} to {metric['high']:+.2f})"
        show(f"{name:<7}{metric['first']:6.2f} -> {metric['second']:5.2f}   {interval}   p {metric['p']:.3f}")


def _calibration_line(calibration: Mapping[str, Any]) -> str:
    line = f"probabilities: calibration error {calibration['ECE']:.1f} points over {calibration['pairs']:,} pairs"
    reached = [
        f"precision {threshold['reached']:.1f} % for a wanted {threshold['wanted']:.0f} %"
        for threshold in calibration["thresholds"]
        if threshold["reached"] is not None
    ]
    return "; ".join([line, *reached[-2:]])


def _published_line(method: Mapping[str, Any]) -> str:
    figures = ", ".join(f"{name} {method[name]:.1f}" for name in ("P@1", "PSP@1") if name in method)
    return f"{method['method']} {figures} ({method['source']})"


def _watched(figures: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, figures[name]) for name in WATCHED]


def table(test: Mapping[str, float], propensity: Mapping[str, Any]) -> list[str]:
    """Format figures in percent, one metric per line; the PSP line shows the propensity constants.

    Args:
        test: ``{"P@1": 41.0, ...}``, the same cut-offs for every metric; ``"R@100"`` is optional.
        propensity: ``{"A": ..., "B": ..., "source": ...}``.

    Example:
        >>> from ramen.metrics.report import METRICS
        >>> figures = {f"{metric}@1": 50.0 for metric in METRICS}
        >>> table(figures, {"A": 0.5, "B": 0.4, "source": "card"})[4]
        'PSP      50.00   A 0.5, B 0.4 (card)'
    """
    from ramen.metrics.report import METRICS

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
