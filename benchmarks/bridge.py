"""What the bridge is worth: chains, the student as RAMEN's backbone, and controls, on two real sets.

    RAMEN_DATA=FOLDER python benchmarks/bridge.py [--parts chains backbone controls] [--only ROW ...] [KEY=VALUE ...]

Each finished chain and row is kept in --work; a second call goes on where the first stopped. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import graph_rows
import numpy as np
import torch
from graph_regulariser import compared, per_point, value
from reference_sets import _commit, machine

from hlm_bridge.align import align_on, new_student, trained_groups
from hlm_bridge.caching import backward
from hlm_bridge.chain import Chain
from hlm_bridge.config import HlmConfig
from hlm_bridge.ladder import calibration, cut, every_text
from hlm_bridge.losses import contrastive
from hlm_bridge.pairs import Pairs
from hlm_bridge.refine import refine_on
from hlm_bridge.retrieval import Figures, percent, retrieve, shares_kept
from hlm_bridge.run import run
from hlm_bridge.vectors import Vectors, teacher_vectors
from ramen.encoders.transformer import TransformerEncoder
from ramen.settings import override

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("chains", "backbone", "joined", "controls")
WATCHED = ("P@1", "P@5", "PSP@5", "R@10")
SMALL = ["teacher.max_tokens=32", "align.max_tokens=32"]
FEW = ["data.pairs=0.1", "teacher.epochs=3"]
ALL = ["teacher.epochs=1", "gate.share=0.03"]
ORACLE = ["teacher.reads=text+anchors", "teacher.max_tokens=64", "gate.teacher=0"]  # the gate reads plain text
CHAINS = {  # settings beside SMALL
    "10 %": FEW,
    "10 %, oracle": [*FEW, *ORACLE],
    "100 %": ALL,
    "100 %, oracle": [*ALL, *ORACLE],
    "10 %, three layers": [
        *FEW, "align.student=transformer", "align.steps=0", "align.batch_size=128", "prune.ladder=layers:4,layers:3",
        "prune.steps=400", "refine.steps=60", "refine.batch_size=64",
    ],
    "Debian": [
        "data.text=full", "teacher.max_tokens=64", "teacher.label_map=True", "teacher.epochs=1",
        "align.max_tokens=256", "align.max_texts=30000", "gate.align=0.9",
    ],
}  # fmt: skip
CASES = {  # the set, what is read of it, share of the pairs, chains
    "10 %": ("LF-ManSeeAlso", "title", 0.1, {"bridge": "10 %", "oracle bridge": "10 %, oracle"}),
    "100 %": ("LF-ManSeeAlso", "title", 1.0, {"bridge": "100 %", "oracle bridge": "100 %, oracle"}),
    "Debian": ("LF-DebianRelated", "full", 1.0, {"bridge": "Debian"}),
}


def main() -> int:
    """Measure what is not there yet, then write the results; returns an exit code."""
    options = _options()
    if "RAMEN_DATA" not in os.environ:
        print("benchmark: RAMEN_DATA is not set, expected the folder that holds the data sets", file=sys.stderr)
        return 2
    options.work.mkdir(parents=True, exist_ok=True)
    if "chains" in options.parts:
        for name in CHAINS:
            if not options.only or name in options.only:
                chain(name, options)
    for name in CASES:
        if ("backbone" in options.parts or "joined" in options.parts) and (not options.cases or name in options.cases):
            backbone(name, options)
    if "controls" in options.parts:
        controls(options)
    _write(options)
    return 0


def settings(name: str, options: argparse.Namespace, *more: str) -> HlmConfig:
    """Of a chain by its name."""
    folder = name.replace(" %", "").replace(", ", "-").replace(" ", "-")
    config = HlmConfig(out=str(options.work / folder), seed=options.seed)
    words = [f"data.path={Path(os.environ['RAMEN_DATA']) / 'LF-ManSeeAlso'}"]
    if name == "Debian":
        words = [f"data.path={Path(os.environ['RAMEN_DATA']) / 'LF-DebianRelated'}"]
        if options.texts:
            words.append(f"align.texts={options.texts}")
    override(config, [*SMALL, *words, *CHAINS[name], *options.words, *more])
    return config


def chain(name: str, options: argparse.Namespace) -> Path:
    """Run a chain where it is not done; those of one teacher share it and its vectors."""
    config = settings(name, options)
    out = Path(config.out)
    if not (out / "report.json").exists():
        if name == "10 %, three layers" and not (out / "teacher").exists():
            _branch(chain("10 %", options), out)
        start = time.perf_counter()
        print(f"chain {name}", file=sys.stderr, flush=True)
        run(config)
        (out / "seconds.json").write_text(json.dumps(time.perf_counter() - start))
        _write(options)
    return out


def _branch(base: Path, out: Path) -> None:
    """Another chain with the same teacher."""
    for name in ("teacher", "vectors"):
        shutil.copytree(base / name, out / name, copy_function=os.link, dirs_exist_ok=True)
    (out / "phases").mkdir(exist_ok=True)
    shutil.copy(base / "phases/teacher.json", out / "phases/teacher.json")
    shutil.copy(base / "split.npz", out / "split.npz")


def backbone(name: str, options: argparse.Namespace) -> None:
    """The encoder alone after RAMEN's training, and all scorers; from scratch and from students, with graphs or not."""
    data, text, pairs, chains = CASES[name]
    case = graph_rows.case(Path(os.environ["RAMEN_DATA"]) / data, pairs, options.seed, [], text)
    kinds = sorted(case.dataset.graphs)

    def student(bridge: str, phase: str = "") -> list[str]:
        return [f"encoder=hlm:{chain(chains[bridge], options) / phase}"] if bridge in chains else []

    starts = {"no bridge": ("", ""), **{f"{b} ({phase})": (b, phase) for b in chains for phase in ("align", "refine")}}
    rows: dict[str, Callable[[], graph_rows.Measured]] = {}
    if "backbone" in options.parts:
        rows["no bridge, no graph"] = lambda: graph_rows.regularised(case, [])
        rows["no bridge, no graph, 240 updates"] = lambda: graph_rows.regularised(case, [], graph_rows.LONG)
        for start, of in starts.items():
            rows[f"{start}, no graph"] = lambda of=of: graph_rows.regularised(case, [], *student(*of))
            rows[f"{start}, graph"] = lambda of=of: graph_rows.regularised(case, kinds, *student(*of))
    if "joined" in options.parts:
        for start in ("no bridge", *chains):
            rows[f"all scorers, {start}"] = lambda start=start: graph_rows.joined(case, "all", *student(start))
    for row, measure in rows.items():
        path = options.work / f"backbone-{name.split()[0]}-{row.replace(' ', '_')}.npz"
        if path.exists() or (options.only and row not in options.only):
            continue
        print(f"{name}: {row}", file=sys.stderr, flush=True)
        measured = measure()
        facts = {"pairs": name, "row": row, "seconds": measured.seconds, "commit": _commit()}
        np.savez_compressed(path, facts=json.dumps(facts), **per_point(measured.found, case))
        _write(options)


