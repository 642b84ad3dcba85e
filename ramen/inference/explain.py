"""Explain why a text gets a label: contributions of scorers, words and neighbouring training points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ramen.inference.tagger import Tagger


def explain(tagger: Tagger, text: str, labels: list[int]) -> list[dict[str, Any]]:
    """Return the reasons for each label, in order.

    Args:
        tagger: of a run.
        text: a valid text.
        labels: indices into the run's ``uids``.

    Returns:
        For each label ``{"scorers": {name: term}, "words": [{"word", "weight"}], "neighbours": [{"text", "share"}]}``:
        the terms of the score, the words and word pairs of the text with the largest weights, and the nearest training
        points with the label and their share of the votes.
    """
    queries, ranker = tagger.queries([text]), tagger.run.ranker
    parts = ranker.parts(queries, np.array(labels, dtype=np.int64)) if labels else {}
    features = tagger.run.words.names if tagger.run.words else None
    reasons = []
    for at, label in enumerate(labels):
        scores = {name: float(part[at]) for name, part in parts.items()}
        reason: dict[str, Any] = {"scorers": scores, "words": [], "neighbours": []}
        for scorer in ranker.scorers.values():
            reason.update(scorer.explain(queries, label, features))
        reasons.append(reason)
    return reasons
