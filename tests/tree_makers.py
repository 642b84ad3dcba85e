"""Trees for tests: a stump by hand, and ensembles that LightGBM has trained."""

import lightgbm
import numpy as np

from ramen.ranking.trees import Trees

STUMP = {
    "split_feature": 0, "threshold": 0.5, "internal_count": 4, "left_child": {"leaf_value": -1.0, "leaf_count": 3},
    "right_child": {"leaf_value": 2.0, "leaf_count": 1},
}  # fmt: skip


def trained(n_features=6, objective="binary", trees=25, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(800, n_features)).astype(np.float32)
    rows[:, 0] = rng.integers(0, 3, len(rows))  # values that are thresholds, too
    right = (rows[:, 1] * rows[:, 2] + rows[:, 0] > 1.0).astype(np.float32)
    group = np.full(80, 10) if objective == "lambdarank" else None
    settings = {"objective": objective, "num_leaves": 9, "min_data_in_leaf": 5, "verbose": -1, "use_missing": False}
    model = lightgbm.train(settings, lightgbm.Dataset(rows, right, group=group), trees)
    return model, Trees.of([tree["tree_structure"] for tree in model.dump_model()["tree_info"]]), rows
