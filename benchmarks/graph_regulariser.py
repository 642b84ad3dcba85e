"""What the graphs are worth to the encoder: every way to use them, or not, on the same data; figures, intervals, plots.

    RAMEN_DATA=FOLDER python benchmarks/graph_regulariser.py [--seeds 0] [--quick] [--only ROW ...] [KEY=VALUE ...]

Each finished row is kept in --work; a second call goes on where the first stopped. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import graph_rows
import numpy as np
import scipy.sparse as sp
from reference_sets import _commit, machine

from ramen.data.prepare import prepare as build
from ramen.metrics import inverse_propensity

ROOT = Path(__file__).resolve().parents[1]
CASES = (
    ("LF-ManSeeAlso", 0.1), ("LF-ManSeeAlso", 0.3), ("LF-ManSeeAlso", 1.0), ("LF-DebianRelated", 1.0), ("planted", 1.0)
)  # fmt: skip
WHY = (("LF-ManSeeAlso", 0.1), ("planted", 1.0))  # every way to use the graphs, not only the main ones
COLUMNS = ("P@1", "P@5", "PSP@1", "PSP@5", "R@10", "R@100")
TESTED = ("P@1", "P@5", "PSP@5", "R@10")
GROUPS = {"head": (11, 1 << 60), "torso": (3, 10), "tail": (0, 2)}  # points a label has in the whole training part
DRAWS = 2000  # of the bootstrap over test points
BASE = "no graph"


def main() -> int:
    """Measure what is not there yet, then write the results; returns an exit code."""
    options = _options()
    settings = [word for word in options.words if "=" in word]
    if "RAMEN_DATA" not in os.environ:
        print("benchmark: RAMEN_DATA is not set, expected the folder that holds the data sets", file=sys.stderr)
        return 2
    cases = [case for case in CASES if not options.sets or case[0] in options.sets]
    if options.quick:
        cases = [case for case in cases if case[1] == 0.1 or case[0] == "planted"]
    options.work.mkdir(parents=True, exist_ok=True)
    order: dict[str, None] = {}
    for seed in options.seeds:
        for name, pairs in cases:
            case = graph_rows.case(_folder(name, options.work), pairs, seed, settings)
            found = graph_rows.rows(case)
            order.update(dict.fromkeys(found))
            for row, measure in found.items():
                if row not in _wanted(options, name, pairs, found):
                    continue
                path = options.work / f"{_key(name, pairs, seed, row, settings)}.npz"
                if not path.exists():
                    print(f"{name}, {pairs:.0%} of the pairs, seed {seed}: {row}", file=sys.stderr, flush=True)
                    _measure(case, measure, path, {"set": name, "pairs": pairs, "seed": seed, "row": row})
                    _write(options, list(order))
    _write(options, list(order))
    return 0


def _wanted(options: argparse.Namespace, name: str, pairs: float, found: Iterable[str]) -> Iterable[str]:
    """Names of the rows to measure of a case; those that explain why are for two cases only, unless asked."""
    if options.only:
        return options.only
    if options.quick:
        return graph_rows.QUICK
    if options.every_row:
        return found
    return [row for row in found if row in graph_rows.CORE or (name, pairs) in WHY and row not in graph_rows.LATE]


def _folder(name: str, work: Path) -> Path:
    if name != "planted":
        return Path(os.environ["RAMEN_DATA"]) / name
    folder = work / "planted"
    return folder if folder.exists() else build("planted", folder, points=4000, labels=800)


def _key(name: str, pairs: float, seed: int, row: str, settings: list[str]) -> str:
    whole = json.dumps([name, pairs, seed, row, settings])
    return hashlib.blake2b(whole.encode(), digest_size=8).hexdigest()


def _measure(case: graph_rows.Case, measure: Any, path: Path, facts: dict[str, Any]) -> None:
    """One row: its values at every test point, as numerator and denominator of each metric."""
    start = time.perf_counter()
    measured = measure(case)
    values = per_point(measured.found, case)
    facts |= {
        "seconds": measured.seconds, "us_a_text": measured.us_a_text, "parameters": measured.parameters,
        "wall": time.perf_counter() - start, "facts": measured.facts, "commit": _commit(),
    }  # fmt: skip
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, facts=json.dumps(facts), **values)
    os.replace(part, path)


def per_point(found: np.ndarray, case: graph_rows.Case) -> dict[str, np.ndarray]:
    """``metric`` to float64 (2, points): a metric is Σ of the first row over Σ of the second, in shares."""
    truth = sp.csr_matrix(case.full.test_targets)
    counts = np.diff(truth.indptr)
    n = np.arange(len(found))[:, None]
    hits = np.where(found >= 0, truth[n, np.maximum(found, 0)].toarray(), 0) > 0
    weight = inverse_propensity(case.full.train_targets, case.full.card.A, case.full.card.B)
    used = (counts > 0).astype(float)
    values = {}
    for k in (1, 5):
        values[f"P@{k}"] = np.stack([hits[:, :k].sum(1) / k, np.ones(len(found))])
        gained = (hits[:, :k] * weight[np.maximum(found[:, :k], 0)]).sum(1)
        best = [np.sort(weight[truth[i].indices])[::-1][:k].sum() for i in range(len(found))]
        values[f"PSP@{k}"] = np.stack([gained, np.array(best)])
    for k in (10, 100):
        values[f"R@{k}"] = np.stack([hits[:, :k].sum(1) / np.maximum(counts, 1), used])
    frequency = np.asarray(case.full.train_targets.getnnz(0)).ravel()
    for name, (low, high) in GROUPS.items():
        of_group = (frequency >= low) & (frequency <= high)
        kept = sp.csr_matrix(truth @ sp.diags(of_group.astype(float)))
        right = (hits[:, :10] & of_group[np.maximum(found[:, :10], 0)]).sum(1)
        values[f"R@10 {name}"] = np.stack([right, np.asarray(kept.sum(1)).ravel()])
    return values


def value(pair: np.ndarray) -> float:
    """The metric in percent."""
    return 100.0 * float(pair[0].sum() / pair[1].sum()) if pair[1].sum() else float("nan")


def compared(pair: np.ndarray, base: np.ndarray) -> dict[str, float]:
    """Difference to the base at the same test points: percentage points, 95 % interval, two-sided p of the draws."""
    rng = np.random.default_rng(0)
    n = pair.shape[1]
    draws = np.empty(DRAWS)
    for i in range(DRAWS):
        counts = np.bincount(rng.integers(0, n, n), minlength=n)
        draws[i] = 100 * (pair[0] @ counts / (pair[1] @ counts) - base[0] @ counts / (base[1] @ counts))
    low, high = np.percentile(draws, [2.5, 97.5])
    difference = value(pair) - value(base)
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "p": float(min(1, 2 * min((draws <= 0).mean(), (draws >= 0).mean()))),
    }


def _collect(work: Path, order: list[str]) -> list[dict[str, Any]]:
    """Every row that is there, in the order of the cases and rows, with its figures and comparisons."""
    stored = []
    for path in sorted(work.glob("*.npz"), key=lambda path: path.stat().st_mtime):
        with np.load(path) as file:
            facts = json.loads(str(file["facts"]))
            stored.append((facts, {name: file[name] for name in file.files if name != "facts"}))
    bases = {(f["set"], f["pairs"], f["seed"]): values for f, values in stored if f["row"] == BASE}
    results = []
    for facts, values in stored:
        figures = {name: value(pair) for name, pair in values.items()}
        base = bases.get((facts["set"], facts["pairs"], facts["seed"]))
        against = {} if base is None else {name: compared(values[name], base[name]) for name in TESTED}
        results.append({**facts, "test": figures, "against": against})
    at = {row: number for number, row in enumerate(order)}
    return sorted(results, key=lambda r: (CASES.index((r["set"], r["pairs"])), at.get(r["row"], len(at)), r["seed"]))


def _write(options: argparse.Namespace, order: list[str]) -> None:
    results = _collect(options.work, order)
    now = datetime.now(UTC)
    command = shlex.join(["python", "benchmarks/graph_regulariser.py", *sys.argv[1:]])
    facts = {"date": f"{now:%Y-%m-%d}", "commit": _commit(), "machine": machine(), "command": command}
    options.out.mkdir(parents=True, exist_ok=True)
    base = options.out / "graph_regulariser"
    lines = ["# What the graphs are worth to the encoder", "", _about(), ""]
    for name, pairs in dict.fromkeys((r["set"], r["pairs"]) for r in results):
        lines += [f"## {name}, titles, {pairs:.0%} of the pairs", ""]
        lines += table([r for r in results if (r["set"], r["pairs"]) == (name, pairs)]) + [""]
    lines += [f"- machine: {', '.join(f'{key} {found}' for key, found in facts['machine'].items())}"]
    commits = ", ".join(dict.fromkeys(result["commit"] for result in results))
    lines += [f"- commits of the rows: {commits}", f"- last call: `{command}`; rows may be of earlier ones"]
    for ending, content in {
        "json": json.dumps({**facts, "results": results}, indent=1),
        "md": "\n".join(lines),
    }.items():
        part = base.with_suffix(f".{ending}.part")
        part.write_text(content + "\n", encoding="utf-8")
        os.replace(part, base.with_suffix(f".{ending}"))
    try:
        plot(results, base.with_suffix(".png"))
    except ImportError:
        print("benchmark: no plot: pip install matplotlib", file=sys.stderr)


def _about() -> str:
    return (
        "The encoder alone (all scorers: the whole run), percent on the test split, filter applied. Below a figure of "
        f'{", ".join(TESTED)}: the difference to the row "{BASE}", which has as many updates, with its 95 % interval '
        f"by a paired bootstrap of {DRAWS:,} draws over the test points. Head, torso and tail: R@10 of the labels with "
        "more than 10, 3 to 10 and at most 2 points in the whole training part. Train s: with all that validation "
        "tries. µs: to encode a text. Parameters: thousands of numbers that are kept to encode a text."
    )


def table(results: list[dict[str, Any]]) -> list[str]:
    """Markdown rows, means over the seeds; the comparison is that of the first seed."""
    lines = [
        f"| row | {' | '.join(COLUMNS)} | {' | '.join(GROUPS)} | train s | µs | parameters |",
        "|---" * (len(COLUMNS) + len(GROUPS) + 4) + "|",
    ]
    for row in dict.fromkeys(r["row"] for r in results):
        runs = [r for r in results if r["row"] == row]
        cells = [row]
        for name in COLUMNS:
            cell = f"{np.mean([r['test'][name] for r in runs]):.1f}"
            if name in TESTED and row != BASE and runs[0]["against"]:
                told = runs[0]["against"][name]
                cell += f"<br>{told['difference']:+.1f} ({told['low']:+.1f}, {told['high']:+.1f})"
            cells.append(cell)
        cells += [f"{np.nanmean([r['test'][f'R@10 {group}'] for r in runs]):.1f}" for group in GROUPS]
        cells += [f"{np.mean([r['seconds'] for r in runs]):.0f}", f"{np.mean([r['us_a_text'] for r in runs]):.0f}"]
        cells += [f"{runs[0]['parameters'] / 1000:,.0f}" if runs[0]["parameters"] else ""]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Difference in R@10 to no graph, a panel a set, a bar a row with its interval."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cases = list(dict.fromkeys((r["set"], r["pairs"]) for r in results))
    figure, panels = pyplot.subplots(1, len(cases), figsize=(3.4 * len(cases) + 2, 7), sharey=True, squeeze=False)
    names = [
        row for row in dict.fromkeys(r["row"] for r in results) if row != BASE and not row.startswith("all scorers")
    ]
    for panel, (name, pairs) in zip(panels[0], cases, strict=True):
        told = {r["row"]: r["against"].get("R@10") for r in results if (r["set"], r["pairs"]) == (name, pairs)}
        for at, row in enumerate(reversed(names)):
            if told.get(row):
                found = told[row]
                colour = "tab:green" if found["low"] > 0 else "tab:red" if found["high"] < 0 else "tab:grey"
                panel.barh(at, found["difference"], color=colour, alpha=0.6)
                panel.plot([found["low"], found["high"]], [at, at], color="black", linewidth=1)
        panel.axvline(0, color="black", linewidth=0.8)
        panel.set_title(f"{name}\n{pairs:.0%} of the pairs", fontsize=9)
        panel.set_yticks(range(len(names)), list(reversed(names)), fontsize=8)
        panel.set_xlabel("R@10 less no graph's", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="settings of every row")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--sets", nargs="+", help="of LF-ManSeeAlso, LF-DebianRelated, planted; default all")
    parser.add_argument("--only", nargs="+", help="names of rows")
    parser.add_argument("--every-row", action="store_true", help="all rows of all sets: three hours")
    parser.add_argument("--quick", action="store_true", help="two sets and five rows: minutes")
    parser.add_argument("--work", type=Path, default=ROOT / "build/graph_rows", help="finished rows are kept here")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results", help="folder of the results")
    return parser.parse_intermixed_args()


if __name__ == "__main__":
    sys.exit(main())
