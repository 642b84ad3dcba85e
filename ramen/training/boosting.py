"""Boosted trees for the joint ranking, by LightGBM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ramen.errors import InputError
from ramen.extras import needing
from ramen.ranking.trees import Trees

TREES = 60
_LOOSE = 1e4  # of the logistic regression: as good as no penalty
_HEAD, _KEPT = 20, 0.03  # candidates of a point that all count, and the share of the wrong ones behind them that does
# One thread a fit: two fits side by side take half as long as one after the other in two threads each.
_SETTINGS = {
    "num_leaves": 15, "learning_rate": 0.15, "min_data_in_leaf": 20, "lambda_l2": 5.0, "feature_fraction": 0.5,
    "bagging_fraction": 0.8, "bagging_freq": 1, "max_bin": 63, "lambdarank_truncation_level": 20,
    "use_missing": False, "deterministic": True, "force_row_wise": True, "num_threads": 1, "verbose": -1,
}  # fmt: skip


@dataclass
class Rows:
    """Pairs to learn from: a sample of each point's candidates.

    Attributes:
        features: float32 (V, C, F).
        sums: float32 (V, C), weighted sums that the trees add to.
        right: bool (V, C).
        weights: float32 (V, C).
        sampled: bool (V, C), the pairs to learn from.
    """

    features: np.ndarray
    sums: np.ndarray
    right: np.ndarray
    weights: np.ndarray
    sampled: np.ndarray

    @classmethod
    def of(
        cls, features: np.ndarray, is_label: np.ndarray, sums: np.ndarray, right: np.ndarray, weights: np.ndarray,
        seed: int,
    ) -> Rows:  # fmt: skip
        """All right pairs, and of the wrong ones few where the sum ranks them low; these weigh as much as all would.

        Args:
            features: float32 (V, C, F).
            is_label: bool (V, C).
            sums: float32 (V, C).
            right: bool (V, C).
            weights: float32 (V, C), of the right ones.
            seed: of the sample.
        """
        ranks = np.argsort(np.argsort(-np.where(is_label, sums, -np.inf), axis=1, kind="stable"), axis=1)
        low = (ranks >= _HEAD) & ~right
        sampled = is_label & (~low | (np.random.default_rng([seed, 2]).random(low.shape) < _KEPT))
        weights = np.where(right, weights, np.where(low, 1 / _KEPT, 1.0)).astype(np.float32)
        return cls(features, sums, right, weights, sampled)


@dataclass
class Boosted:
    """The weighted sum, scaled, and trees that add to it."""

    scale: float
    trees: Trees

    @classmethod
    def mean(cls, several: Sequence[Boosted]) -> Boosted:
        """What scores the mean of several."""
        scale = float(np.mean([one.scale for one in several]))
        return cls(scale, Trees.mean([one.trees for one in several]))

    def scores(self, features: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Of candidates, float64 (V, C)."""
        return self.trees.scores(features.reshape(-1, features.shape[2])).reshape(sums.shape) + self.scale * sums


def boost(
    rows: Rows,
    points: np.ndarray,
    objective: str,
    factors: np.ndarray | None,
    seed: int,
    lengths: Sequence[int] = (TREES,),
) -> dict[int, Boosted]:
    """Trees that start from the weighted sum and tell right candidates of some points from wrong ones better than it.

    The sum is scaled by logistic regression. Source: Burges, "From RankNet to LambdaRank to LambdaMART", 2010, for
    ``lambdarank``.

    Args:
        rows: of all points.
        points: int (P,), those to learn from.
        objective: ``binary`` or ``lambdarank``.
        factors: float (V, C), by which right pairs are weighed besides, or None.
        seed: of the samples of features and rows.
        lengths: numbers of trees.

    Returns:
        By length the first so many trees.

    Raises:
        InputError: LightGBM is not installed, or its OpenMP library is missing.
    """
    from sklearn.linear_model import LogisticRegression

    lightgbm = load()
    is_point = np.zeros(len(rows.sampled), dtype=np.bool_)
    is_point[points] = True
    pairs = np.nonzero(rows.sampled & is_point[:, None])
    right, weights, sums = rows.right[pairs], rows.weights[pairs].astype(np.float64), rows.sums[pairs]
    if factors is not None:
        weights[right] *= factors[pairs][right]
    weights[right] /= weights[right].mean()
    start = LogisticRegression(C=_LOOSE).fit(sums[:, None], right, sample_weight=weights)
    scale, intercept = max(float(start.coef_[0, 0]), 0.0), float(start.intercept_[0])
    sizes = np.bincount(pairs[0])
    data = lightgbm.Dataset(
        rows.features[pairs],
        right.astype(np.float32),
        weight=weights.astype(np.float32),
        group=sizes[sizes > 0] if objective == "lambdarank" else None,
        init_score=scale * sums + (intercept if objective == "binary" else 0.0),
    )
    settings = {**_SETTINGS, "objective": objective, "seed": seed}
    tree_info = lightgbm.train(settings, data, max(lengths)).dump_model()["tree_info"]
    structures = [tree["tree_structure"] for tree in tree_info]
    return {length: Boosted(scale, Trees.of(structures[:length])) for length in lengths}


def load():  # noqa: ANN201
    """LightGBM.

    Raises:
        InputError: it is not installed, or its OpenMP library is missing.
    """
    with needing("train", "the learned ranking (ranking.learn=true)"):
        try:
            import lightgbm
        except ModuleNotFoundError:
            raise
        except (ImportError, OSError) as error:  # its wheel brings no libgomp
            message = "the learned ranking (ranking.learn=true) needs LightGBM, which does not load"
            raise InputError(f"{message}: {error}") from error
    return lightgbm
