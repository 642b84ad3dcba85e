"""Explain the score of a label for a text: contributions of scorers, words and neighbouring training points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from ramen.errors import InputError
from ramen.scorers.base import Queries
from ramen.sequences import as_list
from ramen.text import composed
from ramen.threads import one_blas_thread

if TYPE_CHECKING:
    from ramen.inference.tagger import Tagger
    from ramen.ranking.ranker import Ranker

_BATCH = 256  # texts at once: bounds the memory
_HINTED = 20_000  # labels up to which the error for an unknown uid suggests a similar one


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
    reasons = []
    for first in range(0, len(texts), _BATCH):
        part = slice(first, first + _BATCH)
        queries = texts[part] if isinstance(texts, Queries) else tagger.queries(texts[part])
        reasons += _of_texts(tagger, queries, labels[part], tagger.run.ranker.parts(queries, labels[part]))
    return reasons


@one_blas_thread()
def explain_labels(
    tagger: Tagger, texts: list[str], labels: np.ndarray
) -> tuple[np.ndarray, list[list[dict[str, Any]]]]:
    """Return the scores of any labels, float32 (B, K), and the reasons for them as :func:`explain` does.

    Args:
        tagger: of a run.
        texts: B valid texts.
        labels: int64 (B, K), indices into the run's ``uids``, padded with -1 at the end of a row.

    Returns:
        Scores are -inf for padding. A label that no scorer proposes is scored as if it were a candidate.
    """
    scores, reasons = np.full(labels.shape, -np.inf, np.float32), list[list[dict[str, Any]]]()
    for first in range(0, len(texts), _BATCH):
        part = slice(first, first + _BATCH)
        queries = tagger.queries(texts[part])
        terms = tagger.run.ranker.parts_of_any(queries, labels[part])
        scores[part] = np.where(labels[part] >= 0, np.sum(list(terms.values()), axis=0), -np.inf)
        reasons += _of_texts(tagger, queries, labels[part], terms)
    return scores, reasons


def rows_of_labels(tagger: Tagger, labels: Any, n_texts: int) -> np.ndarray:
    """Return the indices of labels by uid, int64 (n_texts, K), padded with -1.

    Args:
        tagger: of a run.
        labels: one uid, a list of uids for all texts, or a list of uids for each text.
        n_texts: number of texts.

    Raises:
        InputError: a uid is unknown, no string, or twice in a list; or there are not as many lists as texts.
    """
    rows = [labels] if isinstance(labels, str) else as_list(labels, "labels", "uids")
    if all(isinstance(row, str) for row in rows):
        rows = [rows] * n_texts
    elif len(rows) != n_texts:
        raise InputError(f"labels: found {len(rows)} lists, expected {n_texts} as there are texts, or one list of uids")
    uids = [as_list(row, f"labels of text {number}", "uids") for number, row in enumerate(rows, 1)]
    index = _indices(tagger, {uid for row in uids for uid in row if isinstance(uid, str)})
    found = np.full((n_texts, max(map(len, uids), default=0)), -1, np.int64)
    for number, row in enumerate(uids, 1):
        for place, uid in enumerate(row):
            if not isinstance(uid, str):
                raise InputError(f"labels of text {number}: found {uid!r:.60}, expected a uid")
            if row.index(uid) < place:
                raise InputError(f"labels of text {number}: found {uid!r} twice, expected it once")
            found[number - 1, place] = index[uid]
    return found


def _indices(tagger: Tagger, wanted: Iterable[str]) -> dict[str, int]:
    """Return the index of each uid among the labels that are not removed; any form of Unicode finds a label."""
    by_form: dict[str, list[str]] = {}
    for uid in wanted:
        by_form.setdefault(composed(uid), []).append(uid)
    removed, index = tagger.run.removed, dict[str, int]()
    for at, uid in enumerate(tagger.run.uids):
        if (removed is None or not removed[at]) and (form := composed(uid)) in by_form:
            index.update(dict.fromkeys(by_form[form], at))
    for uid in sorted(set(wanted) - index.keys()):
        uids = tagger.run.uids
        close = get_close_matches(uid, uids, n=1) if len(uids) <= _HINTED else []
        hint = f"did you mean {close[0]!r}?" if close else "list them with ramen labels list RUN"
        raise InputError(f"{tagger.run.path}: has no label {uid!r}: {hint}")
    return index


def _of_texts(
    tagger: Tagger, queries: Queries, labels: np.ndarray, terms: dict[str, np.ndarray]
) -> list[list[dict[str, Any]]]:
    """Return the reasons for the labels of each query, with the terms of their scores."""
    features, reasons = tagger.run.words.names if tagger.run.words else None, []
    for row, of_text in enumerate(labels):
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
