"""Phase 3: train the student's queries on the task's pairs against the teacher's frozen label vectors."""

from __future__ import annotations

from typing import Any

import torch

from hlm_bridge.align import gate_student, trained_groups
from hlm_bridge.chain import Chain
from hlm_bridge.losses import contrastive
from hlm_bridge.pairs import Pairs
from hlm_bridge.vectors import Vectors
from ramen.encoders.base import Encoder
from ramen.encoders.folder import load_folder
from ramen.encoders.static import StaticEncoder
from ramen.transfer import to_device

_LR = {True: 2e-3, False: 2e-5}  # of a static student, of a transformer


def refine(chain: Chain, vectors: Vectors) -> dict[str, Any]:
    """Run the phase, unless it is done: ``out/refine`` holds the student.

    Returns:
        The notes of the phase, with its gate.
    """
    done = chain.record("refine")
    if done:
        return done
    settings = chain.config.align
    before = "prune" if chain.config.prune.ladder else "align"
    student = load_folder(chain.needs(before), settings.max_tokens)
    student.to("cuda" if torch.cuda.is_available() else "cpu")
    refine_on(chain, student, vectors)
    notes = {"gate": gate_student(chain, student, vectors, "refine", chain.config.gate.refine)}
    with chain.writes("refine", notes) as folder:
        chain.save(student, folder)
    chain.log(stage="refine", **notes["gate"]["figures"])
    return notes


def refine_on(chain: Chain, student: Encoder, vectors: Vectors) -> None:
    """Train a student in place; the label vectors do not change, so an index of them stays valid."""
    settings, split = chain.config.refine, chain.split
    index = torch.from_numpy(vectors.labels)
    tokens = student.tokenize(chain.points)
    seed = chain.config.seed
    pairs = Pairs(split.targets, chain.not_negative, split.train_rows, settings.batch_size, settings.negatives, seed)
    of_rows = tokens.some(pairs.rows)
    margin = settings.margin if settings.loss == "qwen3" else None

    def step(number: int) -> tuple[torch.Tensor, dict[str, float]]:
        if settings.negatives and number % settings.mine_every == 0:
            pairs.mine(student.encode(of_rows).numpy(), vectors.labels, settings.nearest)
        batch = pairs.batch(number)
        queries = student(tokens, batch.points)
        device = queries.device
        documents, negatives = (
            to_device(index[torch.from_numpy(rows)], device) for rows in (batch.labels, batch.hard_negatives)
        )
        masks = to_device(batch.not_negative, device), to_device(batch.not_negative_hard, device)
        loss = contrastive(queries, documents, masks[0], settings.temperature, margin, negatives, masks[1])
        if settings.anchor:
            of_teacher = to_device(torch.from_numpy(vectors.store[vectors.points[batch.points]]), device)
            loss = loss + settings.anchor * (queries - of_teacher).square().sum(1).mean()
        return loss, {}

    groups = trained_groups(student, settings.lr or _LR[isinstance(student, StaticEncoder)])
    chain.train(student, groups, settings.steps, step, "refine", seed, pairs)
