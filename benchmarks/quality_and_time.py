"""Quality against time: `ramen train` at several settings beside other systems, from raw files to ranked test points.

    RAMEN_DATA=FOLDER python benchmarks/quality_and_time.py [--quick] [--sets SET ...] [--only NAME ...] [KEY=VALUE ...]

Every row is a process of its own. Each finished row is kept in --work; a second call goes on where the first stopped.
See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peers import PEERS, threads
from reference_sets import ROOT, _commit, machine, spent, train

from ramen.config import load_config
from ramen.data import load_dataset
from ramen.errors import InputError

SETS = ("Bibtex", "Delicious", "LF-DebianRelated", "LF-ManSeeAlso", "LF-WordNet")
QUICK = ("Bibtex", "LF-DebianMini")
SLOW = ("MiniLM neighbours",)  # left out by --quick
COLUMNS = ("P@1", "P@5", "PSP@5", "R@10")
PLOTTED = ("P@1", "PSP@5")
# Name, preset, value of --graphs, and whether it reads bags of words in place of texts.
RAMEN = (
    ("ramen words", "words", "none", True),
    ("ramen fast", "fast", "all", False),
    ("ramen static, no graphs", "static", "none", False),
    ("ramen static", "static", "all", False),
)
LEFT_OUT = {
    "PECOS": "libpecos 1.2.8 needs numpy < 2 and scipy < 1.14 and fails with ours: scipy.sparse.sputils has no "
    "get_index_dtype, and np.array(..., copy=False) raises where numpy 2 has to copy"
}
# Paths that a row of RAMEN or of a peer depends on; rows are kept until a commit changes one of them.
CODE = {"ramen": ("ramen",), "peers": ("benchmarks/peers.py", "ramen/data", "ramen/metrics")}
_LINE = 0.055  # height of a label in a panel, as a share


@dataclass(frozen=True)
class Facts:
    """What decides which systems run on a set."""

    folder: Path
    has_texts: bool
    has_graphs: bool
    n_labels: int


def main() -> int:
    """Measure what is not there yet and write the results after every row; returns 1 if a system failed, else 0."""
    options = _options()
    if "RAMEN_DATA" not in os.environ:
        return _refuse("RAMEN_DATA is not set, expected the folder that holds the data sets")
    folders = [Path(os.environ["RAMEN_DATA"]) / name for name in options.sets]
    for folder in folders:
        if not folder.is_dir():
            return _refuse(f"{folder}: no such folder, expected a data set")
    commits = {group: last_commit(paths) for group, paths in CODE.items()}
    systems = [name for name, *_ in RAMEN] + [name for name in PEERS if not (options.quick and name in SLOW)]
    if unknown := set(options.only or ()) - {*systems, *SLOW}:
        return _refuse(f"--only {sorted(unknown)[0]!r}: expected of {', '.join([*systems, *SLOW])}")
    options.work.mkdir(parents=True, exist_ok=True)
    skipped: list[dict[str, str]] = []
    failed = False
    for name, why in LEFT_OUT.items():
        print(f"{name} left out: {why}", file=sys.stderr)
    for folder in folders:
        facts = facts_of(folder)
        for system in options.only or systems:
            reason = why_not(system, facts)
            commit = commits["peers" if system in PEERS else "ramen"]
            path = options.work / f"{key(folder.name, system, options.seed, options.words, commit)}.json"
            if reason is None and not path.exists():
                print(f"{folder.name}, seed {options.seed}: {system}", file=sys.stderr, flush=True)
                try:
                    keep(path, {"commit": commit, **measured(system, facts, options)})
                except subprocess.CalledProcessError as error:  # the process has said why
                    reason, failed = f"ended with exit code {error.returncode}", True
            if reason is not None:
                print(f"{folder.name}: {system} skipped: {reason}", file=sys.stderr, flush=True)
                skipped.append({"set": folder.name, "system": system, "reason": reason})
            write(options, skipped, commits)
    return int(failed)


def facts_of(folder: Path) -> Facts:
    """Read the set once, which also brings its files into the page cache for the systems to come."""
    dataset = load_dataset(folder)
    return Facts(folder, dataset.has_texts, bool(dataset.graphs), dataset.n_labels)


def why_not(system: str, facts: Facts) -> str | None:
    """Return why a system does not run on a set, or None if it does."""
    if system in PEERS:
        peer = PEERS[system]
        if "missing" in peer.described:
            return f"pip install {peer.package}"
        if peer.reads_texts and not facts.has_texts:
            return "the set has no texts"
        if peer.max_labels and facts.n_labels > peer.max_labels:
            return f"{facts.n_labels:,} labels, more than {peer.max_labels:,}: it fits a model a label"
        return None
    _, preset, graphs, reads_bags = next(row for row in RAMEN if row[0] == system)
    try:
        load_config(preset)
    except InputError as error:
        return str(error)
    if reads_bags == facts.has_texts:
        return "the set has texts" if facts.has_texts else "the set has no texts"
    if system == "ramen static" and graphs == "all" and not facts.has_graphs:
        return "the set has no graphs"
    return None


def key(name: str, system: str, seed: int, settings: Iterable[str], commit: str) -> str:
    """Return the file name of a row: equal for equal work, so that a changed setting or commit is measured anew."""
    arguments = PEERS[system].described if system in PEERS else [row[1:] for row in RAMEN if row[0] == system]
    overrides = [] if system in PEERS else list(settings)
    whole = json.dumps([name, system, arguments, overrides, seed, commit, threads()])
    return hashlib.blake2b(whole.encode(), digest_size=8).hexdigest()


def measured(system: str, facts: Facts, options: argparse.Namespace) -> dict[str, Any]:
    """Run one system on one set in a process of its own.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    row = {"set": facts.folder.name, "system": system, "seed": options.seed, "threads": threads()}
    if system in PEERS:
        found = peer(system, facts.folder, options.seed)
        settings: list[str] = []
    else:
        _, preset, graphs, _ = next(row for row in RAMEN if row[0] == system)
        settings = options.words
        arguments = ["--preset", preset, "--graphs", graphs, "--seed", str(options.seed), *settings]
        found = train(facts.folder, arguments)
    test = {name: found["test"][name] for name in COLUMNS}
    used = {name: found[name] for name in ("seconds", "cpu_seconds", "peak_mib")}
    return {**row, "settings": settings, "test": test, **used, "command": found["command"]}


