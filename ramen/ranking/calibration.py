"""From scores of the joint ranking to probabilities: chances that a label is right, as validation counted them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ramen.errors import InputError


@dataclass(frozen=True)
class Calibration:
    """Piecewise linear, rising.

    Attributes:
        scores: ascending knots.
        probabilities: at the knots, 0 to 1, not falling; before and after the ends they stay as they are.
        thresholds: probabilities, ascending, for which :attr:`precisions` were counted.
        precisions: share of right ones among validation's pairs of at least that probability, less one standard error,
            0 to 1.

    Example:
        >>> known = Calibration([0.0, 1.0], [0.1, 0.9], [0.2, 0.8], [0.5, 0.85])
        >>> known.of(np.array([-3.0, 0.5, 1.0])).tolist()
        [0.1, 0.5, 0.9]
        >>> known.threshold(0.8)
        0.8
    """

    scores: list[float]
    probabilities: list[float]
    thresholds: list[float]
    precisions: list[float]

    def of(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of scores, float64 of the same shape; 0 where a score is -inf."""
        found = np.interp(scores, self.scores, self.probabilities)
        return np.where(np.isneginf(scores), 0.0, found)

    def threshold(self, precision: float) -> float:
        """The lowest probability above which so large a share of validation's answers was right.

        Raises:
            InputError: not above 0 or above 1; validation never came so high.
        """
        if not 0 < precision <= 1:
            raise InputError(f"precision {precision}: expected above 0, at most 1")
        for threshold, reached in zip(self.thresholds, self.precisions, strict=True):
            if reached >= precision:
                return threshold
        best = max(self.precisions, default=0.0)
        raise InputError(f"precision {precision}: validation came to {best:.3f} at most")

    def facts(self) -> dict[str, Any]:
        """What a run folder keeps."""
        return asdict(self)

    @classmethod
    def read(cls, facts: Mapping[str, Any] | None) -> Calibration | None:
        """What :meth:`facts` gave; None for None.

        Raises:
            ValueError: lists of different lengths.
        """
        if facts is None:
            return None
        known = cls(**facts)
        if len(known.scores) != len(known.probabilities) or len(known.thresholds) != len(known.precisions):
            raise ValueError("calibration: lists of different lengths")
        return known


def reliability(probabilities: np.ndarray, right: np.ndarray, bins: int = 10) -> tuple[float, list[dict[str, float]]]:
    """How far probabilities are from what came true.

    Expected calibration error: Σ_b n_b / n · |share right - mean probability| over bins of equal width. Source: Naeini,
    Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017, equation 5.

    Args:
        probabilities: float (n,), 0 to 1.
        right: bool (n,).
        bins: of equal width.

    Returns:
        The error, 0 to 1 (0 for no pairs), and of each bin that holds pairs its ``pairs``, mean ``probability`` and
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
    told = [
        {"pairs": int(counts[at]), "probability": float(means[at]), "right": float(shares[at])}
        for at in np.flatnonzero(counts)
    ]
    return error, told
