"""Every kind of scorer by its name in settings and run folders."""

from __future__ import annotations

from ramen.scorers.base import StoredScorer
from ramen.scorers.neighbours import Neighbours
from ramen.scorers.sparse.scorer import SparseWords
from ramen.scorers.vectors import LabelVectors

SCORERS: dict[str, type[StoredScorer]] = {
    "encoder": LabelVectors,
    "centroids": LabelVectors,
    "head": LabelVectors,
    "neighbours": Neighbours,
    "sparse": SparseWords,
}
