"""Train on the reference sets with some seeds, each run a process of its own; write figures, times and memory.

    RAMEN_DATA=FOLDER python benchmarks/reference_sets.py [SET ...] [--seeds 0 1 2] [KEY=VALUE ...]

See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

SETS = ("LF-DebianRelated", "LF-ManSeeAlso", "LF-WordNet")
COLUMNS = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@5", "R@10")
PACKAGES = ("ramen-xc", "torch", "transformers", "sentence-transformers", "tokenizers", "numpy", "scipy", "numba")
ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run every set with every seed; returns 0, or the exit code of the first command that fails."""
    options = _options()
    sets = [name for name in options.words if "=" not in name] or list(SETS)
    settings = [word for word in options.words if "=" in word]
    if "RAMEN_DATA" not in os.environ:
        return _refuse("RAMEN_DATA is not set, expected the folder that holds the data sets")
    folders = {name: Path(os.environ["RAMEN_DATA"]) / name for name in sets}
    for folder in folders.values():
        if not folder.is_dir():
            return _refuse(f"{folder}: no such folder, expected a data set")
    if options.omikuji:
        try:
            import omikuji  # noqa: F401
            from peers import OMIKUJI, measure
        except ImportError as error:
            return _refuse(f"--omikuji: {error}; pip install omikuji==0.5.2 scikit-learn")
    results: list[dict[str, Any]] = []
    for name, folder in folders.items():
        for seed in options.seeds:
            arguments = ["--preset", options.preset, "--graphs", options.graphs, "--seed", str(seed), *settings]
            try:
                result = train(folder, arguments)
            except subprocess.CalledProcessError as error:  # the command has said why
                return error.returncode if error.returncode > 0 else 128 - error.returncode
            results.append({"set": name, "system": f"ramen {options.preset}", "seed": seed, **result})
            _write(results, options.out)
        if options.omikuji:
            for system in (f"omikuji {variant}" for variant in OMIKUJI):
                results.append({"set": name, "system": system, "seed": None, **measure(folder, system)})
                _write(results, options.out)
    return 0


def train(folder: Path, arguments: Sequence[str], out: Path | None = None) -> dict[str, Any]:
    """One ``ramen train``.

    Args:
        folder: of the data set.
        arguments: of the command, after the folder.
        out: run folder to write; None for a temporary one.

    Returns:
        ``test``, ``validation`` and ``chosen`` of its metrics.json, what :func:`spent` does, and the ``command``.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    shown = f"ramen train $RAMEN_DATA/{folder.name} {shlex.join(arguments)}"
    print(f"$ {shown}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="ramen-benchmark-") as temporary:
        run = out or Path(temporary) / "run"
        command = [sys.executable, "-m", "ramen.cli.main", "train", str(folder), *arguments, "--out", str(run)]
        used = spent(command)
        metrics = json.loads((run / "metrics.json").read_text())
    if "test" not in metrics:
        raise SystemExit(f"benchmark: {folder}: has no test split to measure on")
    kept = {name: metrics[name] for name in ("test", "validation", "chosen", "propensity")}
    return {**kept, **used, "command": shown}


def spent(command: Sequence[str], environment: Mapping[str, str] | None = None) -> dict[str, float]:
    """Run a process, and return what it takes.

    Returns:
        ``seconds`` (wall, start of the process to its end), ``cpu_seconds`` (of all threads) and ``peak_mib`` (largest
        resident set).

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment)
    # wait4 gives the times and the peak of this child alone; RUSAGE_CHILDREN would keep the largest of all so far.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    cpu_seconds, peak_mib = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mib": peak_mib}


def machine() -> dict[str, Any]:
    """CPU model, cores that this process may use, memory, system."""
    cpu = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in cpu.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "system": platform.platform(),
    }


def table(results: Iterable[dict[str, Any]]) -> list[str]:
    """Markdown rows, one per set and system: mean and sample standard deviation over its seeds.

    Example:
        >>> row = {"set": "a", "system": "ramen static", "seconds": 2.0, "peak_mib": 100.0}
        >>> table([{**row, "test": {"P@1": 10.0}}, {**row, "test": {"P@1": 12.0}}])[2]
        '| a | ramen static | 2 | 11.00 ± 1.41 | 2 ± 0 | 100 |'
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault((result["set"], result["system"]), []).append(result)
    columns = [name for name in COLUMNS if all(name in run["test"] for runs in groups.values() for run in runs)]
    lines = [
        f"| set | system | runs | {' | '.join(columns)} | seconds | peak MiB |",
        "|---" * (len(columns) + 5) + "|",
    ]
    for (name, system), runs in groups.items():
        figures = [_mean([run["test"][column] for run in runs], 2) for column in columns]
        seconds = _mean([run["seconds"] for run in runs], 0)
        peak = f"{max(run['peak_mib'] for run in runs):.0f}"
        lines.append(f"| {' | '.join([name, system, str(len(runs)), *figures, seconds, peak])} |")
    return lines


def _mean(values: list[float], digits: int) -> str:
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def _write(results: list[dict[str, Any]], out: Path) -> None:
    """Both files after every run: what is measured survives a stop."""
    now = datetime.now(UTC)
    facts = {
        "date": f"{now:%Y-%m-%d}",
        "commit": _commit(),
        "machine": machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "command": shlex.join(["python", "benchmarks/reference_sets.py", *sys.argv[1:]]),
    }
    lines = [
        f"# Reference sets, {facts['date']}",
        "",
        "Percent on the test split, filter applied; mean ± standard deviation over the seeds; seconds are wall time.",
        "",
        *table(results),
        "",
        f"- machine: {', '.join(f'{key} {value}' for key, value in facts['machine'].items())}",
        f"- commit: {facts['commit']}",
        f"- python {facts['python']}, {', '.join(f'{name} {found}' for name, found in facts['versions'].items())}",
        f"- `{facts['command']}`",
    ]
    out.mkdir(parents=True, exist_ok=True)
    base = f"reference_sets_{now:%Y%m}"
    contents = {"json": json.dumps({**facts, "results": results}, indent=1), "md": "\n".join(lines)}
    for ending, content in contents.items():
        part = out / f"{base}.{ending}.part"
        part.write_text(content + "\n", encoding="utf-8")
        os.replace(part, out / f"{base}.{ending}")


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else "unknown"

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "ramen", "datasets")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="SET or KEY=VALUE", help=f"default sets: {', '.join(SETS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--preset", default="static")
    parser.add_argument("--graphs", default="all", help="as for ramen train (default %(default)s)")
    parser.add_argument("--omikuji", action="store_true", help="also measure omikuji 0.5.2 on TF-IDF")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results", help="folder of the two files")
    return parser.parse_intermixed_args()


def _refuse(message: str) -> int:
    print(f"benchmark: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
