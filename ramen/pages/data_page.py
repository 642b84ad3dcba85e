"""The page of ``ramen data check --html``: problems, sizes, and plots of labels, texts and graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.check import Report, script_lines
from ramen.data.dataset import Dataset, Texts
from ramen.pages.page import Page, Part, write_page
from ramen.pages.plots import check_plots, drawn, histogram, ranked_counts


def write_data_page(path: str | Path, report: Report, graph_lines: Sequence[str] = ()) -> None:
    """Write the report of a check as a self-contained HTML page.

    Args:
        path: file to write.
        report: of :func:`ramen.data.check`.
        graph_lines: lines of the graph forecast.

    Raises:
        InputError: matplotlib is not installed, or the file is not writable.

    Example:
        ``write_data_page("page.html", check("data/planted"))``
    """
    check_plots()
    dataset = report.dataset
    parts = []
    for heading, messages in (("Problems", report.problems), ("Warnings", report.warnings)):
        if messages:
            parts.append(Part(f"{heading} ({len(messages)})", lines=messages))
    if dataset is None:
        write_page(Path(path), Page(report.path.resolve().name, "This folder cannot be used as it is.", parts))
        return
    numbers = {name: value for name, value in report.statistics.items() if name not in ("graphs", "scripts")}
    sizes = [(name.replace("_", " "), f"{value:,}") for name, value in numbers.items()]
    parts += [Part("Sizes", rows=sizes), _labels(dataset)]
    if dataset.has_texts:
        parts += [_texts(dataset), Part("Scripts", lines=script_lines(report.statistics["scripts"]))]
    if dataset.graphs:
        parts.append(_graph_table(report, graph_lines))
        parts += [_graph(dataset, kind) for kind in dataset.graphs]
    card = dataset.card
    subtitle = f"{card.title or 'no card'}. Propensity constants A {card.A}, B {card.B} ({card.source})."
    write_page(Path(path), Page(report.path.resolve().name, subtitle, parts))


def _labels(dataset: Dataset) -> Part:
    targets = dataset.train_targets
    per_label = np.bincount(targets.indices, minlength=dataset.n_labels)
    per_point = {"training": np.diff(targets.indptr)}
    if len(dataset.test):
        per_point["test"] = np.diff(dataset.test_targets.indptr)
    return Part(
        "Labels",
        text="Left: labels from the most to the least frequent. Right: how many labels a point has.",
        plot=drawn(
            ranked_counts(per_label, "rank of the label", "training points"),
            histogram(per_point, "labels of a point", "% of points"),
        ),
        alt="Training points by rank of the label, and labels per point.",
    )


def _texts(dataset: Dataset) -> Part:
    parts = {"training": dataset.train, "test": dataset.test, "labels": dataset.labels}
    lengths = {name: _words(texts) for name, texts in parts.items() if len(texts)}
    titles = {name: np.array([len(t.split()) for t in texts.titles]) for name, texts in parts.items() if len(texts)}
    return Part(
        "Texts",
        text="Words of a title, and of title and content together.",
        plot=drawn(
            histogram(titles, "words of a title", "% of texts"), histogram(lengths, "words of a text", "% of texts")
        ),
        alt="Histograms of the lengths of texts.",
    )


def _graph_table(report: Report, graph_lines: Sequence[str]) -> Part:
    graphs = report.statistics["graphs"]
    names = list(next(iter(graphs.values())))
    rows = [[name.replace("_", " "), *(f"{facts[name]:,}" for facts in graphs.values())] for name in names]
    head = ["", *graphs]
    return Part("Graphs", text="Points and labels with a link are covered.", head=head, rows=rows, lines=graph_lines)


def _graph(dataset: Dataset, kind: str) -> Part:
    graph = dataset.graphs[kind]
    links = {"training points": graph.points, "labels": graph.labels}
    rows = {name: np.diff(matrix.indptr) for name, matrix in links.items() if matrix is not None}
    anchors = sum(
        (_per_anchor(matrix) for matrix in links.values() if matrix is not None), np.zeros(len(graph.anchors))
    )
    return Part(
        f"Graph {kind}",
        text="Left: anchors from the most to the least linked. Right: how many anchors a row has.",
        plot=drawn(
            ranked_counts(anchors.astype(np.int64), "rank of the anchor", "links"),
            histogram(rows, "anchors of a row", "% of rows"),
        ),
        alt=f"Links by rank of the anchor, and anchors per row, of graph {kind}.",
    )


def _per_anchor(links: sp.csr_matrix) -> np.ndarray:
    return np.bincount(links.indices, minlength=links.shape[1])


def _words(texts: Texts) -> np.ndarray:
    return np.array([len(text.split()) for text in texts.joined()])
