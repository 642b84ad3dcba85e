"""Calibration: maps scores of the joint ranking to probabilities that a label is right, fitted on held-out points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np

from ramen.errors import InputError
from ramen.stored import check_fields, shown


@dataclass(frozen=True)
class Calibration:
    """A non-decreasing, piecewise linear function from scores to probabilities.

    Attributes:
        scores: ascending knots.
        probabilities: at the knots, 0 to 1, non-decreasing; constant beyond the first and last knot.
        thresholds: ascending probabilities at which :attr:`precisions` were measured.
        precisions: precision of the held-out pairs with at least that probability, less one standard error, 0 to 1.

    Example:
        >>> calibration = Calibration([0.0, 1.0], [0.1, 0.9], [0.2, 0.8], [0.5, 0.85])
        >>> calibration.of(np.array([-3.0, 0.5, 1.0])).tolist()
        [0.1, 0.5, 0.9]
        >>> calibration.threshold(0.8)
        0.8
    """

    scores: list[float]
    probabilities: list[float]
    thresholds: list[float]
    precisions: list[float]

    def of(self, scores: np.ndarray) -> np.ndarray:
        """Return the probabilities of scores, float64 of the same shape; 0 for a score of -inf."""
        probabilities = np.interp(scores, self.scores, self.probabilities)
        return np.where(np.isneginf(scores), 0.0, probabilities)

    def threshold(self, precision: float) -> float:
        """Return the lowest probability threshold that reached a precision on the held-out points.

        Raises:
            InputError: the precision is not above 0 and at most 1, or no threshold reached it.
        """
        if not 0 < precision <= 1:
            raise InputError(f"precision {precision}: expected above 0, at most 1")
        for threshold, reached in zip(self.thresholds, self.precisions, strict=True):
            if reached >= precision:
                return threshold
        best = max(self.precisions, default=0.0)
        raise InputError(f"precision {precision}: validation reached {best:.3f} at most")

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON, for the run folder."""
        return asdict(self)

    @classmethod
    def read(cls, facts: Mapping[str, Any] | None) -> Calibration | None:
        """Restore from :meth:`facts`; None for None.

        Raises:
            InputError: a list is missing, of another length than it has to be, or does not ascend.
        """
        if facts is None:
            return None
        kinds = {field.name: "a list of numbers" for field in fields(cls)}
        calibration = cls(**check_fields("calibration", facts, kinds))
        knots, levels = len(calibration.scores), len(calibration.thresholds)
        if knots != len(calibration.probabilities) or levels != len(calibration.precisions):
            raise InputError("calibration: found lists of different lengths, expected a value for each knot")
        if not knots:
            raise InputError("calibration: scores: found [], expected one knot or more")
        for name in ("scores", "probabilities", "thresholds"):
            values = getattr(calibration, name)
            if any(second < first for first, second in pairwise(values)):
                raise InputError(f"calibration: {name}: found numbers that fall, expected them to ascend")
        for name in ("probabilities", "precisions"):
            if not all(0 <= value <= 1 for value in getattr(calibration, name)):
                raise InputError(f"calibration: {name}: found {shown(getattr(calibration, name))}, expected 0 to 1")
        return calibration


def reliability(probabilities: np.ndarray, right: np.ndarray, bins: int = 10) -> tuple[float, list[dict[str, float]]]:
    """Compute the expected calibration error and the bins of a reliability diagram.

    ECE = Σ_b n_b / n · |share right - mean probability| over bins of equal width. Source: Naeini, Cooper and
    Hauskrecht, AAAI 2015; Guo et al., ICML 2017, equation 5.

    Args:
        probabilities: float (n,), 0 to 1.
        right: bool (n,).
        bins: number of bins.

    Returns:
        The error, 0 to 1 (0 for no pairs), and for each non-empty bin its number of ``pairs``, mean ``probability`` and
        share ``right``.

    Example:
        >>> error, bins = reliability(np.array([0.1, 0.9]), np.array([False, True]))
        >>> round(error, 3), len(bins)
        (0.1, 2)
    """
    place = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    counts = np.bincount(place, minlength=bins)
    means, shares = (
        np.bincount(place, values, minlength=bins) / np.maximum(counts, 1) for values in (probabilities, right)
    )
    error = float((counts * np.abs(means - shares)).sum() / max(1, len(place)))
    records = [
        {"pairs": int(counts[at]), "probability": float(means[at]), "right": float(shares[at])}
        for at in np.flatnonzero(counts)
    ]
    return error, records
