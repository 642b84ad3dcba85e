"""Gradient-boosted trees as arrays: scores of rows of features by a kernel, and what each group of features adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import factorial

import numpy as np

from ramen.compiled import kernel
from ramen.errors import InputError
from ramen.threads import parallel_for

_DTYPES = {
    "roots": "i4", "features": "i4", "thresholds": "f8", "children": "i4", "node_counts": "f4", "leaf_counts": "f4",
    "values": "f8",
}  # fmt: skip
_MOST_GROUPS = 12  # of contributions: the time grows as 2 to the power of them
_MOST_LEAVES = 32  # of a tree: each has a bit
_BLOCK = 64  # rows at once, whose features stay in the cache
_ALL, _ONE = np.uint32(2**32 - 1), np.uint32(1)
# Turns a number of one bit into the place of the bit: each bit's product has other top five bits.
_MULTIPLIER = np.uint32(0x077CB531)
_PLACES = np.empty(32, dtype=np.int64)
_PLACES[[(0x077CB531 << bit & 0xFFFFFFFF) >> 27 for bit in range(32)]] = np.arange(32)


@dataclass
class Trees:
    """A sum of binary trees over float32 features.

    A node sends a row left where ``row[features[node]] <= thresholds[node]``. A child is a node where it is at least
    0, else the leaf ``-1 - child``. Numbers of nodes and leaves count through all trees.

    Attributes:
        roots: int32 (T,), the first node of each tree, or its leaf as a child is given.
        features: int32 (nodes,).
        thresholds: float64 (nodes,).
        children: int32 (nodes, 2), left and right.
        node_counts: float32 (nodes,), training rows that came by.
        leaf_counts: float32 (leaves,).
        values: float64 (leaves,).

    Example:
        >>> leaves = {"leaf_value": -1.0, "leaf_count": 3}, {"leaf_value": 2.0, "leaf_count": 1}
        >>> children = dict(zip(("left_child", "right_child"), leaves))
        >>> stump = Trees.of([{"split_feature": 0, "threshold": 0.5, "internal_count": 4, **children}])
        >>> stump.scores(np.array([[0.0], [1.0]], dtype=np.float32)).tolist()
        [-1.0, 2.0]
    """

    roots: np.ndarray
    features: np.ndarray
    thresholds: np.ndarray
    children: np.ndarray
    node_counts: np.ndarray
    leaf_counts: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, structures: list[dict], scale: float = 1.0) -> Trees:
        """From the nested ``tree_structure`` of LightGBM's ``dump_model``; leaves are multiplied by ``scale``."""
        nodes: list[tuple[int, float, float]] = []
        children: list[list[int]] = []
        leaves: list[tuple[float, float]] = []

        def add(node: dict) -> int:
            if "split_feature" not in node:
                leaves.append((node["leaf_value"] * scale, node.get("leaf_count", 1)))
                return -len(leaves)
            at = len(nodes)
            nodes.append((node["split_feature"], node["threshold"], node["internal_count"]))
            children.append([0, 0])
            children[at] = [add(node["left_child"]), add(node["right_child"])]
            return at

        roots = [add(structure) for structure in structures]
        split = np.array(nodes, dtype=np.float64).reshape(-1, 3)
        leaf = np.array(leaves, dtype=np.float64).reshape(-1, 2)
        return cls(
            np.array(roots, dtype=np.int32),
            split[:, 0].astype(np.int32),
            split[:, 1].copy(),
            np.array(children, dtype=np.int32).reshape(-1, 2),
            split[:, 2].astype(np.float32),
            leaf[:, 1].astype(np.float32),
            leaf[:, 0].copy(),
        )

    @classmethod
    def mean(cls, several: Sequence[Trees]) -> Trees:
        """Trees that score the mean of what several score."""
        parts: dict[str, list[np.ndarray]] = {field.name: [] for field in fields(cls)}
        nodes = leaves = 0
        for one in several:
            for name, array in one.arrays().items():
                if name in ("roots", "children"):
                    array = np.where(array >= 0, array + nodes, array - leaves).astype(np.int32)
                parts[name].append(array / len(several) if name == "values" else array)
            nodes, leaves = nodes + len(one.features), leaves + len(one.values)
        return cls(**{name: np.concatenate(arrays) for name, arrays in parts.items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """By attribute."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def facts(self) -> dict[str, list]:
        """The same as lists, exactly."""
        return {name: array.tolist() for name, array in self.arrays().items()}

    @classmethod
    def read(cls, facts: Mapping[str, list]) -> Trees:
        """What :meth:`facts` gave."""
        return cls(
            **{
                name: np.array(values, dtype=_DTYPES[name]).reshape((-1, 2) if name == "children" else -1)
                for name, values in facts.items()
            }
        )

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Sums of the trees' leaves, float64 (n,), of float32 (n, F) rows.

        A row's leaf is the first that no test rules out: one that fails rules out the leaves to its left. Each test is
        made of many rows at once, and no branch hangs on a row. Source: Lucchese et al., "QuickScorer", SIGIR 2015.
        """
        out = np.zeros(len(rows), dtype=np.float64)

        def room() -> tuple[np.ndarray, ...]:
            return np.empty((rows.shape[1], _BLOCK), dtype=np.float32), np.empty(_BLOCK, dtype=np.uint32)

        work = 1.0 + 2 * len(self.features)
        parallel_for(len(rows), _add_leaves, rows, *self._tests, _PLACES, out, work=work, scratch=room)
        return out

    @cached_property
    def _tests(self) -> tuple[np.ndarray, ...]:
        """The trees as :func:`_add_leaves` reads them.

        Returns:
            Where each tree's tests start, int64 (T + 1,); of each test the feature, int32, the threshold, float32, and
            a bit for each leaf that a row that fails it may still come to, uint32; where each tree's leaves start,
            int64 (T + 1,), and their values from left to right, float64.

        Raises:
            InputError: a tree of more than 32 leaves.
        """
        starts, tests, leaf_starts, leaves = [0], list[tuple[int, float, int]](), [0], list[int]()
        features, thresholds, children = self.features.tolist(), self.thresholds.tolist(), self.children.tolist()

        def bits(child: int) -> int:
            if child < 0:
                place = len(leaves) - leaf_starts[-1]
                if place == _MOST_LEAVES:
                    raise InputError(f"trees: a tree of more than {_MOST_LEAVES} leaves")
                leaves.append(-1 - child)
                return 1 << place
            left = bits(children[child][0])
            tests.append((features[child], thresholds[child], ~left & int(_ALL)))
            return left | bits(children[child][1])

        for root in self.roots.tolist():
            bits(root)
            starts.append(len(tests))
            leaf_starts.append(len(leaves))
        feature, threshold, mask = zip(*tests, strict=True) if tests else ((), (), ())
        return (
            np.array(starts, dtype=np.int64), np.array(feature, dtype=np.int32), _down(np.array(threshold)),
            np.array(mask, dtype=np.uint32), np.array(leaf_starts, dtype=np.int64), self.values[leaves],
        )  # fmt: skip

    def contributions(self, rows: np.ndarray, group_of: np.ndarray) -> np.ndarray:
        """What each group of features moves a row's score from the mean: Shapley values, groups as the players.

        A tree's value for a set of groups follows the row where a node asks for a feature of the set, and elsewhere
        both children by the training rows that came by. Source: Lundberg, Erion and Lee, "Consistent Individualized
        Feature Attribution for Tree Ensembles", 2018, algorithm 1, with groups in the place of features.

        Args:
            rows: float32 (n, F).
            group_of: int (F,), 0 to G - 1, G at most 12.

        Returns:
            float64 (n, G + 1): the groups', then the mean; a row's sum is its score.
        """
        n_groups = int(group_of.max(initial=-1)) + 1
        if n_groups > _MOST_GROUPS:
            raise InputError(f"contributions of {n_groups} groups of features, expected at most {_MOST_GROUPS}")
        _ = self._tests  # refuses trees of more leaves than there is room for
        worth = np.zeros((len(rows), 1 << n_groups), dtype=np.float64)
        is_known = np.array([[held >> group & 1 for held in range(1 << n_groups)] for group in range(n_groups)], "f8")
        arrays = self.roots, self.features, self.thresholds, self.children, self.values
        counts = self.node_counts.astype(np.float64), self.leaf_counts.astype(np.float64)

        def room() -> tuple[np.ndarray, ...]:
            return np.empty(_MOST_LEAVES, dtype=np.int64), np.empty((_MOST_LEAVES, 1 << n_groups))

        own = group_of.astype(np.int64), is_known.reshape(n_groups, 1 << n_groups)
        parallel_for(len(rows), _add_worths, rows, *own, *arrays, *counts, worth, work=1e6, scratch=room)
        found = np.zeros((len(rows), n_groups + 1), dtype=np.float64)
        found[:, -1] = worth[:, 0]
        for group in range(n_groups):
            for held in range(1 << n_groups):
                if not held >> group & 1:
                    size = held.bit_count()
                    share = factorial(size) * factorial(n_groups - size - 1) / factorial(n_groups)
                    found[:, group] += share * (worth[:, held | 1 << group] - worth[:, held])
        return found

    def check(self, n_features: int) -> None:
        """Refuse arrays that do not make trees over so many features.

        Raises:
            InputError: sizes or types that differ, a feature or a child that is not there, a value that is no number.
        """
        n, leaves = len(self.features), len(self.values)
        for name, array in self.arrays().items():
            if array.dtype != np.dtype(_DTYPES[name]):
                raise InputError(f"trees: {name} of {array.dtype}, expected {np.dtype(_DTYPES[name])}")
        if not (len(self.thresholds) == len(self.node_counts) == n and self.children.shape == (n, 2)):
            raise InputError("trees: arrays of different lengths, expected one entry a node")
        if len(self.leaf_counts) != leaves or not len(self.roots):
            raise InputError("trees: arrays of different lengths, expected one entry a leaf and a tree or more")
        if n and (self.features.min() < 0 or self.features.max() >= n_features):
            raise InputError(f"trees: a node asks for feature {self.features.max()}, expected 0 to {n_features - 1}")
        for name, numbers in (("root", self.roots), ("child", self.children)):
            if numbers.size and (numbers.min() < -leaves or numbers.max() >= n):
                raise InputError(f"trees: a {name} is none of the {n} nodes and {leaves} leaves")
        if (self.children <= np.arange(n)[:, None])[self.children >= 0].any():
            raise InputError("trees: a child comes before its node")
        if not (np.isfinite(self.values).all() and np.isfinite(self.thresholds).all()):
            raise InputError("trees: a value is no number")
        counts = np.append(self.node_counts, self.leaf_counts)
        if not (np.isfinite(counts).all() and (counts >= 0).all() and self.node_counts.all()):
            raise InputError("trees: a number of rows that came by is none")
        _ = self._tests


def _down(values: np.ndarray) -> np.ndarray:
    """The largest float32 that are not above these: no float32 lies between."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


@kernel
def _add_leaves(
    first: int, last: int, rows: np.ndarray, starts: np.ndarray, features: np.ndarray, thresholds: np.ndarray,
    masks: np.ndarray, leaf_starts: np.ndarray, values: np.ndarray, places: np.ndarray, out: np.ndarray,
    block: np.ndarray, alive: np.ndarray,
) -> None:  # fmt: skip
    for start in range(first, last, _BLOCK):
        size = min(_BLOCK, last - start)
        for row in range(_BLOCK):  # the last of the rows fills up a block that is not full
            for feature in range(rows.shape[1]):
                block[feature, row] = rows[start + min(row, size - 1), feature]
        for tree in range(len(starts) - 1):
            alive[:] = _ALL
            for test in range(starts[tree], starts[tree + 1]):
                asked, threshold, mask = block[features[test]], thresholds[test], masks[test]
                for row in range(_BLOCK):
                    alive[row] &= _ALL if asked[row] <= threshold else mask
            for row in range(size):
                lowest = np.uint32(alive[row] & np.uint32(~alive[row] + _ONE))
                place = places[np.uint32(lowest * _MULTIPLIER) >> np.uint32(27)]
                out[start + row] += values[leaf_starts[tree] + place]


@kernel
def _add_worths(
    first: int, last: int, rows: np.ndarray, group_of: np.ndarray, is_known: np.ndarray, roots: np.ndarray,
    features: np.ndarray, thresholds: np.ndarray, children: np.ndarray, values: np.ndarray, node_counts: np.ndarray,
    leaf_counts: np.ndarray, out: np.ndarray, places: np.ndarray, shares: np.ndarray,
) -> None:  # fmt: skip
    """Add the expected score of each row for every set of known groups: the share of each that comes to each leaf."""
    for row in range(first, last):
        for root in roots:
            places[0], shares[0] = root, 1.0
            size = 1
            while size:
                at, share = places[size - 1], shares[size - 1]
                if at < 0:
                    size -= 1
                    for held in range(len(share)):
                        out[row, held] += share[held] * values[-1 - at]
                    continue
                left, right = children[at]
                of_rows = (node_counts[left] if left >= 0 else leaf_counts[-1 - left]) / node_counts[at]
                of_row = 1.0 if rows[row, features[at]] <= thresholds[at] else 0.0
                known, other = is_known[group_of[features[at]]], shares[size]
                for held in range(len(share)):
                    of_left = of_rows + known[held] * (of_row - of_rows)
                    other[held] = share[held] * (1.0 - of_left)
                    share[held] *= of_left
                places[size - 1], places[size] = left, right
                size += 1