def peer(system: str, folder: Path, seed: int) -> dict[str, Any]:
    """One process of peers.py: its figures, wall and CPU seconds from its start to its end, and peak of memory."""
    with tempfile.TemporaryDirectory(prefix="ramen-benchmark-") as temporary:
        result = Path(temporary) / "result.json"
        used = spent(peer_command(system, folder, result, seed), peer_environment())
        found = json.loads(result.read_text(encoding="utf-8"))
    return {**found, **used}


def peer_command(system: str, folder: Path, result: Path, seed: int) -> list[str]:
    """The command that measures a peer."""
    command = [sys.executable, str(ROOT / "benchmarks/peers.py"), system, str(folder), str(result)]
    return [*command, "--seed", str(seed)]


def peer_environment() -> dict[str, str]:
    """The environment in which a peer may use :func:`peers.threads` threads."""
    return {**os.environ, "RAYON_NUM_THREADS": str(threads()), "TOKENIZERS_PARALLELISM": "true"}


def keep(path: Path, content: dict[str, Any]) -> None:
    """Write a file in one step, so that a stop leaves none or all of it."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def collected(
    work: Path, seed: int, settings: list[str], sets: Iterable[str], commits: dict[str, str]
) -> list[dict[str, Any]]:
    """Rows of this seed, these settings and sets and these commits, in the order of the sets and systems."""
    order, systems = list(sets), [*(name for name, *_ in RAMEN), *PEERS]
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(work.glob("*.json"))]
    rows = [row for row in rows if row["set"] in order and row["system"] in systems]
    rows = [row for row in rows if row["seed"] == seed and row["threads"] == threads()]
    rows = [row for row in rows if row["commit"] == commits["peers" if row["system"] in PEERS else "ramen"]]
    rows = [row for row in rows if row["system"] in PEERS or row["settings"] == settings]
    return sorted(rows, key=lambda row: (order.index(row["set"]), systems.index(row["system"])))


def last_commit(paths: Iterable[str]) -> str:
    """Return the last commit that changed one of the paths, and whether they have changes since."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments, "--", *paths], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else "unknown"

    changed = git("status", "--porcelain")
    return git("log", "-1", "--format=%h") + (" with changes" if changed else "")


