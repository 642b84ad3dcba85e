"""Phase 2b: prune a transformer student step by step, and align it again after each step."""

from __future__ import annotations

from typing import Any

import numpy as np

from hlm_bridge.align import align_on, gate_student
from hlm_bridge.chain import Chain
from hlm_bridge.config import cuts
from hlm_bridge.cut_vocabulary import cut_vocabulary
from hlm_bridge.cuts import Scores, cut_layers, cut_units, score
from hlm_bridge.vectors import Vectors
from ramen.encoders.base import Encoder
from ramen.encoders.folder import load_folder
from ramen.encoders.transformer import TransformerEncoder
from ramen.errors import InputError


def prune(chain: Chain, vectors: Vectors) -> dict[str, Any]:
    """Run the phase, unless it is done: ``out/prune`` holds the student after the last cut.

    Each step is saved in a separate folder (``out/prune-1`` …), from which an interrupted ladder resumes.

    Returns:
        The notes of the phase: the figures of each step, and the gate of the first step that failed or of the last.

    Raises:
        InputError: there is no ladder, the student is static, or it cannot be cut that far.
    """
    done = chain.record("prune")
    if done:
        return done
    settings = chain.config.prune
    steps = cuts(settings.ladder)
    if not steps:
        raise InputError("prune.ladder is empty, expected cuts as in layers:4,layers:3+units:768,vocabulary")
    folder = chain.needs("align")
    notes: dict[str, Any] = {"steps": []}
    for number, parts in enumerate(steps, 1):
        name = f"prune-{number}"
        step = chain.record(name)
        if step is None:
            student = load_folder(folder, chain.config.align.max_tokens)
            cut(student, parts, calibration(chain), every_text(chain))
            align_on(chain, student, vectors, settings.steps, name)
            gate = gate_student(chain, student, vectors, f"prune ({written(parts)})", chain.config.gate.prune)
            step = {"cut": written(parts), "gate": gate}
            with chain.writes(name, step) as part:
                chain.save(student, part)
            chain.log(stage="prune", cut=step["cut"], **gate["figures"])
        folder = chain.out / name
        notes["steps"].append(step)
        notes["gate"] = step["gate"]
        if step["gate"].get("lost"):
            break
    student = load_folder(folder, chain.config.align.max_tokens)
    with chain.writes("prune", notes) as part:
        chain.save(student, part)
    return notes


def written(parts: dict[str, int]) -> str:
    """Format a step of a ladder as in the settings.

    Example:
        >>> written({"layers": 3, "vocabulary": 0})
        'layers:3+vocabulary'
    """
    return "+".join(f"{kind}:{number}" if number else kind for kind, number in parts.items())


def calibration(chain: Chain) -> list[str]:
    """Sample the texts that score layers and units, from points and labels without held-out points."""
    texts = dataset_texts(chain)
    rows = np.random.default_rng([chain.config.seed, 8]).permutation(len(texts))[: chain.config.prune.calibration]
    return [texts[row] for row in rows]


def dataset_texts(chain: Chain) -> list[str]:
    """Return the texts of points and labels, without held-out points."""
    return [chain.points[row] for row in chain.split.visible_rows] + chain.labels


def every_text(chain: Chain) -> list[str]:
    """Return all texts that a student may train on; pruning keeps their vocabulary."""
    return dataset_texts(chain) + [text for texts, _ in chain.unlabelled for text in texts]


def cut(student: Encoder, parts: dict[str, int], texts: list[str], corpus: list[str]) -> None:
    """Prune a student in place.

    Args:
        student: a transformer.
        parts: one step of :func:`hlm_bridge.config.cuts`.
        texts: for calibration.
        corpus: the vocabulary keeps the tokens of these texts.

    Raises:
        InputError: the student is static, or it cannot be cut that far.
    """
    if not isinstance(student, TransformerEncoder):
        raise InputError("prune: a static student has no layers to cut, expected align.student=transformer")
    if "layers" in parts or "units" in parts:
        scores: Scores = score(student.model, student.tokenizer, texts, student.max_tokens)
        if "layers" in parts:
            scores = cut_layers(student.model, scores, parts["layers"])
        if "units" in parts:
            cut_units(student.model, scores, parts["units"])
    if "vocabulary" in parts:
        student.model, student.tokenizer = cut_vocabulary(student.model, student.tokenizer, corpus)
        student.tokenizer.padding_side = student.tokenizer.init_kwargs["padding_side"] = "right"
