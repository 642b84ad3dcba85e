"""Compare the teacher with a student trained without it, on the task's pairs."""

from __future__ import annotations

from typing import Any

from hlm_bridge.align import teacher_figures
from hlm_bridge.chain import Chain
from hlm_bridge.retrieval import percent, retrieve, shares_kept
from hlm_bridge.vectors import Vectors
from ramen.config import load_config
from ramen.encoders.base import Encoder
from ramen.errors import WorkError
from ramen.training.data import prepare
from ramen.training.encoder_loop import train_encoder


def compare_with_student_alone(chain: Chain, vectors: Vectors) -> dict[str, Any] | None:
    """Train a static student on the task's pairs alone, and compare the teacher with it.

    Args:
        chain: with ``gate.own`` ``say`` or ``stop``; skipped for transformer students, which take long to train.
        vectors: of the teacher.

    Returns:
        Figures and a sentence, or None if skipped.

    Raises:
        WorkError: ``gate.own=stop``, and the student alone is significantly better in one metric and worse in none.
    """
    if chain.config.gate.own == "off" or chain.config.align.student != "static":
        return None
    notes = chain.record("teacher") or {}
    if "student_alone" not in notes:
        notes["student_alone"] = _compare(chain, vectors)
        chain.note("teacher", notes)
    comparison = notes["student_alone"]
    chain.log(stage="teacher", note=comparison["says"])
    if comparison["worse"] and chain.config.gate.own == "stop":
        raise WorkError(f"gate: {comparison['says']}; all phases so far are kept in {chain.out}")
    return comparison


def _compare(chain: Chain, vectors: Vectors) -> dict[str, Any]:
    config = load_config("static", [f"encoder.max_tokens={chain.config.align.max_tokens}"])
    config.seed = chain.config.seed
    data, student = prepare(chain.dataset, config)
    assert isinstance(student, Encoder)
    split = chain.split
    train_encoder(student, data, split, {}, None, lambda **line: None)
    views = data.views(split, student)
    alone = retrieve(views.points[split.held_out_rows], views.labels, split.held_out_targets, chain.filtered[0])
    teacher = teacher_figures(chain, vectors)
    shares = shares_kept(teacher, alone)
    lower = [name for name, share in shares.items() if share["high"] < 1]
    higher = [name for name, share in shares.items() if share["low"] > 1]
    worse = bool(lower) and not higher
    of_teacher, of_student = (
        ", ".join(f"{name} {value:.1f}" for name, value in percent(figures).items()) for figures in (teacher, alone)
    )
    if worse:
        where = "" if len(lower) == len(shares) else f" in {', '.join(lower)}"
        says = f"the teacher ({of_teacher}) is worse{where} than the student trained alone ({of_student})"
        says += ": expect a gain only from text without labels"
    elif higher and not lower:
        says = f"the teacher ({of_teacher}) is better than the student trained alone ({of_student})"
    else:
        says = f"the teacher ({of_teacher}) is about as good as the student trained alone ({of_student})"
    figures = {"teacher": percent(teacher), "student": percent(alone), "shares": shares}
    return {"says": says, "worse": worse, **figures}