def controls(options: argparse.Namespace) -> None:
    """Few pairs: other losses of phase 2, phase 3 alone, both towers at once, one cut or a ladder."""
    out = options.work / "controls"
    if not (out / "phases").exists():
        out.mkdir(parents=True, exist_ok=True)
        _branch(chain("10 %", options), out)
    config = settings("10 %", options, f"out={out}")
    task = Chain(config)
    vectors = teacher_vectors(task)
    reference = _tested(task, vectors, vectors.store[vectors.test], vectors.labels)
    rows: dict[str, Callable[[], tuple[Figures, Figures | None]]] = {
        **{f"align by {loss}": lambda loss=loss: _aligned(task, vectors, loss) for loss in ("l2", "kl", "kernel")},
        "no alignment": lambda: _aligned(task, vectors, None),
        "both towers at once": lambda: (_joint(task), None),
        "ladder 5, 4, 3": lambda: (_cut(task, vectors, [5, 4, 3], 100), None),
        "one cut to 3": lambda: (_cut(task, vectors, [3], 300), None),
    }
    for row, measure in rows.items():
        path = options.work / f"control-{row.replace(' ', '_')}.json"
        if path.exists() or (options.only and row not in options.only):
            continue
        print(f"control: {row}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        before, after = measure()
        facts = {"row": row, "seconds": time.perf_counter() - start, "commit": _commit()}
        facts |= {"before": percent(before), "before_kept": shares_kept(before, reference)}
        if after is not None:
            facts |= {"after": percent(after), "after_kept": shares_kept(after, reference)}
        path.write_text(json.dumps(facts))
        _write(options)


def _tested(task: Chain, vectors: Vectors, queries: np.ndarray, index: np.ndarray) -> Figures:
    return retrieve(queries, index, task.dataset.test_targets, task.filtered[1])


def _asked(task: Chain, student: Any) -> np.ndarray:
    return student.encode(student.tokenize(task.test)).numpy()


def _aligned(task: Chain, vectors: Vectors, loss: str | None) -> tuple[Figures, Figures]:
    """Before and after phase 3."""
    student = new_student(task, vectors.store.dim)
    if loss:
        task.config.align.loss = loss
        align_on(task, student, vectors, task.config.align.steps, f"control-{loss}")
    before = _tested(task, vectors, _asked(task, student), vectors.labels)
    refine_on(task, student, vectors)
    task.checkpoint("refine").remove()
    return before, _tested(task, vectors, _asked(task, student), vectors.labels)


def _joint(task: Chain) -> Figures:
    """A static query tower and a label tower that is the backbone, trained together from the start."""
    config = task.config
    labels = TransformerEncoder(config.teacher.backbone, config.teacher.pooling, config.teacher.max_tokens)
    student = new_student(task, labels.dim)
    labels.native_eval = True
    asked, read = student.tokenize(task.points), labels.tokenize(task.labels)
    pairs = Pairs(
        task.split.targets, task.not_negative, task.split.train_rows, config.teacher.batch_size, 0, config.seed
    )
    both = torch.nn.ModuleList([student, labels])

    def step(number: int) -> tuple[torch.Tensor, dict[str, float]]:
        batch = pairs.batch(number)
        sets = [
            (lambda part: student(asked, batch.points[part]), len(batch.points)),
            (lambda part: labels(read, batch.labels[part]), len(batch.labels)),
        ]
        loss = partial(contrastive, not_negative=batch.not_negative, temperature=config.teacher.temperature, margin=0.1)
        return backward(sets, loss, 0), {}

    groups = trained_groups(student, 2e-3) + trained_groups(labels, config.teacher.lr)
    steps = config.teacher.epochs * pairs.per_epoch
    task.train(both, groups, steps, step, "control-joint", config.seed, lr_setting="teacher.lr")
    return _tested(task, None, _asked(task, student), labels.encode(read).numpy())  # type: ignore[arg-type]


def _cut(task: Chain, vectors: Vectors, layers: list[int], steps: int) -> Figures:
    """The teacher, cut to fewer layers and aligned after each cut."""
    config = task.config.align
    config.student, config.batch_size, config.loss = "transformer", 128, "l2"
    student = new_student(task, vectors.store.dim)
    for number in layers:
        cut(student, {"layers": number}, calibration(task), every_text(task))
        name = f"control-{len(layers)}-{number}"
        align_on(task, student, vectors, steps, name)
        task.checkpoint(name).remove()
    return _tested(task, vectors, _asked(task, student), vectors.labels)


def _write(options: argparse.Namespace) -> None:
    command = shlex.join(["python", "benchmarks/bridge.py", *sys.argv[1:]])
    facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine(), "command": command}
    facts |= {"seed": options.seed, "commit": _commit()}
    lines = [
        "# What the bridge is worth",
        "",
        f"Percent on the test part, seed {options.seed}. LF-ManSeeAlso: titles. Debian: LF-DebianRelated, contents too",
        "",
    ]
    facts["chains"] = _chains(options, lines)
    facts["backbone"] = _backbone(options, lines)
    facts["controls"] = _controls(options, lines)
    lines.append(f"- machine: {', '.join(f'{key} {found}' for key, found in facts['machine'].items())}")
    lines.append(f"- last call: `{command}` at {facts['commit']}; rows may be of earlier ones")
    options.out.mkdir(parents=True, exist_ok=True)
    for ending, content in {"json": json.dumps(facts, indent=1), "md": "\n".join(lines)}.items():
        path = options.out / f"bridge.{ending}"
        part = path.with_suffix(f".{ending}.part")
        part.write_text(_anywhere(content, options) + "\n", encoding="utf-8")
        os.replace(part, path)


