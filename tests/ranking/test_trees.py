"""Trees against LightGBM's own predictions, and arrays that are no trees."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tree_makers import STUMP, trained

from ramen.errors import InputError
from ramen.ranking.trees import Trees


@pytest.mark.parametrize("objective", ["binary", "lambdarank"])
def test_scores_are_those_of_lightgbm(objective, threads):
    model, trees, rows = trained(objective=objective)
    near = np.nextafter(rows[:20], np.float32(9)), np.nextafter(rows[:20], np.float32(-9))
    ugly = np.array([[0.0] * 6, [-0.0] * 6, [1e30] * 6, [-1e30] * 6, [1.0, 1e-38, 0, 0, 0, 0]], dtype=np.float32)
    rows = np.concatenate([rows, *near, ugly])
    with threads(3):
        np.testing.assert_allclose(trees.scores(rows), model.predict(rows, raw_score=True), atol=1e-6)


def test_a_tree_that_is_one_leaf_counts():
    trees = Trees.of([STUMP, {"leaf_value": 0.25}, STUMP])
    rows = np.array([[0.0], [1.0]], dtype=np.float32)
    assert trees.scores(rows).tolist() == [-1.75, 4.25]
    trees.check(1)


def test_the_mean_of_several():
    one, other = trained(trees=3)[1], trained(trees=4, objective="lambdarank")[1]
    leaf, rows = Trees.of([{"leaf_value": 3.0}]), trained(trees=1)[2]
    mean = Trees.mean([one, leaf, other])
    mean.check(6)
    np.testing.assert_allclose(mean.scores(rows), (one.scores(rows) + 3.0 + other.scores(rows)) / 3)


def test_what_is_kept_as_json_is_the_same():
    trees = trained(trees=3)[1]
    for name, array in Trees.read(trees.facts()).arrays().items():
        assert array.dtype == trees.arrays()[name].dtype
        np.testing.assert_array_equal(array, trees.arrays()[name])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"thresholds": np.zeros(3)}, "different lengths"),
        ({"features": np.array([7], np.int32)}, "asks for feature 7"),
        ({"children": np.array([[-1, -9]], np.int32)}, "child is none of"),
        ({"children": np.array([[-1, 0]], np.int32)}, "before its node"),
        ({"roots": np.array([5], np.int32)}, "root is none of"),
        ({"roots": np.array([], np.int32)}, "a tree or more"),
        ({"values": np.array([np.nan, 1.0])}, "no number"),
        ({"node_counts": np.zeros(1, np.float32)}, "rows that came by"),
        ({"leaf_counts": np.array([np.nan, 1], np.float32)}, "rows that came by"),
        (
            {
                "features": np.zeros(6, np.int32),
                "thresholds": np.zeros(6),
                "node_counts": np.ones(6, np.float32),
                "children": np.array([[at + 1, at + 1] for at in range(5)] + [[-1, -2]], np.int32),
            },
            "more than 32 leaves",
        ),
    ],
)
def test_damaged_trees_are_refused(changed, message):
    with pytest.raises(InputError, match=message):
        replace(Trees.of([STUMP]), **changed).check(2)


def grown(draw, depth):
    if depth == 0 or draw(st.booleans()):
        return {"leaf_value": draw(st.floats(-5, 5)), "leaf_count": draw(st.integers(1, 9))}
    left, right = grown(draw, depth - 1), grown(draw, depth - 1)
    count = sum(child.get("leaf_count", child.get("internal_count")) for child in (left, right))
    feature, threshold = draw(st.integers(0, 3)), draw(st.sampled_from([-1.0, 0.0, 0.5]))
    return {
        "split_feature": feature,
        "threshold": threshold,
        "internal_count": count,
        "left_child": left,
        "right_child": right,
    }


def plain(node, row):
    while "split_feature" in node:
        node = node["left_child" if row[node["split_feature"]] <= node["threshold"] else "right_child"]
    return node["leaf_value"]


@given(st.data())
def test_any_trees_against_a_plain_walk(data):
    structures = [grown(data.draw, 3) for _ in range(data.draw(st.integers(1, 4)))]
    values = st.sampled_from([-2.0, -1.0, 0.0, 0.25, 0.5, 3.0])
    rows = np.array(data.draw(st.lists(st.lists(values, min_size=4, max_size=4), max_size=5)), np.float32).reshape(
        -1, 4
    )
    trees = Trees.of(structures)
    trees.check(4)
    expected = [sum(plain(structure, row) for structure in structures) for row in rows]
    np.testing.assert_allclose(trees.scores(rows), expected, atol=1e-9)
