"""What a query encoder retrieves from a frozen index of label vectors, and whether that is enough to go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.errors import WorkError
from ramen.ranking.ranker import Ranker
from ramen.scorers.base import Queries
from ramen.scorers.encoder import EncoderScorer

METRICS = ("P@1", "P@5", "R@10")
_DRAWS = 1000  # of the bootstrap
_DEEP = 10

Figures = dict[str, np.ndarray]


def retrieve(queries: np.ndarray, labels: np.ndarray, truth: sp.csr_matrix, filtered: sp.csr_matrix) -> Figures:
    """P@1, P@5 and R@10 of every query, each float64 (n,), in shares; the usual figure is the mean.

    Args:
        queries: float32 (n, d), unit vectors.
        labels: float32 (L, d), unit vectors.
        truth: CSR (n, L), right labels; a query has at least one.
        filtered: CSR (n, L), labels that are left out of a query's ranking.

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> none = sp.csr_matrix((3, 3))
        >>> retrieve(eye, eye, sp.csr_matrix(eye), none)["P@1"].tolist()
        [1.0, 1.0, 1.0]
    """
    ranker = Ranker({"encoder": EncoderScorer(labels)}, {"encoder": 1.0})
    found = ranker.rank(Queries(queries, None), _DEEP, filtered)[0]
    truth = sp.csr_matrix(truth)
    rows = np.arange(len(found))[:, None]
    hits = np.where(found >= 0, truth[rows, np.maximum(found, 0)].toarray(), 0) > 0
    counts = np.maximum(np.diff(truth.indptr), 1)
    return {"P@1": hits[:, :1].sum(1) / 1.0, "P@5": hits[:, :5].sum(1) / 5, "R@10": hits.sum(1) / counts}


def percent(figures: Figures) -> dict[str, float]:
    """The means, in percent."""
    return {name: 100 * float(values.mean()) for name, values in figures.items()}


def kept(found: Figures, reference: Figures) -> dict[str, dict[str, float]]:
    """Share of the reference's figures, with a 95 % interval by a paired bootstrap over the queries.

    Returns:
        For each metric ``share``, ``low`` and ``high``; 1 where the reference is 0 throughout.
    """
    rng = np.random.default_rng(0)
    n = len(next(iter(found.values())))
    draws = [np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(_DRAWS)]
    shares = {}
    for name in METRICS:
        above, below = found[name], reference[name]
        ratios = [_ratio(float(above @ draw), float(below @ draw)) for draw in draws]
        low, high = np.percentile(ratios, [2.5, 97.5])
        shares[name] = {"share": _ratio(float(above.sum()), float(below.sum())), "low": float(low), "high": float(high)}
    return shares


def _ratio(above: float, below: float) -> float:
    return above / below if below else 1.0


def gate(phase: str, found: Figures, reference: Figures, least: float, against: str) -> dict[str, Any]:
    """Compare a phase with what it must keep.

    A metric fails where its interval lies below the stated share as a whole: chance alone stops no chain.

    Args:
        phase: its name.
        found: of the phase.
        reference: what it is held against.
        least: share to keep; 0 for no gate.
        against: what the reference is, in words.

    Returns:
        What the phase notes: figures, shares, and under ``lost`` a sentence where it failed.
    """
    shares = kept(found, reference)
    lost = [
        f"{name} {100 * found[name].mean():.1f} of {100 * reference[name].mean():.1f} "
        f"({100 * share['share']:.1f} %, interval {100 * share['low']:.1f} to {100 * share['high']:.1f})"
        for name, share in shares.items()
        if share["high"] < least
    ]
    notes: dict[str, Any] = {"figures": percent(found), "reference": percent(reference), "against": against}
    notes |= {"least": least, "kept": shares, "queries": len(found["P@1"])}
    if lost:
        notes["lost"] = f"{phase} keeps less than {least:.0%} of {against}: {'; '.join(lost)}"
    return notes


def stop_if_lost(notes: Mapping[str, Any], where: object) -> None:
    """Raise where a gate failed.

    Raises:
        WorkError: says which phase lost what, and that all phases so far are kept.
    """
    if notes.get("gate", {}).get("lost"):
        raise WorkError(f"gate: {notes['gate']['lost']}; all phases so far are kept in {where}")
