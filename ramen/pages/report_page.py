"""The page of ``ramen eval --html``: figures with intervals, curves, rare and frequent labels, scorers, ten texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ramen.data.dataset import Dataset
from ramen.inference.evaluation import Rankings
from ramen.metrics import by_frequency, inverse_propensity, report
from ramen.metrics.report import METRICS
from ramen.pages.f1_parts import f1_parts
from ramen.pages.page import Example, Page, Part, write_page
from ramen.pages.plots import check_plots, curves, diagonal, drawn
from ramen.pages.texts import shown_label, shown_text
from ramen.pages.training_plot import training_part

SIDE_BY_SIDE = ("P@1", "P@5", "nDCG@5", "PSP@1", "PSP@5", "R@10", "R@100")
_DEEPEST = 10  # the curves end there
_TEXTS, _SHOWN = 10, 5  # texts, and labels of each


def write_report_page(
    path: str | Path, title: str, ranked: Mapping[str, np.ndarray], figures: Mapping[str, Any], dataset: Dataset,
    log: Path | None = None, decisions: Sequence[str] = (),
) -> None:  # fmt: skip
    """Write the evaluation of a system as a self-contained HTML page.

    Args:
        path: file to write.
        title: of the page.
        ranked: labels of every test point, best first, int (N, K), -1 for none: of the system under ``""``, and
            of its scorers and the system compared with under their names.
        figures: as :func:`ramen.evaluate` returns them, optionally with ``"against"``.
        dataset: of the test part.
        log: ``log.jsonl`` of the run, of which the page plots the training; None for no such plot.
        decisions: of the training, in words.

    Raises:
        InputError: matplotlib is not installed, or the file is not writable.
    """
    check_plots()
    named = {name or "joined" if len(ranked) > 1 else title: labels for name, labels in ranked.items()}
    card = dataset.card
    points = f"{figures['points']:,} test points of {dataset.path.resolve().name}"
    constants = f"propensity constants A {card.A}, B {card.B} ({card.source})"
    parts = [_table(figures)]
    if "warning" in figures:
        parts.append(Part("Warning", lines=[figures["warning"]]))
    if "published" in figures:
        parts.append(_published(figures))
    if "against" in figures:
        parts.append(_against(figures["against"]))
    parts += [_curves(named, dataset), _frequency(named, dataset)]
    if figures.get("scorers"):
        parts.append(_scorers(figures))
    if figures.get("ranking"):
        parts.append(_moves(figures["ranking"]))
    if "calibration" in figures:
        parts.append(_calibration(figures["calibration"]))
    if "f1" in figures and isinstance(ranked, Rankings):
        parts += f1_parts(ranked, figures, dataset)
    if decisions:
        text = "On the held-out training points; validation is the geometric mean of P@1, P@5, PSP@5 and R@10."
        parts.append(Part("What training decided", text=text, lines=decisions))
    training = training_part(log) if log is not None else None
    if training is not None:
        parts.append(training)
    parts.append(_examples(ranked[""], dataset))
    write_page(Path(path), Page(title, f"{points}; {constants}.", parts))


def _table(figures: Mapping[str, Any]) -> Part:
    test, ranges = figures["test"], figures["intervals"]
    cut_offs = [name.removeprefix("P@") for name in test if name.startswith("P@")]
    rows = []
    for metric in METRICS:
        names = [f"{metric}@{cut_off}" for cut_off in cut_offs]
        rows.append(
            [metric, *(f"{test[name]:.2f}  ({ranges[name][0]:.1f} to {ranges[name][1]:.1f})" for name in names)]
        )
    text = "Percent; in brackets 95 % intervals of a bootstrap over the test points."
    return Part("Figures", text=text, head=["", *(f"@{cut_off}" for cut_off in cut_offs)], rows=rows)


def _published(figures: Mapping[str, Any]) -> Part:
    rows = [["this", f"{figures['test']['P@1']:.2f}", f"{figures['test']['PSP@1']:.2f}", "measured here"]]
    for one in figures["published"]:
        rows.append([one["method"], *(f"{one[name]:.2f}" if name in one else "" for name in ("P@1", "PSP@1"))])
        rows[-1].append(one["source"])
    text = "As published: read each source for the texts, filters and constants that it was measured with."
    return Part("Beside published figures", text=text, head=["", "P@1", "PSP@1", "source"], rows=rows)


def _against(against: Mapping[str, Any]) -> Part:
    rows = [
        [
            name,
            f"{change['first']:.2f}",
            f"{change['second']:.2f}",
            f"{change['difference']:+.2f}  ({change['low']:+.2f} to {change['high']:+.2f})",
            f"{change['p']:.3f}",
        ]
        for name, change in against.items()
        if name != "system"
    ]
    text = "The same test points, paired; p: two-sided p value of a randomisation test."
    return Part(f"Against {against['system']}", text=text, head=["", "it", "this", "difference", "p"], rows=rows)


def _curves(named: Mapping[str, np.ndarray], dataset: Dataset) -> Part:
    places = range(1, _DEEPEST + 1)
    weights = inverse_propensity(dataset.train_targets, dataset.card.A, dataset.card.B)
    reports = {name: report(labels, dataset.test_targets, weights, ks=places) for name, labels in named.items()}
    panels = [
        curves(
            {name: [one[f"{metric}@{k}"] for k in places] for name, one in reports.items()},
            places,
            "k",
            f"{metric}@k, %",
        )
        for metric in ("P", "PSP")
    ]
    return Part("Precision by depth", plot=drawn(*panels), alt="Curves of P@k and of PSP@k for k from 1 to 10.")


def _frequency(named: Mapping[str, np.ndarray], dataset: Dataset) -> Part:
    counts = np.bincount(dataset.train_targets.indices, minlength=dataset.n_labels)
    groups_of = {name: by_frequency(labels, dataset.test_targets, counts) for name, labels in named.items()}
    first = next(iter(groups_of.values()))
    ticks = [f"{group.fewest}–{group.most}" if group.fewest < group.most else f"{group.fewest}" for group in first]
    places = range(1, len(first) + 1)
    panels = [
        curves(
            {name: [getattr(group, key) for group in groups] for name, groups in groups_of.items()},
            places, "training points of a label", says, ticks,
        )
        for key, says in (("precision", "share of P@5, points"), ("recall", "true pairs found in 5, %"))
    ]  # fmt: skip
    text = (
        "Labels from rare to frequent, in groups that hold about a tenth of the training pairs each: what their hits "
        "add to P@5, and the share of their true pairs among the first five."
    )
    return Part("Rare and frequent labels", text=text, plot=drawn(*panels), alt="P@5 and recall by label frequency.")


def _scorers(figures: Mapping[str, Any]) -> Part:
    systems = {"joined": figures["test"], **figures["scorers"]}
    rows = [[name, *(f"{one[metric]:.2f}" for metric in SIDE_BY_SIDE)] for name, one in systems.items()]
    return Part("Scorers side by side", text="Each alone, and joined.", head=["", *SIDE_BY_SIDE], rows=rows)


def _moves(moves: Mapping[str, float]) -> Part:
    text = (
        "By how much each part of the joint score moves a label up or down, on average over the first labels of some "
        "test points. 'Together' is what all scorers say at once. The parts of a label add up to its score."
    )
    whole = sum(moves.values()) or 1.0
    rows = [[name, f"{size:.3f}", f"{100 * size / whole:.0f} %"] for name, size in moves.items()]
    return Part("What moves the joint ranking", text=text, head=["", "mean size", "of all"], rows=rows)


def _calibration(bins: Mapping[str, Any]) -> Part:
    text = (
        f"Ten labels of every text, by predicted probability: expected calibration error "
        f"{bins['ECE']:.2f} points over {bins['pairs']:,} pairs. On the diagonal, probabilities are exact; "
        "dot areas are proportional to pairs."
    )
    rows = [
        [
            f"{one['wanted']:.0f} %",
            f"{one['threshold']:.3f}",
            "" if one["reached"] is None else f"{one['reached']:.1f} %",
            f"{one['labels_a_text']:.2f}",
            f"{one['texts']:.1f} %",
        ]
        for one in bins["thresholds"]
    ]
    head = ["wanted precision", "threshold", "reached", "labels a text", "texts with one"] if rows else []
    plot, alt = drawn(diagonal(bins["bins"])), "Reliability: share right by bin."
    return Part("Probabilities", text=text, head=head, rows=rows, plot=plot, alt=alt)


def _examples(ranked: np.ndarray, dataset: Dataset) -> Part:
    targets = dataset.test_targets
    labelled = np.flatnonzero(np.diff(targets.indptr))
    rows = (
        labelled[np.linspace(0, len(labelled) - 1, min(_TEXTS, len(labelled))).astype(int)]
        if len(labelled)
        else labelled
    )
    examples = []
    for row in rows.tolist():
        true = targets.indices[targets.indptr[row] : targets.indptr[row + 1]].tolist()
        predicted = [label for label in ranked[row, :_SHOWN].tolist() if label >= 0]
        named = [(shown_label(dataset.labels, label), label in true) for label in predicted]
        missed = [shown_label(dataset.labels, label) for label in true if label not in predicted]
        examples.append(Example(shown_text(dataset.test, row), named, missed[: 2 * _SHOWN]))
    text = f"Evenly spaced among the test points with a label; the first {_SHOWN} labels, and missed true ones."
    return Part("Ten texts" if len(examples) == _TEXTS else "Texts", text=text, examples=examples)
