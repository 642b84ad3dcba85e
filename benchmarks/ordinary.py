"""Ordinary multi-label sets: `ramen train` beside scikit-learn and omikuji, rankings and F1, paired with LinearSVC.

    RAMEN_DATA=FOLDER python benchmarks/ordinary.py [--sets SET ...] [--only SYSTEM ...] [KEY=VALUE ...]

Each finished row is kept in --work; a second call goes on where the first stopped. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from peers import DEEP, PEERS, SCORED, threads
from quality_and_time import CODE, RAMEN, facts_of, keep, key, last_commit, peer_command, peer_environment, why_not
from reference_sets import ROOT, _commit, machine, spent, train

from ramen.data import Dataset, bags_of_words, load_dataset
from ramen.data.matrices import pair_matrix
from ramen.data.prepare import RECIPES, prepare
from ramen.data.write import write_dataset
from ramen.encoders.bag_of_words import BagOfWordsEncoder
from ramen.errors import InputError, WorkError
from ramen.inference.tagger import Tagger
from ramen.metrics import best_threshold, compare, example_f1, f1_report, inverse_propensity, per_point, report
from ramen.metrics.trust import PerPoint

SETS = ("Bibtex", "Delicious", "debian-tags")
SYSTEMS = ("ramen words", "ramen static, no graphs", "ramen static", *reversed(SCORED))
BASELINE = "LinearSVC"
KS = (1, 5, 10)
COLUMNS = ("P@1", "P@5", "nDCG@5", "R@10", "PSP@5", "micro-F1", "macro-F1", "example-F1")
PAIRED = ("P@1", "P@5", "PSP@5", "example-F1")
HELD_OUT = 0.1  # of the training points, for the threshold


def main() -> int:
    """Measure what is not there yet and write the results after every row; returns 1 if a system failed, else 0."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    failed = False
    rows: list[dict[str, Any]] = []
    for name in options.sets:
        try:
            folder = folder_of(name, options.work)
        except (InputError, WorkError) as error:
            print(f"benchmark: {error}", file=sys.stderr)
            return 2
        facts = facts_of(folder)
        for system in options.only or SYSTEMS:
            if reason := why_not(system, facts):
                print(f"{name}: {system} skipped: {reason}", file=sys.stderr)
                continue
            commit = last_commit(CODE["peers" if system in PEERS else "ramen"])
            path = options.work / f"ordinary-{key(name, system, options.seed, options.words, commit)}.npz"
            if not path.exists():
                print(f"{name}: {system}", file=sys.stderr, flush=True)
                try:
                    measure(system, folder, path, options)
                except subprocess.CalledProcessError as error:  # the process has said why
                    print(f"{name}: {system} ended with exit code {error.returncode}", file=sys.stderr)
                    failed = True
                    continue
            rows.append({"set": name, "system": system, "path": path})
            write(rows, options)
    return int(failed)


def folder_of(name: str, work: Path) -> Path:
    """The folder of a set: the one in ``RAMEN_DATA``; that of a recipe is built once, in ``work``.

    Raises:
        InputError: ``RAMEN_DATA`` is not set or lacks the set.
        NoIndex: the recipe needs a package index and there is none.
    """
    if name in RECIPES:
        folder = work / name
        return folder if folder.is_dir() else prepare(name, folder, report=lambda line: print(line, file=sys.stderr))
    if "RAMEN_DATA" not in os.environ:
        raise InputError("RAMEN_DATA is not set, expected the folder that holds the data sets")
    folder = Path(os.environ["RAMEN_DATA"]) / name
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected a data set")
    return folder


def measure(system: str, folder: Path, path: Path, options: argparse.Namespace) -> None:
    """Rank the test points with scores, at a threshold of highest micro-F1 on training points; writes ``path``.

    A run of RAMEN has chosen its own. Any other system is trained twice: the first time without a tenth of the points,
    which choose the threshold.
    """
    labels, scores, facts = ranked(system, folder, options)
    if system in PEERS:
        held_out = options.work / f"{folder.name}-held-out-{options.seed}"
        if not held_out.is_dir():
            write_dataset(without_held_out(load_dataset(folder), options.seed), held_out)
        of_held_out = ranked(system, held_out, options)
        facts["threshold"] = best_threshold(of_held_out[0], of_held_out[1], load_dataset(held_out).test_targets)
        facts["threshold_seconds"] = of_held_out[2]["seconds"]
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, labels=labels, scores=scores, facts=json.dumps(facts))
    os.replace(part, path)


