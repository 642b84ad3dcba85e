"""The teacher's vectors for all texts of the later phases, computed once and stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hlm_bridge.chain import Chain
from hlm_bridge.store import VectorStore
from hlm_bridge.teacher import Teacher


@dataclass
class Source:
    """A source of texts to align on.

    Attributes:
        texts: as the student reads them.
        rows: int64, rows of the teacher's vectors in the store.
        weight: sampling weight relative to the other sources.
    """

    texts: list[str]
    rows: np.ndarray
    weight: float


@dataclass
class Vectors:
    """A complete store and the rows of each kind of text in it.

    Attributes:
        store: of the teacher's vectors.
        labels: float32 (L, d), the teacher's label vectors: the frozen index.
        points: int64 (N,), rows of the training points' query vectors.
        test: int64, rows of the test points' query vectors.
        sources: texts to align on, without held-out points and test points.
    """

    store: VectorStore
    labels: np.ndarray
    points: np.ndarray
    test: np.ndarray
    sources: list[Source]


def teacher_vectors(chain: Chain) -> Vectors:
    """Compute the vectors missing from the store ``out/vectors``; loads the teacher only if some are missing.

    Raises:
        InputError: the teacher has not been trained yet, or the store is damaged or of another teacher.
    """
    native = chain.config.vectors.precision == "auto"
    teacher = Teacher(chain.needs("teacher"), chain.config.teacher.max_tokens, native)
    store = VectorStore.open(chain.out / "vectors", teacher.key, teacher.dim, chain.config.vectors.shard)
    files = [(texts, chain.with_prompt(texts), weight) for texts, weight in chain.unlabelled]
    test = chain.with_prompt(chain.test)
    needed = [chain.teacher_queries, chain.teacher_labels, test, *(queries for _, queries, _ in files)]
    computed = store.fill([text for texts in needed for text in texts], teacher.encode)
    if computed:
        chain.log(stage="vectors", computed=computed, stored=len(store))
    points, labels = store.rows(chain.teacher_queries), store.rows(chain.teacher_labels)
    seen = chain.split.visible_rows
    of_dataset = Source(
        [chain.points[row] for row in seen] + chain.labels,
        np.concatenate([points[seen], labels]),
        chain.config.align.own,
    )
    sources = [of_dataset] if of_dataset.weight else []
    sources += [Source(texts, store.rows(queries), weight) for texts, queries, weight in files]
    index = teacher.as_labels(store[labels])
    return Vectors(store, index, points, store.rows(test), sources)