def write(options: argparse.Namespace, skipped: list[dict[str, str]], commits: dict[str, str]) -> None:
    """Write the json file and the plot of the rows that are there."""
    results = collected(options.work, options.seed, options.words, options.sets, commits)
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": _commit(),
        "machine": machine(),
        "command": shlex.join(["python", "benchmarks/quality_and_time.py", *sys.argv[1:]]),
        "left_out": LEFT_OUT,
        "skipped": skipped,
        "results": results,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    keep(options.out / "quality_and_time.json", facts)
    if not results:
        return
    try:
        plot(results, options.out / "quality_and_time.png")
    except ImportError:
        print("benchmark: no plot: pip install matplotlib", file=sys.stderr)


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """A column for each set, a row for each metric: percent against wall seconds, each point with its name."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sets = list(dict.fromkeys(row["set"] for row in results))
    size = (4.2 * len(sets), 4.0 * len(PLOTTED))
    figure, panels = pyplot.subplots(len(PLOTTED), len(sets), figsize=size, squeeze=False, layout="constrained")
    for column, name in enumerate(sets):
        rows = [row for row in results if row["set"] == name]
        for panel, metric in zip(panels[:, column], PLOTTED, strict=True):
            _panel(panel, rows, metric)
        panels[0, column].set_title(name)
        panels[-1, column].set_xlabel("seconds, wall time of the whole process")
    for panel, metric in zip(panels[:, 0], PLOTTED, strict=True):
        panel.set_ylabel(f"{metric}, percent")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _panel(panel: Any, rows: list[dict[str, Any]], metric: str) -> None:
    """Points of one set and metric, with their names right of the last, apart from each other."""
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    seconds = [row["seconds"] for row in rows]
    values = [row["test"][metric] for row in rows]
    low, high = min(values), max(values)
    margin = 0.12 * (high - low) or 1.0
    left, right = min(seconds) / 1.4, max(seconds)
    span = max(right / left, 2.0)
    panel.set(xscale="log", xlim=(left, right * span**0.95), ylim=(low - margin, high + margin))
    ticks = [step * 10.0**power for power in range(-2, 6) for step in ((1, 2, 5) if span < 20 else (1, 3))]
    panel.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if left <= tick <= right * 1.5]))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.grid(True, alpha=0.3)
    heights = [(value - low + margin) / (high - low + 2 * margin) for value in values]
    for row, x, y, height in zip(rows, seconds, values, spread(heights, _LINE), strict=True):
        colour = "tab:red" if row["system"].startswith("ramen") else "tab:blue"
        panel.plot([x], [y], "o", color=colour)
        text = {"color": colour, "fontsize": 8, "verticalalignment": "center"}
        line = {"arrowstyle": "-", "color": colour, "alpha": 0.35, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 3}
        at = (right * span**0.08, low - margin + height * (high - low + 2 * margin))
        panel.annotate(row["system"], (x, y), xytext=at, arrowprops=line, **text)


def spread(heights: list[float], gap: float) -> list[float]:
    """Return heights at least ``gap`` apart in the same order, within 0 and 1 where they have room.

    Example:
        >>> spread([0.5, 0.5, 0.1], 0.1)
        [0.5, 0.6, 0.1]
    """
    order = sorted(range(len(heights)), key=lambda at: heights[at])
    placed = list(heights)
    for below, at in zip(order, order[1:], strict=False):
        placed[at] = max(placed[at], placed[below] + gap)
    top = 1 - gap / 2
    for at in reversed(order):
        placed[at] = min(placed[at], top)
        top = placed[at] - gap
    return [round(height, 6) for height in placed]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="settings of every ramen train")
    parser.add_argument("--sets", nargs="+", help=f"folders of RAMEN_DATA; default {', '.join(SETS)}")
    parser.add_argument("--only", nargs="+", metavar="SYSTEM", help="names of systems; default all")
    parser.add_argument("--quick", action="store_true", help=f"{' and '.join(QUICK)} only, without {SLOW[0]}: minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build/quality_and_time", help="finished rows are kept here"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results", help="folder of the two files")
    options = parser.parse_intermixed_args()
    for name in ("sets", "only"):  # an option with many values also takes the settings behind it
        given = getattr(options, name) or []
        options.words += [word for word in given if "=" in word]
        setattr(options, name, [word for word in given if "=" not in word])
    options.sets = options.sets or list(QUICK if options.quick else SETS)
    if wrong := [word for word in options.words if "=" not in word]:
        parser.error(f"{wrong[0]!r}: expected KEY=VALUE")
    return options


def _refuse(message: str) -> int:
    print(f"benchmark: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
