"""Run the chain: teacher → vectors → align → prune → refine, with a gate after each phase and a report at the end."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hlm_bridge.align import align
from hlm_bridge.chain import Chain
from hlm_bridge.config import HlmConfig
from hlm_bridge.ladder import prune
from hlm_bridge.refine import refine
from hlm_bridge.retrieval import stop_if_lost
from hlm_bridge.student_alone import compare_with_student_alone
from hlm_bridge.table import save, table
from hlm_bridge.teacher import train_teacher
from hlm_bridge.vectors import Vectors, teacher_vectors
from ramen.encoders.build import STUDENT
from ramen.encoders.distilled import write_teacher_labels


def run(config: HlmConfig) -> Path:
    """Run all unfinished phases, then evaluate; returns ``out``.

    Raises:
        InputError: the settings, the data or the files of an earlier phase are invalid.
        WorkError: a gate failed; all phases so far are kept.

    Example:
        ``run(load_hlm_config(Path("examples/hlm.yaml")))``
    """
    chain = Chain(config)
    chain.check()
    notes: dict[str, Any] = {"teacher": train_teacher(chain)}
    stop_if_lost(notes["teacher"], chain.out)
    vectors = teacher_vectors(chain)
    comparison = compare_with_student_alone(chain, vectors)
    if comparison:
        notes["teacher"]["student_alone"] = comparison
    notes["align"] = align(chain, vectors)
    stop_if_lost(notes["align"], chain.out)
    if config.prune.ladder:
        notes["prune"] = prune(chain, vectors)
        stop_if_lost(notes["prune"], chain.out)
    if config.refine.steps:
        notes["refine"] = refine(chain, vectors)
        stop_if_lost(notes["refine"], chain.out)
    folders: dict[str, Path] = {name: chain.out / name for name in ("align", "prune", "refine") if name in notes}
    write_student(chain, vectors, list(folders.values())[-1])
    if len(chain.dataset.test):
        save(table(chain, vectors, folders), notes, chain.out)
    return chain.out


def run_phase(config: HlmConfig, phase: str) -> Path:
    """Run one phase, or all with ``run``; returns ``out``.

    Raises:
        InputError: the phase before it has not run yet.
        WorkError: its gate failed; its output is kept.
    """
    if phase == "run":
        return run(config)
    chain = Chain(config)
    if phase == "teacher":
        chain.check()
        notes = train_teacher(chain)
    else:
        if phase == "refine":
            chain.needs("prune" if config.prune.ladder else "align")
        if phase == "prune":
            chain.needs("align")
        vectors = teacher_vectors(chain)
        notes = {"align": align, "prune": prune, "refine": refine}[phase](chain, vectors)
    stop_if_lost(notes, chain.out)
    return chain.out


def write_student(chain: Chain, vectors: Vectors, last: Path) -> None:
    """Write ``out/student`` for ``ramen train encoder=hlm:out``: the last encoder and the teacher's label vectors."""
    part = chain.out / f"{STUDENT}.part"
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(last, part)
    write_teacher_labels(part, chain.dataset.labels.uids, vectors.labels)
    shutil.rmtree(chain.out / STUDENT, ignore_errors=True)
    part.rename(chain.out / STUDENT)
