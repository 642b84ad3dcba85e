"""What a query encoder retrieves from a frozen index of label vectors, and whether that is enough to go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.errors import WorkError
from ramen.metrics.ranking import PADDING
from ramen.metrics.trust import PerPoint, per_point, ratios
from ramen.ranking.ranker import Ranker
from ramen.scorers.base import Queries
from ramen.scorers.encoder import EncoderScorer

METRICS = ("P@1", "P@5", "R@10")
_DEEP = 10

Figures = PerPoint  # of METRICS


def retrieve(queries: np.ndarray, labels: np.ndarray, targets: sp.csr_matrix, filtered: sp.csr_matrix) -> Figures:
    """P@1, P@5 and R@10 of every query.

    Args:
        queries: float32 (n, d), unit vectors.
        labels: float32 (L, d), unit vectors.
        targets: CSR (n, L); a query has at least one.
        filtered: CSR (n, L), labels that are left out of a query's ranking.

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> retrieve(eye, eye, sp.csr_matrix(eye), sp.csr_matrix((3, 3))).values().round(1).tolist()
        [100.0, 20.0, 100.0]
    """
    ranker = Ranker({"encoder": EncoderScorer(labels)}, {"encoder": 1.0})
    ranked = ranker.rank(Queries(queries, None), _DEEP, filtered)[0]
    ranked = np.pad(ranked, ((0, 0), (0, _DEEP - ranked.shape[1])), constant_values=PADDING)
    return per_point(ranked, targets, np.ones(len(labels)), ks=(1, 5, _DEEP)).only(METRICS)


def percent(figures: Figures) -> dict[str, float]:
    """The means, in percent."""
    return {name: float(value) for name, value in zip(figures.names, figures.values(), strict=True)}


def kept(figures: Figures, reference: Figures) -> dict[str, dict[str, float]]:
    """``share`` of the reference's figure for each metric, ``low`` and ``high`` of its 95 % interval.

    See :func:`ramen.metrics.trust.ratios`.
    """
    shares = ratios(reference, figures)
    return {name: dict(zip(("share", "low", "high"), of_metric, strict=True)) for name, of_metric in shares.items()}


def gate(phase: str, figures: Figures, reference: Figures, least: float, against: str) -> dict[str, Any]:
    """Compare a phase with what it must keep.

    A metric fails where its interval lies below the stated share as a whole: chance alone stops no chain.

    Args:
        phase: its name.
        figures: of the phase.
        reference: what it is held against.
        least: share to keep; 0 for no gate.
        against: what the reference is, in words.

    Returns:
        What the phase notes: figures, shares, and under ``lost`` a sentence where it failed.
    """
    shares, found, wanted = kept(figures, reference), percent(figures), percent(reference)
    lost = [
        f"{name} {found[name]:.1f} of {wanted[name]:.1f} "
        f"({100 * share['share']:.1f} %, interval {100 * share['low']:.1f} to {100 * share['high']:.1f})"
        for name, share in shares.items()
        if share["high"] < least
    ]
    notes: dict[str, Any] = {"figures": found, "reference": wanted, "against": against}
    notes |= {"least": least, "kept": shares, "queries": len(figures.above)}
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
