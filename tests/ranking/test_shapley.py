"""Shapley values of groups of features against LightGBM's and against their definition."""

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from tree_makers import STUMP, trained

from ramen.errors import InputError
from ramen.ranking.shapley import GroupValues
from ramen.ranking.trees import Trees


def expected_score(trees, at, row, group_of, held):
    """A tree's score of a row of which only the features of some groups are known."""
    if at < 0:
        return trees.values[-1 - at]
    left, right = trees.children[at]
    if group_of[trees.features[at]] in held:
        child = left if row[trees.features[at]] <= trees.thresholds[at] else right
        return expected_score(trees, child, row, group_of, held)
    count = trees.node_counts[left] if left >= 0 else trees.leaf_counts[-1 - left]
    share = float(count) / float(trees.node_counts[at])
    scores = [expected_score(trees, child, row, group_of, held) for child in (left, right)]
    return share * scores[0] + (1 - share) * scores[1]


def by_definition(trees, row, group_of):
    n = max(group_of) + 1
    value = {
        held: sum(expected_score(trees, root, row, group_of, held) for root in trees.roots)
        for size in range(n + 1)
        for held in combinations(range(n), size)
    }
    values = []
    for group in range(n):
        total = 0.0
        for held in value:
            if group not in held:
                weight = factorial(len(held)) * factorial(n - len(held) - 1) / factorial(n)
                total += weight * (value[tuple(sorted((*held, group)))] - value[held])
        values.append(total)
    return [*values, value[()]]


@pytest.mark.parametrize("group_of", [[0, 0, 0, 0, 0, 0], [0, 1, 1, 2, 2, 2], [3, 1, 0, 2, 0, 4]], ids=str)
def test_values_are_those_of_the_definition(group_of, threads):
    _, trees, rows = trained(trees=6)
    edges = np.full((1, 6), trees.thresholds[0]), np.full((1, 6), np.inf), np.full((1, 6), -np.inf)
    rows = np.concatenate([rows[:5], *edges]).astype(np.float32)
    with threads(3):
        found = GroupValues.of(trees, np.array(group_of)).of_rows(rows)
    np.testing.assert_allclose(found, [by_definition(trees, row, group_of) for row in rows], atol=1e-12)


def test_values_of_single_features_are_those_of_lightgbm():
    model, trees, rows = trained()
    expected = model.predict(rows[:40], pred_contrib=True)
    np.testing.assert_allclose(GroupValues.of(trees, np.arange(6)).of_rows(rows[:40]), expected, atol=1e-5)


def test_values_of_groups_add_up_and_an_idle_group_has_none():
    _, trees, rows = trained()
    found = GroupValues.of(trees, np.array([0, 1, 1, 2, 2, 2])).of_rows(rows[:40])
    np.testing.assert_allclose(found.sum(1), trees.scores(rows[:40]), atol=1e-9)
    assert np.abs(found[:, 2]).mean() < 0.2 * np.abs(found[:, 1]).mean()  # features 3 to 5 are chance


def test_many_rows_are_as_each_alone():
    _, trees, rows = trained()
    values = GroupValues.of(trees, np.array([0, 1, 1, 2, 0, 2]))
    np.testing.assert_array_equal(values.of_rows(rows[:150]), [values.of_rows(row[None])[0] for row in rows[:150]])
    assert values.of_rows(rows[:0]).shape == (0, 4)


def test_trees_that_are_leaves_and_a_feature_of_no_tree():
    trees = Trees.of([STUMP, {"leaf_value": 0.25}, STUMP])
    rows = np.array([[0.0, 9.0], [1.0, 9.0]], dtype=np.float32)
    np.testing.assert_allclose(
        GroupValues.of(trees, np.array([0, 1])).of_rows(rows), [[-1.5, 0, -0.25], [4.5, 0, -0.25]]
    )
    leaf = GroupValues.of(Trees.of([{"leaf_value": 0.25}]), np.array([0, 1]))
    np.testing.assert_allclose(leaf.of_rows(rows), [[0, 0, 0.25]] * 2)


def test_more_groups_than_tables_can_hold_are_refused():
    with pytest.raises(InputError, match="9 groups"):
        GroupValues.of(Trees.of([STUMP]), np.arange(9))
