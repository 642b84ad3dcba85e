"""The teacher's vectors of everything the later phases read, computed once into a store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hlm_bridge.chain import Chain
from hlm_bridge.store import VectorStore
from hlm_bridge.teacher import Teacher


@dataclass
class Source:
    """Texts to align on.

    Attributes:
        texts: as the student reads them.
        rows: int64, of the teacher's vectors in the store.
        weight: of the source against the others.
    """

    texts: list[str]
    rows: np.ndarray
    weight: float


@dataclass
class Vectors:
    """A full store and what is where in it.

    Attributes:
        store: of the teacher's vectors.
        labels: float32 (L, d), the teacher's label vectors: the frozen index.
        points: int64 (N,), rows of the training points' query vectors.
        test: int64, rows of the test points' query vectors.
        sources: texts to align on; no held-out point and no test point is among them.
    """

    store: VectorStore
    labels: np.ndarray
    points: np.ndarray
    test: np.ndarray
    sources: list[Source]


def teacher_vectors(chain: Chain) -> Vectors:
    """Fill the store ``out/vectors`` with what it lacks; the teacher is loaded only where it lacks something.

    Raises:
        InputError: no teacher yet, a store of another teacher, or a damaged one.
    """
    native = chain.config.vectors.precision == "auto"
    teacher = Teacher(chain.needs("teacher"), chain.config.teacher.max_tokens, native)
    store = VectorStore.open(chain.out / "vectors", teacher.key, teacher.dim, chain.config.vectors.shard)
    files = [(texts, chain.asked(texts), weight) for texts, weight in chain.unlabelled]
    wanted = [chain.queries_read, chain.labels_read, chain.asked(chain.test), *(read for _, read, _ in files)]
    computed = store.fill([text for texts in wanted for text in texts], teacher.encode)
    if computed:
        chain.log(stage="vectors", computed=computed, stored=len(store))
    points, labels = store.rows(chain.queries_read), store.rows(chain.labels_read)
    seen = chain.split.texts
    own = Source(
        [chain.points[row] for row in seen] + chain.labels,
        np.concatenate([points[seen], labels]),
        chain.config.align.own,
    )
    sources = [own] if own.weight else []
    sources += [Source(texts, store.rows(read), weight) for texts, read, weight in files]
    index = teacher.as_labels(store[labels])
    return Vectors(store, index, points, store.rows(chain.asked(chain.test)), sources)