def without_held_out(dataset: Dataset, seed: int) -> Dataset:
    """The training part as a data set of its own: a tenth of its labelled points, drawn at random, is its test part."""
    labelled = np.flatnonzero(np.diff(dataset.train_targets.indptr))
    chosen = np.random.default_rng(seed).permutation(labelled)[: round(HELD_OUT * len(labelled))]
    held_out = np.sort(chosen)
    rest = np.setdiff1d(np.arange(len(dataset.train)), held_out)
    filters = []
    for rows in (rest, held_out):
        pairs = dataset.train_filter[np.isin(dataset.train_filter[:, 0], rows)]
        filters.append(np.stack([np.searchsorted(rows, pairs[:, 0]), pairs[:, 1]], axis=1))
    features = dataset.features
    if features is not None:
        features = dataclasses.replace(features, train=features.train[rest], test=features.train[held_out])
    graphs = {
        kind: dataclasses.replace(graph, points=None if graph.points is None else graph.points[rest])
        for kind, graph in dataset.graphs.items()
    }
    return dataclasses.replace(
        dataset,
        train=dataset.train.some(rest),
        test=dataset.train.some(held_out),
        train_targets=dataset.train_targets[rest],
        test_targets=dataset.train_targets[held_out],
        train_filter=filters[0],
        test_filter=filters[1],
        features=features,
        graphs=graphs,
    )


