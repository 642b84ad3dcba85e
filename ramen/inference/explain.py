"""Why a text gets a label: what each scorer adds, which words speak for it, which training points vote."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.inference.tagger import Tagger
from ramen.scorers.base import Queries, Scorer
from ramen.scorers.combined import ConcatenatedScorer, MaskedScorer
from ramen.scorers.neighbours import Neighbours
from ramen.scorers.sparse.scorer import SparseWords
from ramen.scorers.sparse.words import WordFeatures

_WORDS, _NEIGHBOURS = 6, 4
_MARKS = {"T": "title", "L": "first words"}


def explain(tagger: Tagger, text: str, labels: list[int]) -> list[dict[str, Any]]:
    """Reasons for each label, in their order.

    Args:
        tagger: of a run.
        text: one that can be tagged.
        labels: places in the run's ``uids``.

    Returns:
        For each label ``{"scorers": {name: part}, "words": [{"word", "weight"}], "neighbours": [{"text", "share"}]}``:
        what sums to the score; words and pairs of words of the text with the largest weights; the nearest
        training points that have the label, and their share of the vote.
    """
    queries, ranker = tagger.queries([text]), tagger.run.ranker
    parts = ranker.parts(queries, np.array(labels, dtype=np.int64)) if labels else {}
    reasons: list[dict[str, Any]] = [
        {
            "scorers": {name: float(part[at]) for name, part in parts.items()},
            "words": [],
            "neighbours": [],
        }
        for at in range(len(labels))
    ]
    for scorer in ranker.scorers.values():
        for at, label in enumerate(labels):
            own, place = _inner(scorer, label)
            if isinstance(own, SparseWords) and isinstance(tagger.run.words, WordFeatures):
                reasons[at]["words"] = _words(own, place, queries, tagger.run.words)
            elif isinstance(own, Neighbours):
                reasons[at]["neighbours"] = _neighbours(own, place, queries)
    return reasons


def _inner(scorer: Scorer, label: int) -> tuple[Scorer, int]:
    """The trained scorer, or the one of added labels, and the label's place there."""
    if isinstance(scorer, MaskedScorer):
        return _inner(scorer.scorer, label)
    if isinstance(scorer, ConcatenatedScorer):
        is_first = label < scorer.first.n_labels
        return (scorer.first, label) if is_first else (scorer.second, label - scorer.first.n_labels)
    return scorer, label


def _words(scorer: SparseWords, label: int, queries: Queries, words: WordFeatures) -> list[dict[str, Any]]:
    weights: sp.csc_matrix = scorer.head.weights
    asked = queries.words
    assert asked is not None
    found = []
    for feature, value in zip(asked.indices, asked.data, strict=True):
        part = slice(weights.indptr[feature], weights.indptr[feature + 1])
        at = np.flatnonzero(weights.indices[part] == label)
        if len(at):
            found.append((float(value * weights.data[part][at[0]]), int(feature)))
    best = sorted(found, key=lambda one: -abs(one[0]))[:_WORDS]
    return [{"word": _said(words.names[feature]), "weight": round(weight, 4)} for weight, feature in best]


def _said(feature: str) -> str:
    """A feature as people read it.

    Example:
        >>> _said("T:apple"), _said("red apple")
        ('apple (title)', 'red apple')
    """
    mark, colon, word = feature.partition(":")
    return f"{word} ({_MARKS[mark]})" if colon else feature


def _neighbours(scorer: Neighbours, label: int, queries: Queries) -> list[dict[str, Any]]:
    shares = scorer.shares(queries)
    voters = [
        (float(share), int(point))
        for point, share in zip(shares.indices, shares.data, strict=True)
        if label in scorer.targets.indices[scorer.targets.indptr[point] : scorer.targets.indptr[point + 1]]
    ]
    best = sorted(voters, key=lambda one: -one[0])[:_NEIGHBOURS]
    names = scorer.names
    return [{"text": names[point] if names else f"point {point}", "share": round(share, 4)} for share, point in best]