def _anywhere(content: str, options: argparse.Namespace) -> str:
    """Without the folders of this machine."""
    names = {str(options.work): "WORK", str(options.out): "OUT", os.environ["RAMEN_DATA"]: "RAMEN_DATA"}
    if options.texts:
        names[str(options.texts)] = "TEXTS"
    for folder in sorted(names, key=len, reverse=True):
        content = content.replace(folder, names[folder])
    return content


def _chains(options: argparse.Namespace, lines: list[str]) -> dict[str, Any]:
    found = {}
    for name in CHAINS:
        out = Path(settings(name, options).out)
        if (out / "report.json").exists():
            seconds = json.loads((out / "seconds.json").read_text()) if (out / "seconds.json").exists() else None
            found[name] = {**json.loads((out / "report.json").read_text()), "seconds": seconds}
            lines += [f"## Chain: {name}", "", (out / "report.md").read_text().rstrip()]
            lines += [f"- {seconds / 60:.1f} minutes", ""] if seconds else [""]
    return found


def _backbone(options: argparse.Namespace, lines: list[str]) -> list[dict[str, Any]]:
    stored = []
    for path in sorted(options.work.glob("backbone-*.npz"), key=lambda path: path.stat().st_mtime):
        with np.load(path) as file:
            stored.append((json.loads(str(file["facts"])), {n: file[n] for n in file.files if n != "facts"}))
    results = []
    for share in dict.fromkeys(facts["pairs"] for facts, _ in stored):
        here = [(facts, values) for facts, values in stored if facts["pairs"] == share]
        base = next((values for facts, values in here if facts["row"] == "no bridge, no graph"), None)
        lines += [f"## The student as RAMEN's backbone: {share}, encoder alone unless all scorers are named", ""]
        lines += [
            "Below a figure: difference to the first row, 95 % interval by a paired bootstrap, relative change.",
            "",
        ]
        lines += [f"| row | {' | '.join(WATCHED)} | R@100 | s |", "|---" * (len(WATCHED) + 3) + "|"]
        for facts, values in here:
            figures = {name: value(values[name]) for name in (*WATCHED, "R@100")}
            cells, against = [facts["row"]], {}
            for name in WATCHED:
                cell = f"{figures[name]:.1f}"
                if base is not None and values is not base:
                    told = against[name] = compared(values[name], base[name])
                    change = told["difference"] / value(base[name])
                    cell += f"<br>{told['difference']:+.1f} ({told['low']:+.1f}, {told['high']:+.1f}), {change:+.1%}"
                cells.append(cell)
            lines.append(f"| {' | '.join(cells)} | {figures['R@100']:.1f} | {facts['seconds']:.0f} |")
            results.append({**facts, "test": figures, "against": against})
        lines.append("")
    return results