def ranked(system: str, folder: Path, options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Train a system and rank the test points of a folder.

    Returns:
        Labels, int64 (N, 100), and their scores, without filtered pairs; and seconds, CPU seconds and peak memory of
        the process that trains and ranks, its settings, and for a run of RAMEN its ``threshold``.
    """
    if system in PEERS:
        result, arrays = options.work / "peer.json", options.work / "peer.npz"
        command = [*peer_command(system, folder, result, options.seed), "--scores", str(arrays)]
        used = spent(command, peer_environment())
        with np.load(arrays) as file:
            labels, scores = file["labels"], file["scores"]
        dataset = load_dataset(folder)
        return *without_filtered(labels, scores, dataset), {**used, "command": f"{system}: {PEERS[system].described}"}
    _, preset, graphs, _ = next(row for row in RAMEN if row[0] == system)
    arguments = ["--preset", preset, "--graphs", graphs, "--seed", str(options.seed), *options.words]
    run = options.work / "run"
    shutil.rmtree(run, ignore_errors=True)
    found = train(folder, arguments, run)
    labels, scores, threshold = probabilities(run, load_dataset(folder))
    used = {name: found[name] for name in ("seconds", "cpu_seconds", "peak_mib", "command")}
    return labels, scores, {**used, "threshold": threshold}


def probabilities(run: Path, dataset: Dataset) -> tuple[np.ndarray, np.ndarray, float]:
    """Labels of the test points, their probabilities, filter applied, and the run's threshold for all labels."""
    tagger = Tagger.load(run, labels=False)
    is_text = not isinstance(tagger.encoder, BagOfWordsEncoder)
    queries = tagger.queries(dataset.test.joined() if is_text else bags_of_words(dataset).test)
    filtered = pair_matrix(dataset.test_filter, dataset.test_targets.shape)
    labels, scores = tagger.run.ranker.rank(queries, DEEP, filtered)
    assert tagger.run.calibration is not None
    return labels, tagger.run.calibration.of(scores), float(tagger.threshold("auto"))


def without_filtered(labels: np.ndarray, scores: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Rankings without the filtered pairs, (N, 100) at most; rows that get shorter end in -1."""
    filtered = pair_matrix(dataset.test_filter, dataset.test_targets.shape)
    is_filtered = np.asarray(filtered[np.arange(len(labels))[:, None], np.maximum(labels, 0)].todense()) > 0
    is_filtered |= labels < 0
    order = np.argsort(is_filtered, axis=1, kind="stable")[:, :DEEP]
    dropped = np.take_along_axis(is_filtered, order, axis=1)
    labels, scores = (np.take_along_axis(part, order, axis=1) for part in (labels, scores))
    return np.where(dropped, -1, labels), np.where(dropped, -np.inf, scores)


def figures(path: Path, dataset: Dataset) -> tuple[dict[str, Any], PerPoint]:
    """The figures of a row in percent, and the contributions of each test point to those that are compared."""
    with np.load(path) as file:
        labels, scores, facts = file["labels"], file["scores"], json.loads(str(file["facts"]))
    weights = inverse_propensity(dataset.train_targets, dataset.card.A, dataset.card.B)
    first, targets, threshold = labels[:, : max(KS)], dataset.test_targets, facts["threshold"]
    test = {**report(first, targets, weights, ks=KS), **f1_report(labels, scores, threshold, targets)}
    parts = per_point(first, targets, weights, ks=KS).only(PAIRED[:-1])
    of_texts = example_f1(labels, scores, threshold, targets)[:, None] / 100.0
    parts = PerPoint(list(PAIRED), np.hstack([parts.above, of_texts]), np.hstack([parts.below, np.ones_like(of_texts)]))
    return {"test": test, **facts}, parts


def write(rows: Iterable[dict[str, Any]], options: argparse.Namespace) -> None:
    """Write ``ordinary.json`` and print the tables of the rows that are there."""
    results, parts, sets = [], {}, {}
    for row in rows:
        name, system = row["set"], row["system"]
        if name not in sets:
            sets[name] = load_dataset(folder_of(name, options.work))
        found, parts[name, system] = figures(row["path"], sets[name])
        results.append({"set": name, "system": system, "seed": options.seed, "threads": threads(), **found})
    for result in results:
        name, system = result["set"], result["system"]
        if system not in PEERS and (name, BASELINE) in parts:
            differences = compare(parts[name, BASELINE], parts[name, system])
            result[f"minus {BASELINE}"] = {
                metric: {"difference": found.difference, "low": found.low, "high": found.high, "p": found.p}
                for metric, found in differences.items()
            }
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": _commit(),
        "machine": machine(),
        "command": shlex.join(["python", "benchmarks/ordinary.py", *sys.argv[1:]]),
        "results": results,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    keep(options.out / "ordinary.json", facts)
    print("\n".join([*table(results), "", *paired_table(results), ""]), flush=True)


def table(results: Iterable[dict[str, Any]]) -> list[str]:
    """Markdown rows: figures, seconds, CPU seconds and memory of each system.

    Example:
        >>> row = {"set": "a", "system": "b", "seconds": 2.0, "cpu_seconds": 3.0, "peak_mib": 100.0}
        >>> table([{**row, "test": dict.fromkeys(COLUMNS, 10.0)}])[2]
        '| a | b | 10.0 | 10.0 | 10.0 | 10.0 | 10.0 | 10.0 | 10.0 | 10.0 | 2 | 3 | 100 |'
    """
    lines = [f"| set | system | {' | '.join(COLUMNS)} | s | CPU s | MiB |", "|---" * (len(COLUMNS) + 5) + "|"]
    for row in results:
        shown = [f"{row['test'][name]:.1f}" for name in COLUMNS]
        used = [f"{row[name]:.0f}" for name in ("seconds", "cpu_seconds", "peak_mib")]
        lines.append(f"| {' | '.join([row['set'], row['system'], *shown, *used])} |")
    return lines


def paired_table(results: Iterable[dict[str, Any]]) -> list[str]:
    """Markdown rows: differences to LinearSVC with their 95 % intervals; no line without any."""
    lines = [f"| set | system minus {BASELINE} | {' | '.join(PAIRED)} |", "|---" * (len(PAIRED) + 2) + "|"]
    for row in results:
        if f"minus {BASELINE}" in row:
            found = [row[f"minus {BASELINE}"][metric] for metric in PAIRED]
            shown = [f"{one['difference']:+.1f} ({one['low']:+.1f} to {one['high']:+.1f})" for one in found]
            lines.append(f"| {' | '.join([row['set'], row['system'], *shown])} |")
    return lines if len(lines) > 2 else []


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="settings of every ramen train")
    parser.add_argument("--sets", nargs="+", help=f"folders of RAMEN_DATA, or recipes; default {', '.join(SETS)}")
    parser.add_argument("--only", nargs="+", metavar="SYSTEM", help=f"of {', '.join(SYSTEMS)}; default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "build/ordinary", help="finished rows are kept here")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results", help="folder of ordinary.json")
    options = parser.parse_intermixed_args()
    for name in ("sets", "only"):  # an option with many values also takes the settings behind it
        given = getattr(options, name) or []
        options.words += [word for word in given if "=" in word]
        setattr(options, name, [word for word in given if "=" not in word])
    options.sets = options.sets or list(SETS)
    if wrong := [word for word in options.words if "=" not in word]:
        parser.error(f"{wrong[0]!r}: expected KEY=VALUE")
    if unknown := set(options.only) - set(SYSTEMS):
        parser.error(f"--only {sorted(unknown)[0]!r}: expected of {', '.join(SYSTEMS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
