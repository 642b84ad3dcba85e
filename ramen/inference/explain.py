"""Why a text gets a label: what each scorer adds, which words speak for it, which training points vote."""

from __future__ import annotations

from typing import Any

import numpy as np

from ramen.inference.tagger import Tagger


def explain(tagger: Tagger, text: str, labels: list[int]) -> list[dict[str, Any]]:
    """Reasons for each label, in their order.

    Args:
        tagger: of a run.
        text: one that can be tagged.
        labels: places in the run's ``uids``.

    Returns:
        For each label ``{"scorers": {name: part}, "words": [{"word", "weight"}], "neighbours": [{"text", "share"}]}``:
        the parts of the score; words and pairs of words of the text with the largest weights; the nearest training
        points that have the label, and their share of the votes.
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
