"""Shapley values of groups of features of trees, from a table for each leaf."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np

from ramen.compiled import kernel
from ramen.errors import InputError
from ramen.ranking.trees import Trees, rounded_down
from ramen.threads import parallel_for

_MOST_GROUPS = 8  # the tables grow exponentially with the number of groups
_BLOCK = 64  # rows at once, while a leaf's table stays in the cache
_Tests = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass
class GroupValues:
    """How far each group of features moves a row's score from the mean.

    A tree's value for a set of groups follows the row at nodes that test a feature of the set. At other nodes it
    averages both children, weighted by training rows. So a leaf counts ``value x product of shares`` for a set: the
    groups of the set must pass the tests on the path to the leaf, and each other group contributes the share of
    training rows that passes its tests. What a leaf adds to the groups' Shapley values hence depends on the row only
    by which groups pass, and a table has it for each set of those. Source: Lundberg, Erion and Lee, "Consistent
    Individualized Feature Attribution for Tree Ensembles", 2018, algorithm 1, with groups instead of features.

    Attributes:
        tests: of the paths to the leaves: offsets of each leaf's, int64 (leaves + 1,), and for each test the feature,
            int32, the threshold, float32, whether a row that passes is at most that, bool, and the bit of the feature's
            group, uint32.
        paths: int64 (leaves,), bit mask of the groups on the path to a leaf.
        places: int64 (2^G, 2^G), for a path and a set of its groups the row of the set in the leaf's table.
        starts: int64 (leaves,), where a leaf's table begins.
        tables: float64 (sum of 2^groups of the leaves' paths, G).
        mean: score of the trees where no group is known.
    """

    tests: _Tests
    paths: np.ndarray
    places: np.ndarray
    starts: np.ndarray
    tables: np.ndarray
    mean: float

    @classmethod
    def of(cls, trees: Trees, group_of: np.ndarray) -> GroupValues:
        """Fill the tables of trees.

        Args:
            trees: the ensemble.
            group_of: int (F,), group of each feature, 0 to G - 1, G at most 8.

        Raises:
            InputError: too many groups.
        """
        n_groups, n_leaves = int(group_of.max(initial=-1)) + 1, len(trees.values)
        if n_groups > _MOST_GROUPS:
            raise InputError(f"contributions of {n_groups} groups of features, expected at most {_MOST_GROUPS}")
        leaves, features, thresholds, is_left, of_rows = _tests(trees)
        groups = group_of[features]
        paths, shares = np.zeros(n_leaves, dtype=np.int64), np.ones((n_leaves, n_groups))
        np.bitwise_or.at(paths, leaves, np.left_shift(1, groups))
        np.multiply.at(shares, (leaves, groups), of_rows)
        places = _places_in(n_groups)
        sizes = 1 + places[paths].max(axis=1)
        starts, tables = np.cumsum(sizes) - sizes, np.zeros((int(sizes.sum()), n_groups))
        arguments = paths, shares, trees.values, _weights(n_groups), starts, tables
        parallel_for(n_leaves, _fill_tables, *arguments, work=1e4)
        offsets = np.append(0, np.cumsum(np.bincount(leaves, minlength=n_leaves)))
        bits = np.left_shift(1, groups).astype(np.uint32)
        tests = offsets, features.astype(np.int32), rounded_down(thresholds), is_left, bits
        return cls(tests, paths, places, starts, tables, float(trees.values @ shares.prod(axis=1)))

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return the values of the groups, then the mean, float64 (n, G + 1), of float32 (n, F) rows.

        The values of a row and the mean sum to the row's score.
        """
        out = np.zeros((len(rows), self.tables.shape[1] + 1))
        out[:, -1] = self.mean

        def scratch() -> tuple[np.ndarray, ...]:
            return np.empty((rows.shape[1], _BLOCK), dtype=np.float32), np.empty(_BLOCK, dtype=np.uint32)

        arguments = rows, *self.tests, self.paths, self.places, self.starts, self.tables, out
        parallel_for(len(rows), _add_values, *arguments, work=1.0 + 10 * len(self.paths), scratch=scratch)
        return out


def _tests(trees: Trees) -> tuple[np.ndarray, ...]:
    """Return the tests on the path to each leaf, leaves in order.

    Returns:
        For each test the leaf, the feature, the threshold, whether the leaf is to the left, and the share of the
        training rows at the node that goes the leaf's way.
    """
    features, thresholds, children = trees.features.tolist(), trees.thresholds.tolist(), trees.children.tolist()
    counts, leaf_counts = trees.node_counts.tolist(), trees.leaf_counts.tolist()
    tests = []
    waiting: list[tuple[int, list[tuple]]] = [(root, []) for root in trees.roots.tolist()]
    while waiting:
        at, path = waiting.pop()
        if at < 0:
            tests += [(-1 - at, *test) for test in path]
            continue
        left, right = children[at]
        share = (counts[left] if left >= 0 else leaf_counts[-1 - left]) / counts[at]
        waiting.append((left, [*path, (features[at], thresholds[at], True, share)]))
        waiting.append((right, [*path, (features[at], thresholds[at], False, 1.0 - share)]))
    tests.sort(key=lambda test: test[0])  # stable: tests of a leaf stay together, from the root on
    columns = zip(*tests, strict=True) if tests else ((),) * 5
    types = np.int64, np.int64, np.float64, np.bool_, np.float64
    return tuple(np.array(column, dtype=kind) for column, kind in zip(columns, types, strict=True))


def _weights(n_groups: int) -> np.ndarray:
    """Return the weight of a set of s of the other groups, of m in all, as entry (m, s)."""
    weights = np.zeros((n_groups + 1, n_groups + 1))
    for m in range(1, n_groups + 1):
        for s in range(m):
            weights[m, s] = factorial(s) * factorial(m - s - 1) / factorial(m)
    return weights


def _places_in(n_groups: int) -> np.ndarray:
    """Return for a path and a set of its groups the number of the set among the path's sets, int64 (2^G, 2^G)."""
    sets = np.arange(1 << n_groups)
    places, size = np.zeros((len(sets), len(sets)), dtype=np.int64), np.zeros(len(sets), dtype=np.int64)
    for group in range(n_groups):
        on_path = sets >> group & 1
        places += (on_path << size)[:, None] * (sets >> group & 1)
        size += on_path
    return places


@kernel
def _fill_tables(
    first: int, last: int, paths: np.ndarray, shares: np.ndarray, values: np.ndarray, weights: np.ndarray,
    starts: np.ndarray, tables: np.ndarray,
) -> None:  # fmt: skip
    groups = np.empty(shares.shape[1], dtype=np.int64)
    for leaf in range(first, last):
        n = 0
        for group in range(shares.shape[1]):
            if paths[leaf] >> group & 1:
                groups[n] = group
                n += 1
        for passing in range(1 << n):
            row = starts[leaf] + passing
            held = passing
            while True:  # each subset of the passing groups; the leaf's value is 0 for any other set
                value, size = values[leaf], 0
                for at in range(n):
                    if held >> at & 1:
                        size += 1
                    else:
                        value *= shares[leaf, groups[at]]
                for at in range(n):
                    if held >> at & 1:
                        tables[row, groups[at]] += weights[n, size - 1] * value
                    else:
                        tables[row, groups[at]] -= weights[n, size] * value
                if held == 0:
                    break
                held = (held - 1) & passing


@kernel
def _add_values(
    first: int, last: int, rows: np.ndarray, offsets: np.ndarray, features: np.ndarray, thresholds: np.ndarray,
    is_left: np.ndarray, bits: np.ndarray, paths: np.ndarray, places: np.ndarray, starts: np.ndarray,
    tables: np.ndarray, out: np.ndarray, block: np.ndarray, failing: np.ndarray,
) -> None:  # fmt: skip
    for offset in range(first, last, _BLOCK):
        size = min(_BLOCK, last - offset)
        for row in range(_BLOCK):  # the last row pads an incomplete block
            for feature in range(rows.shape[1]):
                block[feature, row] = rows[offset + min(row, size - 1), feature]
        for leaf in range(len(paths)):
            failing[:] = 0
            for test in range(offsets[leaf], offsets[leaf + 1]):  # each on many rows, without branches
                column, threshold = block[features[test]], thresholds[test]
                if_low, if_high = (np.uint32(0), bits[test]) if is_left[test] else (bits[test], np.uint32(0))
                for row in range(_BLOCK):
                    failing[row] |= if_low if column[row] <= threshold else if_high
            path = paths[leaf]
            for row in range(size):
                entry = starts[leaf] + places[path, path & ~np.int64(failing[row])]
                for group in range(tables.shape[1]):
                    out[offset + row, group] += tables[entry, group]
