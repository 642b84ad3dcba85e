"""Gradient-boosted trees as arrays: fast scoring of rows of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from ramen.compiled import kernel
from ramen.errors import InputError
from ramen.threads import parallel_for

_DTYPES = {
    "roots": "i4", "features": "i4", "thresholds": "f8", "children": "i4", "node_counts": "f4", "leaf_counts": "f4",
    "values": "f8",
}  # fmt: skip
_MOST_LEAVES = 32  # of a tree: each has a bit
_BLOCK = 64  # rows at once, whose features stay in the cache
_ALL, _ONE = np.uint32(2**32 - 1), np.uint32(1)
# A de Bruijn multiplier: maps a number with one bit set to the bit's position, by the top five bits of the product.
_MULTIPLIER = np.uint32(0x077CB531)
_PLACES = np.empty(32, dtype=np.int64)
_PLACES[[(0x077CB531 << bit & 0xFFFFFFFF) >> 27 for bit in range(32)]] = np.arange(32)


@dataclass
class Trees:
    """A sum of binary trees over float32 features.

    A row goes left at a node if ``row[features[node]] <= thresholds[node]``. A child >= 0 is a node; a negative one is
    the leaf ``-1 - child``. Nodes and leaves are numbered across all trees.

    Attributes:
        roots: int32 (T,), the root of each tree, encoded like a child.
        features: int32 (nodes,).
        thresholds: float64 (nodes,).
        children: int32 (nodes, 2), left and right.
        node_counts: float32 (nodes,), training rows that reached the node.
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
        """Build from the nested ``tree_structure`` of LightGBM's ``dump_model``; multiplies leaves by ``scale``."""
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
    def mean(cls, ensembles: Sequence[Trees]) -> Trees:
        """Return trees whose score is the mean score of several ensembles."""
        parts: dict[str, list[np.ndarray]] = {field.name: [] for field in fields(cls)}
        nodes = leaves = 0
        for trees in ensembles:
            for name, array in trees.arrays().items():
                if name in ("roots", "children"):
                    array = np.where(array >= 0, array + nodes, array - leaves).astype(np.int32)
                parts[name].append(array / len(ensembles) if name == "values" else array)
            nodes, leaves = nodes + len(trees.features), leaves + len(trees.values)
        return cls(**{name: np.concatenate(arrays) for name, arrays in parts.items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by attribute."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def facts(self) -> dict[str, list]:
        """Return the arrays as lists, without loss."""
        return {name: array.tolist() for name, array in self.arrays().items()}

    @classmethod
    def read(cls, facts: Mapping[str, list]) -> Trees:
        """Restore from :meth:`facts`."""
        return cls(
            **{
                name: np.array(values, dtype=_DTYPES[name]).reshape((-1, 2) if name == "children" else -1)
                for name, values in facts.items()
            }
        )

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Sum the trees' leaves for each row, float64 (n,), of float32 (n, F) rows.

        A failed test excludes the leaves of its left subtree; a row's leaf is the first that is not excluded. Each test
        is applied to many rows at once, without branches that depend on a row. Source: Lucchese et al., "QuickScorer",
        SIGIR 2015.
        """
        out = np.zeros(len(rows), dtype=np.float64)

        def scratch() -> tuple[np.ndarray, ...]:
            return np.empty((rows.shape[1], _BLOCK), dtype=np.float32), np.empty(_BLOCK, dtype=np.uint32)

        work = 1.0 + 2 * len(self.features)
        parallel_for(len(rows), _add_leaves, rows, *self._tests, _PLACES, out, work=work, scratch=scratch)
        return out

    @cached_property
    def _tests(self) -> tuple[np.ndarray, ...]:
        """The trees as arguments of :func:`_add_leaves`.

        Returns:
            Offsets of each tree's tests, int64 (T + 1,); for each test the feature, int32, the threshold, float32, and
            a bit mask of the leaves that remain if it fails, uint32; offsets of each tree's leaves, int64 (T + 1,);
            values of the leaves from left to right, float64.

        Raises:
            InputError: a tree has more than 32 leaves.
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
            np.array(starts, dtype=np.int64), np.array(feature, dtype=np.int32), rounded_down(np.array(threshold)),
            np.array(mask, dtype=np.uint32), np.array(leaf_starts, dtype=np.int64), self.values[leaves],
        )  # fmt: skip

    def check(self, n_features: int) -> None:
        """Check that the arrays are valid trees over ``n_features`` features.

        Raises:
            InputError: sizes or types differ, a feature or a child does not exist, or a value is not finite.
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


def rounded_down(values: np.ndarray) -> np.ndarray:
    """Round down to float32, so that comparisons with float32 values do not change."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


@kernel
def _add_leaves(
    first: int, last: int, rows: np.ndarray, starts: np.ndarray, features: np.ndarray, thresholds: np.ndarray,
    masks: np.ndarray, leaf_starts: np.ndarray, values: np.ndarray, places: np.ndarray, out: np.ndarray,
    block: np.ndarray, alive: np.ndarray,
) -> None:  # fmt: skip
    for offset in range(first, last, _BLOCK):
        size = min(_BLOCK, last - offset)
        for row in range(_BLOCK):  # the last row pads an incomplete block
            for feature in range(rows.shape[1]):
                block[feature, row] = rows[offset + min(row, size - 1), feature]
        for tree in range(len(starts) - 1):
            alive[:] = _ALL
            for test in range(starts[tree], starts[tree + 1]):
                column, threshold, mask = block[features[test]], thresholds[test], masks[test]
                for row in range(_BLOCK):
                    alive[row] &= _ALL if column[row] <= threshold else mask
            for row in range(size):
                lowest = np.uint32(alive[row] & np.uint32(~alive[row] + _ONE))
                place = places[np.uint32(lowest * _MULTIPLIER) >> np.uint32(27)]
                out[offset + row] += values[leaf_starts[tree] + place]