def _controls(options: argparse.Namespace, lines: list[str]) -> list[dict[str, Any]]:
    found = [
        json.loads(p.read_text()) for p in sorted(options.work.glob("control-*.json"), key=lambda p: p.stat().st_mtime)
    ]
    if not found:
        return []
    lines += ["## Controls: 10 % of the pairs, before and after phase 3", ""]
    lines += ["| row | P@1 | share of the teacher's | R@10 | P@1 after | share | R@10 after | s |", "|---" * 8 + "|"]
    for row in found:
        cells = [row["row"]]
        for when in ("before", "after"):
            if when in row:
                share = row[f"{when}_kept"]["P@1"]
                told = f"{share['share']:.1%} ({share['low']:.1%} to {share['high']:.1%})"
                cells += [f"{row[when]['P@1']:.1f}", told, f"{row[when]['R@10']:.1f}"]
            else:
                cells += ["", "", ""]
        lines.append(f"| {' | '.join(cells)} | {row['seconds']:.0f} |")
    lines.append("")
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="settings of every chain")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--only", nargs="+", help="names of chains and rows")
    parser.add_argument("--cases", nargs="+", choices=CASES, metavar="CASE", help="of the parts backbone and joined")
    parser.add_argument("--texts", help="Debian: what benchmarks/package_texts.py wrote")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build/bridge_rows", help="finished chains and rows are kept here"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results", help="folder of the results")
    return parser.parse_intermixed_args()


if __name__ == "__main__":
    sys.exit(main())
