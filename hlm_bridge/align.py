"""Phase 2: align a student's vectors with the teacher's, on text without labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hlm_bridge.chain import Chain
from hlm_bridge.config import numbers
from hlm_bridge.losses import alignment
from hlm_bridge.retrieval import Figures, gate, retrieve
from hlm_bridge.vectors import Vectors
from ramen.config import EncoderConfig
from ramen.encoders.base import Encoder
from ramen.encoders.folder import load_label_map
from ramen.encoders.static import StaticEncoder, build_static_encoder
from ramen.encoders.transformer import TransformerEncoder
from ramen.errors import InputError
from ramen.transfer import to_device

_LR = {True: 2e-3, False: 1e-4}  # of a static student, of a transformer


def align(chain: Chain, vectors: Vectors) -> dict[str, Any]:
    """Run the phase, unless it is done: ``out/align`` holds the student as a sentence-transformers folder.

    Returns:
        The notes of the phase, with its gate.

    Raises:
        InputError: the student's backbone does not load, or there is nothing to align on.
    """
    done = chain.record("align")
    if done:
        return done
    student = new_student(chain, vectors.store.dim)
    align_on(chain, student, vectors, chain.config.align.steps, "align")
    notes = {"gate": gate_student(chain, student, vectors, "align", chain.config.gate.align)}
    with chain.writes("align", notes) as folder:
        chain.save(student, folder)
    chain.log(stage="align", **notes["gate"]["figures"])
    return notes


def new_student(chain: Chain, dim: int) -> Encoder:
    """Return the student before alignment, with vectors of the teacher's dimension.

    A static student starts from the token vectors of its backbone. A transformer student is the backbone itself; a
    linear map projects its vectors if their dimension differs from the teacher's.
    """
    settings = chain.config.align
    backbone = settings.backbone or str(chain.needs("teacher"))
    torch.manual_seed(chain.config.seed)
    student: Encoder
    if settings.student == "static":
        corpus = chain.points + chain.labels + [text for texts, _ in chain.unlabelled for text in texts]
        student = build_static_encoder(corpus, EncoderConfig(backbone=backbone, max_tokens=settings.max_tokens))
        if student.dim != dim:
            raise InputError(
                f"align.backbone={settings.backbone!r}: token vectors of {student.dim} dimensions, expected the "
                f"teacher's {dim}; leave align.backbone out to start from the teacher"
            )
    else:
        pooling = settings.pooling if settings.backbone else chain.config.teacher.pooling
        student = TransformerEncoder(backbone, pooling, settings.max_tokens, dim=dim)
    load_label_map(student, chain.needs("teacher"))  # for RAMEN's encoder training; no phase here trains it
    return student.to("cuda" if torch.cuda.is_available() else "cpu")


def align_on(chain: Chain, student: Encoder, vectors: Vectors, steps: int, name: str) -> None:
    """Train a student on all sources; each batch samples them by weight.

    Args:
        chain: settings.
        student: trained in place.
        vectors: of the teacher.
        steps: number of updates.
        name: of the phase, or of the step of a ladder.
    """
    settings, store = chain.config.align, vectors.store
    sources = [source for source in vectors.sources if len(source.texts)]
    if not sources:
        raise InputError("align: found no text to align on, expected align.own above 0 or files in align.texts")
    tokens = [student.tokenize(source.texts) for source in sources]
    weights = np.array([source.weight for source in sources])
    nested = numbers("align.nested", settings.nested)

    def step(number: int) -> tuple[torch.Tensor, dict[str, float]]:
        rng = np.random.default_rng([chain.config.seed, 7, number])
        vectors_of_student, vectors_of_teacher = [], []
        for source, of_source, count in zip(
            sources, tokens, rng.multinomial(settings.batch_size, weights / weights.sum()), strict=True
        ):
            if count:
                rows = np.sort(rng.integers(0, len(source.texts), count))
                vectors_of_student.append(student(of_source, rows))
                vectors_of_teacher.append(torch.from_numpy(store[source.rows[rows]]))
        targets = to_device(torch.cat(vectors_of_teacher), student.device)
        return alignment(torch.cat(vectors_of_student), targets, settings.loss, settings.temperature, nested), {}

    groups = trained_groups(student, settings.lr or _LR[isinstance(student, StaticEncoder)])
    chain.train(student, groups, steps, step, name, chain.config.seed, lr_setting="align.lr")


def trained_groups(student: Encoder, lr: float) -> list[dict[str, Any]]:
    """Return the student's optimiser groups; its label map is frozen, because the label vectors are the teacher's."""
    student.label_map.requires_grad_(False)
    return student.parameter_groups(lr)


def student_figures(chain: Chain, student: Encoder, vectors: Vectors) -> Figures:
    """Evaluate the student's queries for the held-out points on the teacher's index."""
    split = chain.split
    held_out = student.encode(student.tokenize([chain.points[row] for row in split.held_out_rows])).numpy()
    return retrieve(held_out, vectors.labels, split.held_out_targets, chain.filtered[0])


def teacher_figures(chain: Chain, vectors: Vectors) -> Figures:
    """Evaluate the teacher's queries for the held-out points on its index."""
    split = chain.split
    return retrieve(
        vectors.store[vectors.points[split.held_out_rows]], vectors.labels, split.held_out_targets, chain.filtered[0]
    )


def gate_student(chain: Chain, student: Encoder, vectors: Vectors, phase: str, least: float) -> dict[str, Any]:
    """Run the gate of a phase that changes the student."""
    return gate(phase, student_figures(chain, student, vectors), teacher_figures(chain, vectors), least, "the teacher")
