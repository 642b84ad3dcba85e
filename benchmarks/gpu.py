"""What RAMEN does with a GPU beside the card's measured roofs, in at most nine minutes.

    python benchmarks/gpu.py [--tiny] [--only NAME,...] [--minutes 9] [--out FOLDER]

Needs the checkout, torch, transformers, numpy, scipy, numba, tokenizers and safetensors; no network. Every part has a
share of the minutes; what a part leaves, later ones may use. Each row is written to ``gpu.json`` at once, so a run that
is cut off keeps what it has. A part that fails is recorded with its error, and the next one runs. ``--tiny`` runs all
parts at toy sizes, also on a CPU, where the figures mean nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the package need not be installed
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
from gpu_encoders import encode, man, planted, query_encoders, step  # noqa: E402
from gpu_parts import Context, Row, check, free_memory, head, measure_roofs, topk  # noqa: E402
from reference_sets import _commit, machine  # noqa: E402

TESTS = ("tests/mining/test_on_device.py", "tests/scorers/dense", "tests/training/test_step_on_gpu.py")


class OutOfTime(BaseException):
    """The part has used its share; no library's ``except Exception`` stops it."""


def main() -> int:
    """Run the parts, write and print what they measure; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="toy sizes, also on the CPU")
    parser.add_argument("--only", default="", metavar="NAME,...", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything (default %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("--append", action="store_true", help="keep the other parts of an earlier gpu.json")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(PARTS)
    unknown = sorted(set(names) - set(PARTS))
    if unknown:
        parser.error(f"--only: no part {', '.join(unknown)}; expected some of {', '.join(PARTS)}")
    if not options.tiny and not torch.cuda.is_available():
        print("benchmarks/gpu.py: torch finds no CUDA device; --tiny runs toy sizes on the CPU", file=sys.stderr)
        return 2
    end = time.monotonic() + 60 * options.minutes
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "gpu.json"
    facts, left_over = _facts(options, path), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RAMEN_CACHE"] = f"{folder}/cache"
        context = Context(options.tiny, Path(folder), facts.get("roofs", {}))
        context.rows = {part["part"]: part["rows"] for part in facts["parts"]}
        if not context.roofs:
            context.roofs = facts["roofs"] = measure_roofs(context)
            print(json.dumps({"roofs": context.roofs}), flush=True)
        for at, name in enumerate(names):
            left = end - time.monotonic()
            share = left * PARTS[name][1] / sum(PARTS[other][1] for other in names[at:])
            part = run_part(name, context, share, lambda: _write(facts, path), facts["parts"])
            print(json.dumps(part), flush=True)
            if "error" in part and names[at + 1 :] and not _device_works():
                left_over = names[at + 1 :]
                break
    if left_over:
        print("the card takes no more work from this process: a new one goes on", flush=True)
        _go_on(left_over, (end - time.monotonic()) / 60, options)
    print(table(facts["parts"], options.tiny))
    return 0


def run_part(name: str, context: Context, limit: float, write: Callable[[], None], parts: list[Row]) -> Row:
    """Run a part for at most ``limit`` seconds and put its rows, or those until it failed, among ``parts``.

    Args:
        name: of the part.
        context: what it may use.
        limit: seconds.
        write: called after each row.
        parts: of the results; one of the same name is replaced.
    """
    part: Row = {"part": name, "limit_s": round(limit, 1), "seconds": 0.0, "rows": []}
    parts[:] = [other for other in parts if other["part"] != name] + [part]
    context.rows[name] = part["rows"]
    context.deadline, start = time.monotonic() + limit, time.monotonic()
    try:
        with _alarm(limit):
            for row in PARTS[name][0](context):
                part["rows"].append(row)
                part["seconds"] = round(time.monotonic() - start, 2)
                write()
    except OutOfTime:
        part["error"] = f"stopped after its share of {limit:.0f} s"
    except Exception as error:
        part["error"] = f"{type(error).__name__}: {str(error)[:1000]}"
    part["seconds"] = round(time.monotonic() - start, 2)
    write()
    if _device_works():
        free_memory()
    return part


@contextmanager
def _alarm(limit: float) -> Iterator[None]:
    """Raise :class:`OutOfTime` in the block after so many seconds, at the next instruction of Python."""

    def stop(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(limit, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _device_works() -> bool:
    """Whether the card still works for this process: after an illegal access it fails every call."""
    try:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def _go_on(names: list[str], minutes: float, options: argparse.Namespace) -> None:
    """Replace this process, and with it what it holds on the card, by one that measures the other parts."""
    command = [sys.executable, __file__, "--only", ",".join(names), "--minutes", f"{minutes:.2f}", "--append"]
    os.execv(sys.executable, [*command, "--out", str(options.out), *["--tiny"] * options.tiny])


def _facts(options: argparse.Namespace, path: Path) -> Row:
    """What the results begin with: those of an earlier call with ``--append``, else machine and versions."""
    if options.append and path.is_file():
        return json.loads(path.read_text())
    facts: Row = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": "unknown", "machine": machine()}
    if shutil.which("git"):
        facts["commit"] = _commit()
    facts["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    facts |= {"torch": torch.__version__, "tiny": options.tiny, "minutes": options.minutes}
    return {**facts, "parts": []}


def _write(facts: Row, path: Path) -> None:
    """Replace the file in one go, so that it is whole whenever the run is cut off."""
    staging = path.with_suffix(".tmp")
    staging.write_text(json.dumps(facts, indent=1) + "\n")
    staging.replace(path)


def table(parts: list[Row], tiny: bool) -> str:
    """Targets, what was measured and whether it meets them, one line each, and the parts that did not end."""
    lines = ["| part | what | target | measured | met |", "|---|---|---|---|---|"]
    for part in parts:
        for one in (one for row in part["rows"] for one in row.get("checks", ())):
            measured = "-" if one["measured"] is None else f"{one['measured']:.3g}"
            met = {True: "yes", False: "no", None: "-"}[one["met"]]
            lines.append(
                f"| {part['part']} | {one['what']} | {one['relation']} {one['target']:g} | {measured} | {met} |"
            )
        if "error" in part:
            lines.append(f"| {part['part']} | {part['error'].splitlines()[0]} | | | no |")
    return "\n".join([*lines, *["Toy sizes: these figures mean nothing."] * tiny])


def cuda_tests(context: Context) -> Iterator[Row]:
    """The tests that need a card, in a process of their own."""
    missing = [name for name in ("pytest", "hypothesis") if importlib.util.find_spec(name) is None]
    if missing:
        yield {"note": f"skipped: {', '.join(missing)} not installed"}
        return
    paths = context.size(TESTS, TESTS[:1])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "cuda", *paths]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    row: Row = {"command": " ".join(command[1:]), "exit": None}
    process = {"cwd": ROOT, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        done = subprocess.run(command, timeout=max(1.0, context.left() - 2), **process)  # type: ignore[call-overload]
        said, row["exit"] = done.stdout, done.returncode
    except subprocess.TimeoutExpired as cut:
        said = (cut.stdout or b"") + b"\nstopped: no time left"
    lines = said.decode(errors="replace").strip().splitlines() or [""]
    row["summary"] = lines[-1]
    if row["exit"] != 0:
        row["tail"] = lines[-40:]
    yield {**row, "checks": [check("exit code of the CUDA tests", row["exit"], "<=", 0)]}


def profile(context: Context) -> Iterator[Row]:
    """What share of the time the card was busy in the parts that measured it, a printed line each."""
    for name in ("step", "encode"):
        for row in context.rows.get(name, ()):
            if "busy_percent" in row:
                share = row["busy_percent"]
                found = "nothing to measure without a card" if share is None else f"card busy {share:.0f} % of the time"
                print(f"{name}, {row['what']}: {found}", flush=True)
                yield {"of": f"{name}: {row['what']}", "busy_percent": share}


# Name -> what runs and its share of the time; the profile comes last, as it reads what the others found.
PARTS: dict[str, tuple[Callable[[Context], Iterator[Row]], float]] = {
    "tests": (cuda_tests, 90),
    "step": (step, 110),
    "encode": (encode, 40),
    "head": (head, 70),
    "topk": (topk, 50),
    "query_encoders": (query_encoders, 60),
    "man": (man, 40),
    "planted": (planted, 90),
    "profile": (profile, 1),
}

if __name__ == "__main__":
    sys.exit(main())
