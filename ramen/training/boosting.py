"""Boosted trees for the joint ranking, by LightGBM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ramen.errors import InputError
from ramen.extras import needing
from ramen.ranking.trees import Trees

TREES = 100
_HEAD, _KEPT = 40, 0.05  # candidates of a point that all count, and the share of the wrong ones behind them that does
# One thread a fit: two fits side by side take half as long as one after the other in two threads each.
_SETTINGS = {
    "num_leaves": 15, "learning_rate": 0.1, "min_data_in_leaf": 20, "lambda_l2": 5.0, "feature_fraction": 0.5,
    "bagging_fraction": 0.8, "bagging_freq": 1, "max_bin": 63, "lambdarank_truncation_level": 20,
    "use_missing": False, "deterministic": True, "force_row_wise": True, "num_threads": 1, "verbose": -1,
}  # fmt: skip


@dataclass
class Rows:
    """Pairs to learn from: what a sample of each point's candidates is.

    Attributes:
        features: float32 (V, C, F).
        right: bool (V, C).
        weights: float32 (V, C), of right pairs; wrong ones have those of the sample, see :meth:`of`.
        kept: bool (V, C), the pairs to learn from.
    """

    features: np.ndarray
    right: np.ndarray
    weights: np.ndarray
    kept: np.ndarray

    @classmethod
    def of(
        cls, features: np.ndarray, is_label: np.ndarray, order: np.ndarray, right: np.ndarray, weights: np.ndarray,
        seed: int,
    ) -> Rows:  # fmt: skip
        """A sample of the pairs: all right ones, and of the wrong ones fewer where they rank low.

        Args:
            features: float32 (V, C, F).
            is_label: bool (V, C).
            order: float32 (V, C), scores that say which rank low; the lower ones weigh as much as they would whole.
            right: bool (V, C).
            weights: float32 (V, C), of the right ones.
            seed: of the sample.
        """
        ranks = np.argsort(np.argsort(-np.where(is_label, order, -np.inf), axis=1, kind="stable"), axis=1)
        low = (ranks >= _HEAD) & ~right
        kept = is_label & (~low | (np.random.default_rng([seed, 2]).random(low.shape) < _KEPT))
        return cls(features, right, np.where(right, weights, np.where(low, 1 / _KEPT, 1.0)).astype(np.float32), kept)


def boost(
    rows: Rows,
    points: np.ndarray,
    objective: str,
    power: np.ndarray | None,
    seed: int,
    lengths: Sequence[int] = (TREES,),
) -> dict[int, Trees]:
    """Trees that tell right candidates of some points from wrong ones.

    Source: Burges, "From RankNet to LambdaRank to LambdaMART", 2010, for ``lambdarank``.

    Args:
        rows: of all points.
        points: int (P,), those to learn from.
        objective: ``binary`` or ``lambdarank``.
        power: float (V, C), by which right pairs are weighed besides, or None.
        seed: of the samples of features and rows.
        lengths: numbers of trees.

    Returns:
        By length the first so many trees.

    Raises:
        InputError: LightGBM is not installed, or its OpenMP library is missing.
    """
    lightgbm = load()
    is_point = np.zeros(len(rows.kept), dtype=np.bool_)
    is_point[points] = True
    pairs = np.nonzero(rows.kept & is_point[:, None])
    right, weights = rows.right[pairs], rows.weights[pairs].astype(np.float64)
    if power is not None:
        weights[right] *= power[pairs][right]
    weights[right] /= weights[right].mean()
    sizes = np.bincount(pairs[0])
    data = lightgbm.Dataset(
        rows.features[pairs],
        right.astype(np.float32),
        weight=weights.astype(np.float32),
        group=sizes[sizes > 0] if objective == "lambdarank" else None,
    )
    settings = {**_SETTINGS, "objective": objective, "seed": seed}
    found = lightgbm.train(settings, data, max(lengths)).dump_model()["tree_info"]
    structures = [tree["tree_structure"] for tree in found]
    return {length: Trees.of(structures[:length]) for length in lengths}


def load():  # noqa: ANN201
    """LightGBM.

    Raises:
        InputError: it is not installed, or its OpenMP library is missing.
    """
    with needing("train", "the learned ranking (or ranking.learn=false)"):
        try:
            import lightgbm
        except OSError as error:  # its wheel brings no libgomp
            raise InputError(f"the learned ranking needs LightGBM, which does not load: {error}") from error
    return lightgbm
