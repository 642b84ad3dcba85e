"""Checks a data set folder: lists all problems, warnings and statistics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.data.cards import read_card
from ramen.data.dataset import Dataset, Texts
from ramen.data.files import Problem, collect, strict
from ramen.data.layouts import read_folder
from ramen.data.leaks import anchored, leaked_pairs
from ramen.data.published import constants_warning, published_facts
from ramen.data.read_graphs import graph_places
from ramen.data.read_words import read_features
from ramen.scripts import reading, scripts_of
from ramen.text import alike

SHOWN = 20  # problems listed per file; further ones are only counted
_SHOWN_SHARE = 0.0005  # of letters
_SAMPLE = 50_000  # texts whose letters are counted
TAIL = 2  # a tail label has at most this many training points
FEW = 20  # so many labels may well have a training point each


@dataclass
class Report:
    """The result of ``check``.

    Attributes:
        path: the folder.
        problems: one line each, with file and line; ``load_dataset`` refuses a folder with problems.
        warnings: unusual but allowed.
        statistics: counts and means by name, graphs by kind; empty when there are problems.
        dataset: the data set; None when there are problems.
    """

    path: Path
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)
    dataset: Dataset | None = field(default=None, repr=False)

    def lines(self) -> list[str]:
        """Return the report as lines for a terminal."""
        out = [f"problem: {problem}" for problem in self.problems]
        out += [f"warning: {warning}" for warning in self.warnings]
        for name, value in self.statistics.items():
            if name == "graphs":
                for kind, facts in value.items():
                    out.append(f"graph {kind}: " + ", ".join(f"{n.replace('_', ' ')} {v:,}" for n, v in facts.items()))
            elif name == "scripts":
                out += script_lines(value)
            else:
                out.append(f"{name.replace('_', ' ')}: {value:,}")
        n_problems, n_warnings = len(self.problems), len(self.warnings)
        out.append(f"{self.path}: {n_problems or 'no'} problems, {n_warnings or 'no'} warnings")
        return out


def check(path: str | Path) -> Report:
    """Read a whole folder and return a report; broken data never raises.

    Example:
        >>> check("no/such/folder").problems
        ['no/such/folder: no such folder']
    """
    folder = Path(path)
    dataset, problems = collect(read_folder(folder))
    if problems:
        return Report(folder, problems=_listed(problems))
    assert dataset is not None, "a reader that finds no problem returns a data set"
    if dataset.features is None:
        sizes = len(dataset.train), len(dataset.test), dataset.n_labels
        dataset.features, problems = collect(read_features(folder, *sizes))
        if problems:
            return Report(folder, problems=_listed(problems))
    return Report(folder, warnings=_warnings(dataset), statistics=statistics(dataset), dataset=dataset)


def statistics(dataset: Dataset) -> dict[str, Any]:
    """Return sizes, means and shares (0 to 1) of a data set."""
    per_label = np.bincount(dataset.train_targets.indices, minlength=dataset.n_labels)
    tail = int((per_label <= TAIL).sum())
    numbers: dict[str, Any] = {
        "n_train": len(dataset.train),
        "n_test": len(dataset.test),
        "n_labels": dataset.n_labels,
        "avg_labels_per_train_point": round(dataset.train_targets.nnz / len(dataset.train), 3),
        "avg_labels_per_test_point": round(dataset.test_targets.nnz / max(1, len(dataset.test)), 3),
        "avg_train_points_per_label": round(dataset.train_targets.nnz / dataset.n_labels, 3),
        f"labels_with_at_most_{TAIL}_train_points": tail,
        "tail_share": round(tail / dataset.n_labels, 3),
        "filter_train_pairs": len(dataset.train_filter),
        "filter_test_pairs": len(dataset.test_filter),
        "graphs": {},
    }
    if dataset.has_texts:
        numbers["scripts"] = _scripts(dataset)
    for kind, graph in dataset.graphs.items():
        numbers["graphs"][kind] = {
            "nodes": len(graph.anchors),
            "train_edges": _edges(graph.points),
            "label_edges": _edges(graph.labels),
            "train_points_covered": _covered(graph.points),
            "train_share": round(_covered(graph.points) / len(dataset.train), 3),
            "labels_covered": _covered(graph.labels),
            "label_share": round(_covered(graph.labels) / dataset.n_labels, 3),
        }
    return numbers


def script_lines(shares: dict[str, float]) -> list[str]:
    """Return the shares of the scripts as a line, and what to know about reading them.

    Example:
        >>> script_lines({"Latin": 1.0})
        ['scripts: Latin 100.0%']
    """
    shown = ", ".join(f"{script} {share:.1%}" for script, share in shares.items() if share >= _SHOWN_SHARE)
    return [f"scripts: {shown or 'none'}", *reading(shares)]


def _scripts(dataset: Dataset) -> dict[str, float]:
    """Return the share of each script among the letters of the texts, of about ``_SAMPLE`` ones in large sets."""
    step = (len(dataset.train) + dataset.n_labels) // _SAMPLE + 1
    samples = [texts.some(np.arange(0, len(texts), step)) for texts in (dataset.train, dataset.labels)]
    letters = scripts_of(text for sample in samples for text in sample.joined())
    return {script: round(count / sum(letters.values()), 4) for script, count in letters.items()}


def _warnings(dataset: Dataset) -> list[str]:
    """Return one line per kind of warning, with its count."""
    per_label = np.bincount(dataset.train_targets.indices, minlength=dataset.n_labels)
    splits = (("training", dataset.train, dataset.train_targets), ("test", dataset.test, dataset.test_targets))
    counts = [("labels have no training point", int((per_label == 0).sum()))]
    for name, texts, targets in splits:
        counts.append((f"{name} points have no label", int((np.diff(targets.indptr) == 0).sum())))
        if dataset.has_texts:
            counts.append((f"{name} points have no text", _blank(texts)))
        if dataset.features is not None:
            rows = dataset.features.train if name == "training" else dataset.features.test
            counts.append((f"{name} points have no feature", int((np.diff(rows.indptr) == 0).sum())))
    if dataset.has_texts:
        counts.append(("labels have no text", _blank(dataset.labels)))
    counts.append(("test points have the same text as a training point", _repeated(dataset)))
    for name, pairs in (("training", _self_pairs(dataset, 0)), ("test", _self_pairs(dataset, 1))):
        counts.append((f"{name} pairs name the point itself as its label and are in no filter file", pairs))
    mirrored = "test pairs are the reverse of a training pair and not in filter_labels_test.txt"
    counts.append((mirrored, _mirrored(dataset)))
    for kind, graph in dataset.graphs.items():
        counts.append((f"test points have the title of an anchor of graph {kind}", anchored(graph, dataset)))
        warning = f"test pairs are leaked by graph {kind}: the label is linked to an anchor with the test point's title"
        counts.append((warning, len(leaked_pairs(graph, dataset))))
    warnings = [f"{count:,} {text}" for text, count in counts if count]
    warnings += [f"{path}: not a graph file, ignored" for path in graph_places(dataset.path)[1]]
    return warnings + lone_labels(dataset) + _card_warnings(dataset)


def lone_labels(dataset: Dataset, option: str = "ramen data import --separator") -> list[str]:
    """Return a warning if nine of ten labels have one training point each, which nothing can be learned from.

    Args:
        dataset: the data set.
        option: what splits names that hold several.
    """
    per_label = np.bincount(dataset.train_targets.indices)
    some, lone = int((per_label > 0).sum()), int((per_label == 1).sum())
    if some < FEW or lone < 0.9 * some:
        return []
    cause = f"do their names hold several labels? ({option})"
    return [f"{lone:,} of {some:,} labels have one training point: {cause}"]


def _card_warnings(dataset: Dataset) -> list[str]:
    """Warn where the sizes in the card differ from those of the folder: it may be the card of another data set."""
    _, facts = strict(read_card(dataset.path))
    actual = {
        "train": len(dataset.train),
        "test": len(dataset.test),
        "labels": dataset.n_labels,
        "graphs": sorted(dataset.graphs),
    }
    stated = {key: sorted(facts[key]) if key == "graphs" else facts[key] for key in actual if key in facts}
    return [
        f"card of {dataset.card.name}: {key} is {value}, found {actual[key]}: is it the card of this set?"
        for key, value in stated.items()
        if value != actual[key]
    ] + [warning for warning in [constants_warning(dataset.card, published_facts(dataset))] if warning]


def _pairs(dataset: Dataset, split: int) -> np.ndarray:
    """Return the target pairs (row, label) of a split (0 training, 1 test) without filtered ones, int64 (P, 2)."""
    matrix = (dataset.train_targets, dataset.test_targets)[split]
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    pairs = np.stack([rows, matrix.indices.astype(np.int64)], axis=1)
    filtered = (dataset.train_filter, dataset.test_filter)[split]
    return pairs[~np.isin(pairs @ [dataset.n_labels, 1], filtered @ [dataset.n_labels, 1])]


def _self_pairs(dataset: Dataset, split: int) -> int:
    pairs = _pairs(dataset, split)
    uids = (dataset.train, dataset.test)[split].uids
    return sum(uids[row] == dataset.labels.uids[label] for row, label in pairs.tolist())


def _mirrored(dataset: Dataset) -> int:
    """Count test pairs (t, l) where training point l has label t: the mirrored pair was in training."""
    names = dataset.train.uids, dataset.labels.uids
    mirrored_pairs = {(names[0][row], names[1][label]) for row, label in _pairs(dataset, 0).tolist()}
    return sum(
        (names[1][label], dataset.test.uids[row]) in mirrored_pairs for row, label in _pairs(dataset, 1).tolist()
    )


def _repeated(dataset: Dataset) -> int:
    """Count test points whose text also occurs in training."""
    train_texts = set(map(alike, dataset.train.joined())) - {""}
    return sum(alike(text) in train_texts for text in dataset.test.joined())


def _blank(texts: Texts) -> int:
    return sum(not title and not content for title, content in zip(texts.titles, texts.contents, strict=True))


def _edges(matrix: sp.csr_matrix | None) -> int:
    return 0 if matrix is None else int(matrix.nnz)


def _covered(matrix: sp.csr_matrix | None) -> int:
    """Count rows with at least one entry."""
    return 0 if matrix is None else int((np.diff(matrix.indptr) > 0).sum())


def _listed(problems: list[Problem]) -> list[str]:
    """Return the problems as lines: at most ``SHOWN`` per file, then the number of further ones."""
    n_problems: Counter[Path] = Counter()
    out = []
    for problem in problems:
        n_problems[problem.path] += 1
        if n_problems[problem.path] <= SHOWN:
            out.append(str(problem))
    return out + [f"{path}: and {count - SHOWN:,} more problems" for path, count in n_problems.items() if count > SHOWN]
