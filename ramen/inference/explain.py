"""Explain why a text gets a label: contributions of scorers, words and neighbouring training points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ramen.scorers.base import Queries
from ramen.threads import one_blas_thread

if TYPE_CHECKING:
    from ramen.inference.tagger import Tagger
    from ramen.ranking.ranker import Ranker

_BATCH = 256  # texts at once: bounds the memory


@one_blas_thread()
def explain(tagger: Tagger, texts: list[str] | Queries, labels: np.ndarray) -> list[list[dict[str, Any]]]:
    """Return the reasons for the labels of each text, in order.

    Args:
        tagger: of a run.
        texts: B valid texts, or their queries: those by which they were ranked spare half of the work.
        labels: int64 (B, K), indices into the run's ``uids``, padded with -1 at the end of a row.

    Returns:
        For each label ``{"scorers": {name: term}, "words": [{"word", "weight"}], "neighbours": [{"text", "share"}]}``:
        the terms of the score, the words and word pairs of the text with the largest weights, and the nearest training
        points with the label and their share of the votes.
    """
    features = tagger.run.words.names if tagger.run.words else None
    reasons = []
    for first in range(0, len(texts), _BATCH):
        part = slice(first, first + _BATCH)
        queries = texts[part] if isinstance(texts, Queries) else tagger.queries(texts[part])
        terms = tagger.run.ranker.parts(queries, labels[part])
        for row, of_text in enumerate(labels[part]):
            query, shown = queries[row : row + 1], of_text[of_text >= 0]
            values = {name: of_all[row, : len(shown)].tolist() for name, of_all in terms.items()}
            reasons.append(_of_one_text(tagger.run.ranker, query, shown, values, features))
    return reasons


def _of_one_text(
    ranker: Ranker, query: Queries, labels: np.ndarray, terms: dict[str, list[float]], features: Sequence[str] | None
) -> list[dict[str, Any]]:
    reasons: list[dict[str, Any]] = [
        {"scorers": dict(zip(terms, values, strict=True)), "words": [], "neighbours": []}
        for values in zip(*terms.values(), strict=True)
    ]
    for scorer in ranker.scorers.values():
        for reason, more in zip(reasons, scorer.explain(query, labels, features), strict=True):
            reason.update(more)
    return reasons
