"""Parts of the report page on thresholds: F1, the labels, and the texts that are tagged worst."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ramen.data.dataset import Dataset
from ramen.inference.evaluation import Rankings
from ramen.inference.f1_figures import table_of_labels, unfiltered_targets, worst_texts
from ramen.pages.page import Example, Part
from ramen.pages.texts import shown_label, shown_text

_FREQUENT, _WORST, _ENOUGH = 50, 20, 5  # labels shown, and test points that the worst ones need
_TEXTS, _LABELS = 10, 10  # texts, and labels of each
_FIGURES = ("precision", "recall", "F1")


def f1_parts(ranked: Rankings, figures: Mapping[str, Any], dataset: Dataset) -> list[Part]:
    """Return the parts on a run with thresholds.

    Args:
        ranked: of the run.
        figures: of :func:`ramen.evaluate`, with ``"f1"``.
        dataset: of the test part.
    """
    return [_averages(figures["f1"]), *_labels(ranked, dataset), _worst_texts(ranked, dataset)]


def _averages(f1: Mapping[str, Mapping[str, float]]) -> Part:
    rows = []
    for kind, name in (("auto", f"{f1['auto']['threshold']:.3f} for all labels"), ("labels", "one for each label")):
        one = f1[kind]
        cells = [f"{one[f'{average}-{figure}']:.2f}" for average in ("micro", "macro") for figure in _FIGURES]
        rows.append([name, *cells, f"{one['example-F1']:.2f}", f"{one['labels per text']:.2f}"])
    text = (
        "Percent. A label is predicted from this probability on; the thresholds are those of highest micro-F1 and "
        "macro-F1 on held-out points. Macro: mean over the labels with a test point."
    )
    head = ["threshold", *(f"{average} {figure}" for average in ("micro", "macro") for figure in _FIGURES)]
    return Part("F1, precision and recall", text=text, head=[*head, "example F1", "labels per text"], rows=rows)


def _labels(ranked: Rankings, dataset: Dataset) -> list[Part]:
    table = table_of_labels(ranked, dataset, "auto")
    support, f1 = table["support"], table["F1"]
    frequent = np.argsort(-support, kind="stable")[:_FREQUENT]
    frequent = frequent[support[frequent] > 0]
    enough = np.flatnonzero(support >= _ENOUGH)
    worst = enough[np.lexsort((-support[enough], f1[enough]))][:_WORST]
    head = ["label", "training points", "test points", "predicted", *_FIGURES]

    def rows(labels: np.ndarray) -> list[list[str]]:
        return [
            [
                shown_label(dataset.labels, label),
                *(f"{table[name][label]:,}" for name in ("training", "support", "predicted")),
                *(f"{table[name][label]:.1f}" for name in _FIGURES),
            ]
            for label in labels.tolist()
        ]

    text = "At the threshold for all labels. All labels: ramen eval --labels-csv FILE."
    parts = [Part("The most frequent labels", text=text, head=head, rows=rows(frequent))]
    if len(worst):
        text = f"Of the labels with at least {_ENOUGH} test points, at the threshold for all labels."
        parts.append(Part("The labels with the lowest F1", text=text, head=head, rows=rows(worst)))
    return parts


def _worst_texts(ranked: Rankings, dataset: Dataset) -> Part:
    rows, f1 = worst_texts(ranked, dataset, _TEXTS)
    targets, lowest = unfiltered_targets(dataset), float(ranked.lowest["auto"])
    assert ranked.probabilities is not None
    examples = []
    for row in rows.tolist():
        true = targets.indices[targets.indptr[row] : targets.indptr[row + 1]].tolist()
        labels = ranked[""][row].tolist()
        passing = (ranked.probabilities[row].astype(np.float64) >= lowest).tolist()
        predicted = [label for label, passes in zip(labels, passing, strict=False) if passes and label >= 0]
        named = [(shown_label(dataset.labels, label), label in true) for label in predicted]
        missed = [
            f"{shown_label(dataset.labels, label)} ({_place(labels, label)})"
            for label in true
            if label not in predicted
        ]
        text = f"F1 {f1[row]:.0f}: {shown_text(dataset.test, row)}"
        examples.append(Example(text, named[:_LABELS], missed[:_LABELS]))
    text = (
        "Lowest F1 at the threshold for all labels; of equally bad ones, those whose right labels are ranked lowest. A "
        "missed label stands with its place in the ranking."
    )
    return Part("The texts that are tagged worst", text=text, examples=examples)


def _place(labels: list[int], label: int) -> str:
    return f"ranked {labels.index(label) + 1}" if label in labels else f"not among {len(labels)}"
