"""Evaluation of query encoders on a frozen index of label vectors, and the gates between phases."""

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
    """Compute P@1, P@5 and R@10 of every query.

    Args:
        queries: float32 (n, d), unit vectors.
        labels: float32 (L, d), unit vectors.
        targets: CSR (n, L), at least one per query.
        filtered: CSR (n, L), labels to exclude from a query's ranking.

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
    """Return the mean of each metric, in percent."""
    return {name: float(value) for name, value in zip(figures.names, figures.values(), strict=True)}


def shares_kept(figures: Figures, reference: Figures) -> dict[str, dict[str, float]]:
    """Return, for each metric, the ``share`` of the reference's value, and ``low`` and ``high`` of its 95 % interval.

    See :func:`ramen.metrics.trust.ratios`.
    """
    shares = ratios(reference, figures)
    return {name: dict(zip(("share", "low", "high"), of_metric, strict=True)) for name, of_metric in shares.items()}


def gate(phase: str, figures: Figures, reference: Figures, least: float, against: str) -> dict[str, Any]:
    """Check that a phase keeps the required share of a reference's metrics.

    A metric fails if its whole interval lies below that share, so random variation does not stop a chain.

    Args:
        phase: its name.
        figures: of the phase.
        reference: figures to compare with.
        least: required share; 0 for no gate.
        against: description of the reference.

    Returns:
        Notes for the phase: figures, shares, and a sentence under ``lost`` if the gate failed.
    """
    shares, means, required = shares_kept(figures, reference), percent(figures), percent(reference)
    lost = [
        f"{name} {means[name]:.1f} of {required[name]:.1f} "
        f"({100 * share['share']:.1f} %, interval {100 * share['low']:.1f} to {100 * share['high']:.1f})"
        for name, share in shares.items()
        if share["high"] < least
    ]
    notes: dict[str, Any] = {"figures": means, "reference": required, "against": against}
    notes |= {"least": least, "shares": shares, "queries": len(figures.above)}
    if lost:
        notes["lost"] = f"{phase} keeps less than {least:.0%} of {against}: {'; '.join(lost)}"
    return notes


def stop_if_lost(notes: Mapping[str, Any], out: object) -> None:
    """Raise an error if a gate failed.

    Raises:
        WorkError: says which metrics the phase lost; all finished phases stay in ``out``.
    """
    if notes.get("gate", {}).get("lost"):
        raise WorkError(f"gate: {notes['gate']['lost']}; all phases so far are kept in {out}")
